/** One reader of the flows as they come. A reader that is slower than the flows loses some and is told how many; memory stays bounded. */
import type { Flow } from "../model/flow.ts";

/** Flows that wait for a slow reader; what comes then is not kept for it. */
export const FOLLOWER_MAX_FLOWS = 2_000;

/** In a stream of flows: so many were left out here. */
export interface Lost {
  readonly lost: number;
}

export class Follower {
  #waiting: Flow[] = [];
  #lost = 0;
  #wake: (() => void) | undefined;

  /** False when the flow was left out. */
  offer(flow: Flow): boolean {
    const room = this.#waiting.length < FOLLOWER_MAX_FLOWS;
    if (room) this.#waiting.push(flow);
    else this.#lost++;
    this.#wake?.();
    return room;
  }

  /** Ends when the signal aborts. */
  async *flows(signal: AbortSignal): AsyncGenerator<Flow | Lost> {
    const wake = (): void => this.#wake?.();
    signal.addEventListener("abort", wake, { once: true });
    try {
      while (!signal.aborted) {
        const [waiting, lost] = [this.#waiting, this.#lost];
        this.#waiting = [];
        this.#lost = 0;
        yield* waiting;
        if (lost > 0) yield { lost };
        if (this.#waiting.length === 0) await this.#something(signal);
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  #something(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
