import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { systemDisk } from "../../src/disk/system.ts";
import { Executor } from "../../src/drill/executor.ts";
import { Journal } from "../../src/drill/journal.ts";
import type { FaultRequest } from "../../src/model/drill.ts";
import { createLogger } from "../../src/runtime/log.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { allowList, RecordingHands, refused } from "./stage.ts";

const FREEZE: FaultRequest = { run: "r1", fault: "freeze", target: "etcd", undoAfterMs: 10_000, dryRun: false };
const STOP = "send SIGSTOP to the process of /run/etcd.pid, if it is etcd";
const CONT = "send SIGCONT to the process of /run/etcd.pid, if it is etcd";

let folder: string;
let clock: VirtualClock;
let hands: RecordingHands;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-drill-"));
  clock = new VirtualClock();
  hands = new RecordingHands();
});

afterEach(() => rmSync(folder, { recursive: true }));

async function executor(its = hands): Promise<Executor> {
  const log = createLogger({ program: "drilld", cluster: "osaka", level: "silent" });
  const journal = await Journal.open(systemDisk, folder);
  return new Executor({ allowList: allowList(), journal, hands: its, clock, log, folder, maxFaultMs: 60_000 });
}

/** What another process would find on disk. */
async function written(): Promise<readonly string[]> {
  return (await Journal.open(systemDisk, folder)).entries.map(({ what }) => what);
}

/** File system calls are no part of virtual time. */
async function untilDone(lines: number): Promise<void> {
  for (let tries = 0; hands.done.length < lines; tries++) {
    assert(tries < 2_000, `only ${hands.done.join("; ")}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a fault is done and, when it is asked for, undone; a second undo does nothing", async () => {
  const drilld = await executor();
  const answer = await drilld.begin(FREEZE);
  assert.deepEqual(answer, { does: [STOP], undoes: [CONT] });
  assert.deepEqual(drilld.lasting, [{ run: "r1", what: "freeze of etcd" }]);
  await drilld.undo("r1");
  await drilld.undo("r1");
  assert.deepEqual(hands.done, [STOP, CONT]);
  assert.deepEqual(await written(), []);
  assert.equal(clock.pending, 0);
});

test("a dry run says the same, and does and writes nothing", async () => {
  const drilld = await executor();
  assert.deepEqual(await drilld.begin({ ...FREEZE, dryRun: true }), { does: [STOP], undoes: [CONT] });
  assert.deepEqual([hands.done, await written()], [[], []]);
});

test("it is written down before it is done", async () => {
  const drilld = await executor();
  let found: readonly string[] = [];
  hands.before = async () => {
    found = await written();
  };
  await drilld.begin(FREEZE);
  assert.deepEqual(found, ["freeze of etcd"]);
});

test("a caller that is never heard of again: the timer undoes", async () => {
  const drilld = await executor();
  await drilld.begin(FREEZE);
  await clock.advance(9_999);
  assert.deepEqual(hands.done, [STOP]);
  await clock.advance(1);
  await untilDone(2);
  // Waits for its turn, and has nothing left to do.
  await drilld.undo("r1");
  assert.deepEqual(hands.done, [STOP, CONT]);
});

for (const [when, isDone] of [
  ["between arming and the fault", false],
  ["after the fault", true],
] as const) {
  test(`drilld dies ${when}: the next one undoes, and the one after has nothing to do`, async () => {
    const its = new RecordingHands();
    const reached = new Promise<void>((resolve) => {
      its.before = () => {
        resolve();
        return isDone ? undefined : new Promise(() => undefined);
      };
    });
    const begun = (await executor(its)).begin(FREEZE);
    await (isDone ? begun : reached);
    assert.deepEqual([await written(), its.done], [["freeze of etcd"], isDone ? [STOP] : []]);
    await (await executor()).recover();
    assert.deepEqual(hands.done, [CONT]);
    assert.deepEqual(await written(), []);
    await (await executor()).recover();
    assert.deepEqual(hands.done, [CONT]);
  });
}

test("a fault that fails half-way is undone, and says so", async () => {
  const drilld = await executor();
  hands.before = ({ kind }) => {
    if (kind === "move") throw new Error("no such folder");
  };
  await refused(drilld.begin({ ...FREEZE, fault: "wipe" }), /^wipe of etcd: no such folder; undone$/);
  assert.match(hands.done.at(-1) ?? "", /^start, unless/);
  assert.match(hands.done.at(-2) ?? "", /^if there is \/var\/etcd\.drill-r1-1: end the process/);
  assert.deepEqual(drilld.lasting, []);
});

test("what cannot be undone is tried again, and is a problem until then", async () => {
  const drilld = await executor();
  await drilld.begin(FREEZE);
  hands.before = () => {
    throw new Error("busy");
  };
  await refused(drilld.undo("r1"), /^freeze of etcd is not undone yet: busy$/);
  assert.deepEqual(drilld.problems, ["freeze of etcd is not undone yet: busy"]);
  assert.deepEqual(await written(), ["freeze of etcd"]);
  hands.before = () => undefined;
  await clock.advance(1_000);
  await untilDone(2);
  await drilld.undo("r1");
  assert.deepEqual([hands.done, drilld.problems], [[STOP, CONT], []]);
});

test("faults of one run are undone newest first; another run waits", async () => {
  const drilld = await executor();
  await drilld.begin(FREEZE);
  await drilld.begin({ ...FREEZE, fault: "blackhole", target: "port" });
  await refused(drilld.begin({ ...FREEZE, run: "r2" }), /another drill lasts here: freeze of etcd \(run r1\)/);
  await drilld.undo("r1");
  assert.match(hands.done[1] ?? "", /^run: nft .* tcp dport 2379 drop$/);
  assert.match(hands.done[2] ?? "", /^run: nft add table netdev bulkhead_drill; delete table netdev bulkhead_drill$/);
  assert.equal(hands.done[3], CONT);
  await drilld.begin({ ...FREEZE, run: "r2" });
});

test("whatever the list does not name is refused with a reason, and nothing is written", async () => {
  const drilld = await executor();
  await refused(
    drilld.begin({ ...FREEZE, target: "nats" }),
    /target nats is not on the allow-list .* on it: etcd, port, link/,
  );
  await refused(
    drilld.begin({ ...FREEZE, target: "port" }),
    /freeze of port is not on the allow-list .* allowed: blackhole/,
  );
  await refused(drilld.begin({ ...FREEZE, undoAfterMs: 60_001 }), /at most 60000 ms \(--max-fault-ms\)/);
  assert.deepEqual([hands.done, await written()], [[], []]);
});

for (const fault of ["wipe", "restore-old", "quota"] as const) {
  test(`${fault} is refused where the marker is missing, before anything is written; with it, it is done`, async () => {
    const drilld = await executor();
    hands.before = ({ kind }) => {
      if (kind === "marker") throw new Error("no key bulkhead/v1/lab");
    };
    await refused(
      drilld.begin({ ...FREEZE, fault }),
      new RegExp(`^${fault} of etcd is refused: no key bulkhead/v1/lab$`),
    );
    assert.deepEqual([hands.done, await written()], [[], []]);
    hands.before = () => undefined;
    await drilld.begin({ ...FREEZE, fault });
    assert.match(hands.done[0] ?? "", /^refuse, unless the etcd of \/etc\/etcd\.yaml has the key bulkhead\/v1\/lab$/);
    assert.deepEqual(await written(), [`${fault} of etcd`]);
  });
}

test("ending undoes, and begins nothing more", async () => {
  const drilld = await executor();
  await drilld.begin(FREEZE);
  await drilld.close();
  assert.deepEqual(hands.done, [STOP, CONT]);
  await refused(drilld.begin(FREEZE), /drilld is ending/);
});

test("a journal that cannot be read is not taken for an empty one", async () => {
  writeFileSync(join(folder, "journal.json"), "{");
  await assert.rejects(Journal.open(systemDisk, folder), (error: unknown) => {
    assert(error instanceof UserError);
    assert.match(error.message, /^journal .*journal\.json: .*; undo by hand what it says, and remove it$/);
    return true;
  });
});
