/** What the kernel reports of packets: read from its ring, given names, kept for a while, handed to whoever follows. */
import type { EventRing } from "../kernel/door.ts";
import { decodeFlowEvent, type FlowEvent } from "../maps/flow-map.ts";
import type { Flow } from "../model/flow.ts";
import { type Clock, every } from "../runtime/clock.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";
import { UserError } from "../runtime/user-error.ts";
import { nameFlow, type Place, unknownAddress } from "./flow.ts";
import { Follower, type Lost } from "./follower.ts";
import type { Names } from "./names.ts";
import { FlowStore } from "./store.ts";
import { UnknownAddresses } from "./unknown-addresses.ts";

export const FLOWS_PATH = "/v1/flows";

const DRAIN_INTERVAL_MS = 50;
/** Records read at once, so 20,000 a second: more stay in the ring, and what does not fit there the kernel counts as lost. */
const DRAIN_MAX_RECORDS = 1_000;
/** Longest wait for names after the start: then flows are told without. */
const NAMES_WAIT_MS = 10_000;
const NS_PER_MS = 1_000_000n;

export interface FlowsOptions extends Place {
  readonly ring: EventRing;
  readonly names: Names;
  /** Whether names are known yet. Until then, but not for long, records wait in the ring: those of before a restart have names again after it. */
  readonly named?: () => boolean;
  readonly clock: Clock;
  /** Wall clock milliseconds at which the boot clock stood at 0: `createBootWallMs` of runtime/clock.ts. */
  readonly bootWallMs: () => number;
  readonly metrics: Metrics;
  /** Most flows kept for `last`. */
  readonly flowsKept: number;
  /** Told of addresses that the kernel found no identity for: once a second each, and 20 a second in all. */
  readonly onUnknown: (address: string) => void;
}

export class Flows {
  readonly #options: FlowsOptions;
  readonly #store: FlowStore;
  readonly #unknown: UnknownAddresses;
  readonly #followers = new Set<Follower>();
  readonly #events: Counter;
  readonly #leftOut: Counter;

  constructor(options: FlowsOptions) {
    this.#options = options;
    this.#store = new FlowStore(options.flowsKept);
    this.#unknown = new UnknownAddresses(options.onUnknown);
    this.#events = options.metrics.counter("bulkhead_flow_events_total", "Flow events read from the kernel's ring.", [
      "kind",
      "verdict",
      "reason",
    ]);
    this.#leftOut = options.metrics.counter(
      "bulkhead_flow_followers_lost_total",
      "Flows that followers were too slow for.",
    );
  }

  /** Reads the ring, as soon as its records can be named, until the signal aborts. */
  start(signal: AbortSignal): void {
    const { clock, named } = this.#options;
    const untilMs = clock.nowMs() + NAMES_WAIT_MS;
    let waiting = named !== undefined;
    every(clock, DRAIN_INTERVAL_MS, signal, () => {
      waiting &&= !named?.() && clock.nowMs() < untilMs;
      if (!waiting) this.drain();
    });
  }

  /** Reads what is in the ring, up to a limit. */
  drain(): void {
    const { ring, bootWallMs } = this.#options;
    let bootMs: number | undefined;
    ring.drain(DRAIN_MAX_RECORDS, (bytes) => {
      bootMs ??= bootWallMs();
      this.#take(decodeFlowEvent(bytes), bootMs);
    });
  }

  /** The last `count` flows, oldest first. */
  last(count: number): readonly Flow[] {
    return this.#store.last(count);
  }

  /** Flows as they come, from now until the signal aborts. */
  follow(signal: AbortSignal): AsyncIterable<Flow | Lost> {
    const follower = new Follower();
    this.#followers.add(follower);
    signal.addEventListener("abort", () => this.#followers.delete(follower), { once: true });
    if (signal.aborted) this.#followers.delete(follower);
    return follower.flows(signal);
  }

  /**
   * What FLOWS_PATH streams: the last flows (`last=N`, all that are kept without it), then with `follow=true` the coming ones.
   * Throws a UserError when the query is not one.
   */
  stream(query: ReadonlyMap<string, string>, signal: AbortSignal): AsyncIterable<Flow | Lost> {
    const last = query.get("last") ?? String(this.#options.flowsKept);
    if (!/^[0-9]{1,9}$/.test(last)) throw new UserError("last must be a whole number");
    const coming = query.get("follow") === "true" ? this.follow(signal) : [];
    return chain(this.last(Number(last)), coming);
  }

  #take(event: FlowEvent, bootMs: number): void {
    const { names, clock } = this.#options;
    const flow = nameFlow(event, bootMs + Number(event.timeNs / NS_PER_MS), this.#options, names);
    this.#events.add(1, { kind: flow.kind, verdict: flow.verdict, reason: flow.reason });
    this.#store.add(flow);
    for (const follower of this.#followers) if (!follower.offer(flow)) this.#leftOut.add();
    const address = unknownAddress(flow);
    if (address !== undefined) this.#unknown.seen(address, clock.nowMs());
  }
}

async function* chain<T>(first: Iterable<T>, then: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* then;
}
