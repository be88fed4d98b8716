/**
 * P11: 250 remotes named at once, until the last canary of the last one is in the local etcd; then their churn. The floor is the same keys and values written
 * straight into such an etcd. All remotes are one real etcd, which holds them as one that mirrors them would (`cached`): each is connected to, listed and
 * watched on its own.
 */
import assert from "node:assert/strict";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { CACHE_PREFIX } from "../src/wire/keys.ts";
import { printFigures } from "./goal-line.ts";
import { Course, generatorFault, type Load, type Outcome } from "./load.ts";
import { announcement, type Entry, entriesOfRemote, type Pair, podEntryOf, type RemoteShape } from "./mesh-data.ts";
import { filledEtcd, MirrorStage, watchPrefix } from "./mirror-stage.ts";
import { framesOf, writtenStraightMs } from "./p1-initial-mirror.ts";
import { RawEtcd } from "./raw-etcd.ts";

const REMOTES = 250;
/** 1 is the mirror's own. */
const FIRST_ID = 2;
const NODES = 100;
const PODS = 1_000;
const CHURN: Load = { name: "churn", eventsPerS: 325, perTxn: 1, seconds: 30 };
const GOAL_SECONDS = 20;
const GOAL_QUEUED = 1_000;
/** The program's own: to read 250 files every moment would be a load of its own. */
const CONFIG_INTERVAL_MS = 1_000;
/** Between two looks at the queue. */
const LOOK_MS = 500;

const SHAPES: readonly RemoteShape[] = Array.from({ length: REMOTES }, (_, index) => ({
  name: `mesh-${index}`,
  id: FIRST_ID + index,
  pods: PODS,
  podsPerNode: PODS / NODES,
  podsPerIdentity: PODS / 100,
  podsPerService: 0,
  nodesBefore: index * NODES,
}));

const asCached = ({ cacheKey, value }: Entry): Pair => ({ key: cacheKey, value });

/** One remote after the other. */
function churnOf(number: number, podName: string): Pair {
  const shape = SHAPES[number % REMOTES] as RemoteShape;
  return asCached(podEntryOf(shape, Math.floor(number / REMOTES) % PODS, podName));
}

/** All remotes share a heartbeat. */
function announcements(): readonly Pair[] {
  const all = SHAPES.flatMap((shape) => announcement(shape, true));
  return [...new Map(all.map((pair) => [pair.key, pair])).values()];
}

/** Resolves to the longest queue that was seen until `signal` aborted. */
async function longestQueue(stage: MirrorStage, signal: AbortSignal): Promise<number> {
  let longest = 0;
  while (!signal.aborted) {
    const found = /^bulkhead_publish_queued (\d+)$/m.exec(await stage.metrics())?.[1];
    assert(found !== undefined, "the mirror's metrics have no queue");
    longest = Math.max(longest, Number(found));
    await sleep(systemClock, LOOK_MS, signal);
  }
  return longest;
}

/** Tries and connections that failed, of all remotes. */
async function failures(stage: MirrorStage): Promise<number> {
  const remotes = (await stage.status())?.remotes ?? [];
  assert.equal(remotes.filter(({ synced }) => synced).length, REMOTES);
  return remotes.reduce((sum, remote) => sum + remote.failures + remote.losses, 0);
}

async function churn(stage: MirrorStage): Promise<Outcome & { readonly queued: number }> {
  const raw = new RawEtcd(stage.remote.endpoint);
  const course = new Course(raw, churnOf);
  await watchPrefix(stage.kv, `${CACHE_PREFIX}ip/`, course.seen);
  const over = new AbortController();
  const queue = longestQueue(stage, over.signal);
  const outcome = await course.run(CHURN);
  over.abort();
  raw.close();
  return { ...outcome, queued: await queue };
}

export async function mesh(json: boolean): Promise<void> {
  const entries = SHAPES.flatMap(entriesOfRemote);
  const floor = (await writtenStraightMs(framesOf(entries))) / 1000;
  const remote = await filledEtcd(entries.map(asCached), announcements());
  const stage = await MirrorStage.open(remote);
  try {
    await stage.lead(CONFIG_INTERVAL_MS);
    const before = stage.costs();
    const value = (await stage.mirrored(SHAPES.map(({ name }) => name))) / 1000;
    const after = stage.costs();
    const outcome = await churn(stage);
    const reconnects = await failures(stage);
    const { tailMs = Number.POSITIVE_INFINITY, queued } = outcome;
    printFigures(
      {
        id: "P11",
        unit: "s",
        ...{ value, floor, ratio: value / floor },
        goal: `value<=${GOAL_SECONDS},reconnects<=0,queued<=${GOAL_QUEUED}`,
        reached: value <= GOAL_SECONDS && reconnects === 0 && queued <= GOAL_QUEUED && tailMs < GOAL_SECONDS * 1000,
        invalid: ratioFault(value, floor) ?? generatorFault(CHURN, outcome),
        costs: { cpuSeconds: after.cpuSeconds - before.cpuSeconds, peakRssMiB: stage.costs().peakRssMiB },
        beside: {
          ...{ remotes: REMOTES, keys: entries.length, reconnects, queued },
          ...{ eventsPerS: outcome.rate, p50Ms: outcome.p50Ms, p99Ms: outcome.p99Ms, tailMs },
        },
      },
      json,
    );
    if (!json) process.stdout.write("  the remotes are one real etcd that holds all 250 as a mirror of them would\n");
  } finally {
    await stage.close();
    await remote.end();
  }
}

function ratioFault(value: number, floor: number): string | undefined {
  return value < floor ? "the floor is slower than the mirror" : undefined;
}
