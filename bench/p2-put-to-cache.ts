/**
 * P2: from a put in the remote to the event on a watch of the local cache, 100,000 addresses stored. The floor is a watch of the remote itself, before
 * there is a mirror.
 */
import type { KvClient } from "../src/kv/client.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { resource } from "../src/wire/resources.ts";
import type { TestEtcd } from "../test/support/etcd.ts";
import { printFigures } from "./goal-line.ts";
import { Course, generatorFault, type Load, type Outcome } from "./load.ts";
import { entriesOf, podEntry, REMOTE } from "./mesh-data.ts";
import { filledEtcd, MirrorStage, watchPrefix } from "./mirror-stage.ts";
import { RawEtcd } from "./raw-etcd.ts";

const PODS = 100_000;
const SETTLE_MS = 2_000;

interface LatencyGoal extends Load {
  readonly p99Ms: number;
}

const LATENCIES: readonly LatencyGoal[] = [
  { name: "P2@50", eventsPerS: 50, perTxn: 1, seconds: 20, p99Ms: 8 },
  { name: "P2@5000", eventsPerS: 5_000, perTxn: 5, seconds: 10, p99Ms: 50 },
];
const KEEPS_UP: Load = { name: "P2@20000", eventsPerS: 20_000, perTxn: 50, seconds: 10 };
/** How long after the last put the last event may come: a queue that grows takes longer. */
const KEPT_UP_MS = 1_000;

const ALL: readonly Load[] = [...LATENCIES, KEEPS_UP];

async function outcomes(raw: RawEtcd, kv: KvClient, prefix: string): Promise<readonly Outcome[]> {
  const course = new Course(raw, (number, podName) => podEntry(number % PODS, podName));
  await watchPrefix(kv, prefix, course.seen);
  const all: Outcome[] = [];
  for (const load of ALL) all.push(await course.run(load));
  return all;
}

export async function putToCache(json: boolean): Promise<void> {
  const remote = await filledEtcd(entriesOf(PODS));
  const stage = await MirrorStage.open(remote);
  const raw = new RawEtcd(remote.endpoint);
  try {
    const floors = await floorsOf(remote, raw);
    await stage.lead();
    await stage.mirrored();
    await sleep(systemClock, SETTLE_MS);
    const subjects = await outcomes(raw, stage.kv, resource("ip").cachePrefix(REMOTE.name));
    for (const [index, load] of ALL.entries()) {
      const floor = floors[index] as Outcome;
      print(load, floor, subjects[index] as Outcome, stage, json);
    }
  } finally {
    raw.close();
    await stage.close();
    await remote.end();
  }
}

async function floorsOf(remote: TestEtcd, raw: RawEtcd): Promise<readonly Outcome[]> {
  const kv = remote.connect();
  const floors = await outcomes(raw, kv, resource("ip").statePrefix(REMOTE.name));
  kv.close();
  return floors;
}

function print(load: Load, floor: Outcome, subject: Outcome, stage: MirrorStage, json: boolean): void {
  const { name: id } = load;
  const tailMs = subject.tailMs ?? Number.POSITIVE_INFINITY;
  const keptUp = tailMs <= KEPT_UP_MS;
  const goal = LATENCIES.find((one) => one === load);
  printFigures(
    {
      id,
      unit: "ms(p99)",
      value: subject.p99Ms,
      floor: floor.p99Ms,
      ratio: subject.p99Ms / floor.p99Ms,
      goal: goal ? `p99<=${goal.p99Ms}` : `tailMs<=${KEPT_UP_MS}`,
      reached: keptUp && (goal === undefined || subject.p99Ms <= goal.p99Ms),
      invalid: generatorFault(load, floor) ?? generatorFault(load, subject),
      costs: stage.costs(),
      beside: { eventsPerS: subject.rate, p50Ms: subject.p50Ms, floorP50Ms: floor.p50Ms, tailMs },
    },
    json,
  );
}
