/**
 * P12: what a mirror costs while nothing changes, with 350,000 addresses of a remote in the cache; the remote's heartbeat goes on. The floor is the same
 * mirror before there is a remote.
 */
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { HEARTBEAT_KEY } from "../src/wire/keys.ts";
import { printFigures } from "./goal-line.ts";
import { entriesOf } from "./mesh-data.ts";
import { filledEtcd, MirrorStage } from "./mirror-stage.ts";

const PODS = 350_000;
/** What the first mirroring left behind is collected, and the first audit is over. */
const SETTLE_MS = 30_000;
const MEASURED_MS = 60_000;
/** More often than an exporter does. */
const HEARTBEAT_MS = 15_000;
/** The program's own: other benches want a remote to be found at once. */
const CONFIG_INTERVAL_MS = 1_000;
const GOAL_CPU_SECONDS = 1;
const GOAL_RSS_MIB = 250;

/** CPU seconds a minute. */
async function costOfIdling(stage: MirrorStage, beat: () => Promise<unknown>): Promise<number> {
  const before = stage.costs().cpuSeconds;
  const fromMs = systemClock.nowMs();
  while (systemClock.nowMs() - fromMs < MEASURED_MS) {
    await beat();
    await sleep(systemClock, HEARTBEAT_MS);
  }
  return ((stage.costs().cpuSeconds - before) * MEASURED_MS) / (systemClock.nowMs() - fromMs);
}

export async function idle(json: boolean): Promise<void> {
  const entries = entriesOf(PODS);
  const remote = await filledEtcd(entries);
  const stage = await MirrorStage.open(remote);
  const kv = remote.connect();
  try {
    const value = new TextEncoder().encode("2026-01-01T00:00:00Z");
    const beat = () => kv.txn({ operations: [{ put: { key: HEARTBEAT_KEY, value } }] });
    await stage.lead(CONFIG_INTERVAL_MS);
    const floor = await costOfIdling(stage, beat);
    const floorRssMiB = stage.rssMiB();
    await stage.mirrored();
    await sleep(systemClock, SETTLE_MS);
    const cost = await costOfIdling(stage, beat);
    const rssMiB = stage.rssMiB();
    printFigures(
      {
        id: "P12",
        unit: "CPU-s/min",
        value: cost,
        floor,
        ratio: cost / floor,
        goal: `value<=${GOAL_CPU_SECONDS},rssMiB<=${GOAL_RSS_MIB}`,
        reached: cost <= GOAL_CPU_SECONDS && rssMiB <= GOAL_RSS_MIB,
        beside: { keys: entries.length, rssMiB, floorRssMiB, peakRssMiB: stage.costs().peakRssMiB },
      },
      json,
    );
  } finally {
    kv.close();
    await stage.close();
    await remote.end();
  }
}
