/**
 * P2: from a put in the remote to the event on a watch of the local cache, 100,000 addresses stored. The floor is a watch of the remote itself, before
 * there is a mirror. Whoever writes does not wait for answers: it writes at a rate, and says whether it kept to it.
 */
import type { KvClient, WatchEvent } from "../src/kv/client.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { resource } from "../src/wire/resources.ts";
import type { TestEtcd } from "../test/support/etcd.ts";
import { percentile, printFigures } from "./goal-line.ts";
import { entriesOf, podEntry, REMOTE } from "./mesh-data.ts";
import { filledEtcd, MirrorStage, watchPrefix } from "./mirror-stage.ts";
import { encodePuts, RawEtcd } from "./raw-etcd.ts";

const PODS = 100_000;
const TICK_MS = 1;
/** Of what was asked for: less, and the load was not reached. */
const LEAST_RATE = 0.98;
/** Unanswered Txns with which the generator is too slow for its load; etcd refuses more than 5,000. */
const MOST_UNANSWERED = 1_000;
const SETTLE_MS = 2_000;
const LATE_MS = 15_000;
const POD_NAME = "bench-";

interface Load {
  readonly name: string;
  readonly eventsPerS: number;
  readonly perTxn: number;
  readonly seconds: number;
}

interface LatencyGoal extends Load {
  readonly p99Ms: number;
}

const LATENCIES: readonly LatencyGoal[] = [
  { name: "P2@50", eventsPerS: 50, perTxn: 1, seconds: 20, p99Ms: 8 },
  { name: "P2@5000", eventsPerS: 5_000, perTxn: 1, seconds: 10, p99Ms: 50 },
];
const KEEPS_UP: Load = { name: "P2@20000", eventsPerS: 20_000, perTxn: 50, seconds: 10 };
/** How long after the last put the last event may come: a queue that grows takes longer. */
const KEPT_UP_MS = 1_000;

/** Numbers what it writes; told of events, it knows how long each took. */
class Round {
  readonly #load: Load;
  readonly #firstPod: number;
  readonly #sentMs: Float64Array;
  readonly latenciesMs: number[] = [];
  #lastSeenMs = 0;
  #doneMs = 0;

  constructor(load: Load, firstPod: number) {
    this.#load = load;
    this.#firstPod = firstPod;
    this.#sentMs = new Float64Array(load.eventsPerS * load.seconds);
  }

  get events(): number {
    return this.#sentMs.length;
  }

  seen(events: readonly WatchEvent[]): void {
    this.#lastSeenMs = systemClock.nowMs();
    for (const event of events) {
      if (event.type !== "put") continue;
      const value = Buffer.from(event.kv.value.buffer, event.kv.value.byteOffset, event.kv.value.byteLength);
      const at = value.indexOf(POD_NAME);
      const number = at < 0 ? Number.NaN : Number.parseInt(value.toString("latin1", at + POD_NAME.length, at + 24), 10);
      const sentMs = this.#sentMs[number];
      if (sentMs) this.latenciesMs.push(this.#lastSeenMs - sentMs);
    }
  }

  /** Resolves to the events a second that were written and acknowledged. */
  async write(raw: RawEtcd): Promise<number> {
    const { eventsPerS, perTxn } = this.#load;
    const frames = Array.from({ length: this.events / perTxn }, (_, txn) =>
      encodePuts(Array.from({ length: perTxn }, (_, at) => this.#entry(txn * perTxn + at))),
    );
    let answered = 0;
    const answers: Promise<void>[] = [];
    const fromMs = systemClock.nowMs();
    while (answers.length < frames.length) {
      const due = Math.floor(((systemClock.nowMs() - fromMs) / 1000) * (eventsPerS / perTxn)) + 1;
      const until = Math.min(due, frames.length, answered + MOST_UNANSWERED);
      for (let txn = answers.length; txn < until; txn++) {
        this.#sentMs.fill(systemClock.nowMs(), txn * perTxn, (txn + 1) * perTxn);
        answers.push(raw.txn(frames[txn] as Uint8Array).then(() => void answered++));
      }
      await sleep(systemClock, TICK_MS);
    }
    await Promise.all(answers);
    this.#doneMs = systemClock.nowMs();
    return (this.events / (this.#doneMs - fromMs)) * 1000;
  }

  #entry(number: number) {
    return podEntry((this.#firstPod + number) % PODS, `${POD_NAME}${number}-`);
  }

  /** Resolves to how long after the last acknowledgement the last event came; undefined: some never came. */
  async settled(): Promise<number | undefined> {
    while (this.latenciesMs.length < this.events && systemClock.nowMs() - this.#doneMs < LATE_MS)
      await sleep(systemClock, TICK_MS);
    return this.latenciesMs.length < this.events ? undefined : Math.max(0, this.#lastSeenMs - this.#doneMs);
  }
}

interface Outcome {
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** See `Round.settled`. */
  readonly tailMs: number | undefined;
}

class Course {
  readonly #raw: RawEtcd;
  #round: Round | undefined;
  #firstPod = 0;

  constructor(raw: RawEtcd) {
    this.#raw = raw;
  }

  readonly seen = (events: readonly WatchEvent[]): void => this.#round?.seen(events);

  async run(load: Load): Promise<Outcome> {
    const round = new Round(load, this.#firstPod);
    this.#round = round;
    this.#firstPod += round.events;
    const rate = await round.write(this.#raw);
    const tailMs = await round.settled();
    await sleep(systemClock, SETTLE_MS);
    const { latenciesMs } = round;
    return { rate, tailMs, p50Ms: percentile(latenciesMs, 0.5), p99Ms: percentile(latenciesMs, 0.99) };
  }
}

const ALL: readonly Load[] = [...LATENCIES, KEEPS_UP];

async function outcomes(raw: RawEtcd, kv: KvClient, prefix: string): Promise<readonly Outcome[]> {
  const course = new Course(raw);
  await watchPrefix(kv, prefix, course.seen);
  const all: Outcome[] = [];
  for (const load of ALL) all.push(await course.run(load));
  return all;
}

function generatorFault({ eventsPerS }: Load, { rate }: Outcome): string | undefined {
  return rate >= LEAST_RATE * eventsPerS ? undefined : `only ${Math.round(rate)} events/s were written`;
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
