/** The last flows, oldest first out. */
import type { Flow } from "../model/flow.ts";

export class FlowStore {
  readonly #kept: number;
  readonly #ring: Flow[] = [];
  #next = 0;

  /** @param kept most flows held, at least 1. */
  constructor(kept: number) {
    this.#kept = kept;
  }

  add(flow: Flow): void {
    this.#ring[this.#next] = flow;
    this.#next = (this.#next + 1) % this.#kept;
  }

  /** The last `count` or fewer, in order of arrival. */
  last(count: number): readonly Flow[] {
    const inOrder = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    return count <= 0 ? [] : inOrder.slice(-count);
  }
}
