/** How often somebody is told of an address without identity: the kernel may see thousands a second, and each telling costs a look-up. */

/** Tellings a second, of one address and of all together. */
const INTERVAL_MS = 1_000;
const MOST_PER_INTERVAL = 20;

export class UnknownAddresses {
  readonly #tell: (address: string) => void;
  readonly #told = new Set<string>();
  #sinceMs = Number.NEGATIVE_INFINITY;

  constructor(tell: (address: string) => void) {
    this.#tell = tell;
  }

  /** False when it was held back. */
  seen(address: string, nowMs: number): boolean {
    if (nowMs - this.#sinceMs >= INTERVAL_MS) {
      this.#told.clear();
      this.#sinceMs = nowMs;
    }
    if (this.#told.has(address) || this.#told.size >= MOST_PER_INTERVAL) return false;
    this.#told.add(address);
    this.#tell(address);
    return true;
  }
}
