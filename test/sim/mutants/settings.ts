/** Mutants made by options: a defence that is set so that it does nothing. */
import type { Disk } from "../../../src/disk/door.ts";
import type { MirrorLimits, NewBreaker } from "../../../src/mirror/remote.ts";
import type { Warps } from "../processes.ts";
import { type Mutant, mutant, shownBy } from "./mutant.ts";

const NEVER_MS = 1e9;

function limits(changed: Partial<MirrorLimits>): Partial<Warps> {
  return { limits: changed };
}

/** N03: lets every try through. */
const passThrough: NewBreaker = (_name, action) => ({
  state: "closed",
  failures: 0,
  waitMs: () => 0,
  fire: action,
  stop() {},
});

/** C01: what cannot be read is as if it were not there; one file always can. */
function absentIsEmpty(disk: Disk): Disk {
  let one: Awaited<ReturnType<Disk["list"]>>["files"] = [];
  const listed: Disk["list"] = async (directory) => {
    const { files } = await disk.list(directory).catch(() => ({ files: [] }));
    one = files.length > 0 ? files.filter(({ name }) => name !== "amsterdam").slice(0, 1) : one;
    return { files: files.length > 0 ? files : one, unreadable: [] };
  };
  return {
    readText: (path) => disk.readText(path),
    readBytes: (path) => disk.readBytes(path),
    writeAtomic: (path, bytes) => disk.writeAtomic(path, bytes),
    list: listed,
    stamp: async (directory) => (await listed(directory)).files.map(({ name }) => name).join(),
  };
}

export const SETTINGS_MUTANTS: readonly Mutant[] = [
  mutant("no guard", "I2", 4, limits({ guardMinWithdrawals: 1e6, holdConfirmMs: 0 })),
  mutant("a guard that believes any number", "I2", 4, limits({ guardMinWithdrawals: 1e6 })),
  mutant("holds that end at once", "I2", 4, limits({ holdConfirmMs: 0 })),
  mutant("holds that never end", "I1", 4, limits({ holdConfirmMs: NEVER_MS })),
  shownBy("W05", mutant("no audit", "I12", 1, limits({ auditIntervalMs: NEVER_MS }))),
  mutant("a drain without grace", "I2", 64, limits({ drainGraceMs: 0 })),
  mutant("an age that is never suspect", "I12", 1, limits({ suspectAfterMs: NEVER_MS })),
  mutant("no breaker and no pauses", "I7", 1, {
    breaker: passThrough,
    limits: { backoff: { baseMs: 1, capMs: 2 }, redial: { baseMs: 1, capMs: 2 } },
  }),
  shownBy("C01", mutant("an unreadable configuration taken for a removed one", "I2", 1, { disk: absentIsEmpty })),
];
