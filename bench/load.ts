/** Load at a rate on an etcd, and how long each event takes to be seen. Whoever writes does not wait for answers: it writes at its rate, and says whether it kept to it. */
import type { WatchEvent } from "../src/kv/client.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { percentile } from "./goal-line.ts";
import type { Pair } from "./mesh-data.ts";
import { encodePuts, type RawEtcd } from "./raw-etcd.ts";

const TICK_MS = 1;
/** Of what was asked for: less, and the load was not reached. */
const LEAST_RATE = 0.98;
/** Unanswered Txns with which the generator is too slow for its load; etcd refuses more than 5,000. */
const MOST_UNANSWERED = 1_000;
const SETTLE_MS = 2_000;
const LATE_MS = 15_000;
const POD_NAME = "bench-";

/** The address entry to write as number N of all, with a pod of this name. */
export type EntryOf = (number: number, podName: string) => Pair;

export interface Load {
  readonly name: string;
  readonly eventsPerS: number;
  readonly perTxn: number;
  readonly seconds: number;
}

/** Numbers what it writes; told of events, it knows how long each took. */
class Round {
  readonly #load: Load;
  readonly #firstNumber: number;
  readonly #entryOf: EntryOf;
  readonly #sentMs: Float64Array;
  readonly latenciesMs: number[] = [];
  #lastSeenMs = 0;
  #doneMs = 0;

  constructor(load: Load, firstNumber: number, entryOf: EntryOf) {
    this.#load = load;
    this.#firstNumber = firstNumber;
    this.#entryOf = entryOf;
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

  #entry(number: number): Pair {
    return this.#entryOf(this.#firstNumber + number, `${POD_NAME}${number}-`);
  }

  /** Resolves to how long after the last acknowledgement the last event came; undefined: some never came. */
  async settled(): Promise<number | undefined> {
    while (this.latenciesMs.length < this.events && systemClock.nowMs() - this.#doneMs < LATE_MS)
      await sleep(systemClock, TICK_MS);
    return this.latenciesMs.length < this.events ? undefined : Math.max(0, this.#lastSeenMs - this.#doneMs);
  }
}

export interface Outcome {
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** See `Round.settled`. */
  readonly tailMs: number | undefined;
}

export class Course {
  readonly #raw: RawEtcd;
  #round: Round | undefined;
  readonly #entryOf: EntryOf;
  #next = 0;

  constructor(raw: RawEtcd, entryOf: EntryOf) {
    this.#raw = raw;
    this.#entryOf = entryOf;
  }

  readonly seen = (events: readonly WatchEvent[]): void => this.#round?.seen(events);

  async run(load: Load): Promise<Outcome> {
    const round = new Round(load, this.#next, this.#entryOf);
    this.#round = round;
    this.#next += round.events;
    const rate = await round.write(this.#raw);
    const tailMs = await round.settled();
    await sleep(systemClock, SETTLE_MS);
    const { latenciesMs } = round;
    return { rate, tailMs, p50Ms: percentile(latenciesMs, 0.5), p99Ms: percentile(latenciesMs, 0.99) };
  }
}

export function generatorFault({ eventsPerS }: Load, { rate }: Outcome): string | undefined {
  return rate >= LEAST_RATE * eventsPerS ? undefined : `only ${Math.round(rate)} events/s were written`;
}
