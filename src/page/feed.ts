/** Who watches the page, and what they are sent: always the newest, so that whoever reads slowly misses something and delays nobody. */
import { Worker } from "node:worker_threads";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Gauge, Metrics } from "../runtime/metrics.ts";
import type { FeedEvent } from "../serve/routes.ts";
import type { CollectorOptions, PageFrame } from "./collector.ts";

/** Where a page is told what it shows. */
export const PAGE_PATH = "/v1/page";

/** Of the collecting thread: what a thousand services of many nodes need is a fraction of it. */
const MOST_HEAP_MB = 512;

export interface Listener {
  frame(frame: PageFrame): void;
  /** Nothing more comes. */
  failed(line: string): void;
}

export interface Collecting {
  stop(): void;
}

export type StartCollecting = (listener: Listener) => Collecting;

/** Collects in a thread of its own. */
export function collectInThread(
  workerData: Pick<CollectorOptions, "runDir" | "cluster" | "intervalMs">,
): StartCollecting {
  return (listener) => {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP_MB },
    });
    let stopped = false;
    worker.on("message", (frame: PageFrame) => listener.frame(frame));
    worker.on("error", (error) => {
      if (!stopped) listener.failed(error instanceof Error ? error.message : String(error));
    });
    return {
      stop: () => {
        stopped = true;
        void worker.terminate();
      },
    };
  };
}

export interface PageFeedOptions {
  readonly start: StartCollecting;
  readonly maxSubscribers: number;
  /** Before collecting begins again after it failed. */
  readonly againAfterMs: number;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** What was sent last of each kind, and its number. */
interface Newest {
  readonly event: FeedEvent;
  readonly number: number;
}

export class PageFeed {
  readonly #options: PageFeedOptions;
  readonly #subscribers = new Set<() => void>();
  readonly #newest = new Map<string, Newest>();
  readonly #count: Gauge;
  readonly #refused: () => void;
  #number = 0;
  #collecting: Collecting | undefined;
  #again: Timer | undefined;

  constructor(options: PageFeedOptions) {
    this.#options = options;
    const { metrics } = options;
    this.#count = metrics.gauge("bulkhead_page_subscribers", "Open status pages.");
    this.#count.set(0);
    const refused = metrics.counter(
      "bulkhead_page_refused_total",
      "Status pages that were refused: too many were open.",
    );
    refused.add(0);
    this.#refused = () => refused.add();
  }

  /**
   * `services` and `state`, as PageServices and PageState; `trouble`: one line, why there is nothing new. Ends when the signal aborts. Throws
   * what is answered as 503 when too many are there already. While nobody subscribes, nobody is asked anything.
   */
  subscribe(signal: AbortSignal): AsyncIterable<FeedEvent> {
    const { maxSubscribers } = this.#options;
    if (this.#subscribers.size >= maxSubscribers) {
      this.#refused();
      const line = `${maxSubscribers} status pages are open already, as many as --page-max-subscribers allows; close one`;
      throw Object.assign(new Error(line), { statusCode: 503 });
    }
    let wake = (): void => undefined;
    const woken = (): void => wake();
    this.#enter(woken);
    signal.addEventListener("abort", () => this.#leave(woken), { once: true });
    if (signal.aborted) this.#leave(woken);
    const nextChange = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    return this.#events(signal, nextChange);
  }

  async *#events(signal: AbortSignal, nextChange: () => Promise<void>): AsyncGenerator<FeedEvent> {
    let seen = 0;
    while (!signal.aborted) {
      const changed = nextChange();
      const fresh = [...this.#newest.values()].filter(({ number }) => number > seen);
      seen = this.#number;
      for (const { event } of fresh) yield event;
      if (fresh.length === 0) await changed;
    }
  }

  #enter(woken: () => void): void {
    this.#subscribers.add(woken);
    this.#count.set(this.#subscribers.size);
    if (this.#subscribers.size === 1) this.#start();
  }

  #leave(woken: () => void): void {
    if (!this.#subscribers.delete(woken)) return;
    woken();
    this.#count.set(this.#subscribers.size);
    if (this.#subscribers.size > 0) return;
    this.#again?.cancel();
    this.#collecting?.stop();
    this.#collecting = undefined;
    this.#newest.clear();
  }

  #start(): void {
    this.#collecting = this.#options.start({
      frame: ({ state, services }) => {
        if (services !== undefined) this.#set("services", services);
        this.#set("state", state);
        this.#wake();
      },
      failed: (line) => {
        this.#set("trouble", JSON.stringify(line));
        this.#wake();
        this.#again = this.#options.clock.after(this.#options.againAfterMs, () => this.#start());
      },
    });
  }

  #set(name: string, data: string): void {
    this.#number++;
    this.#newest.delete(name);
    this.#newest.set(name, { event: { name, data }, number: this.#number });
  }

  #wake(): void {
    for (const wake of this.#subscribers) wake();
  }
}
