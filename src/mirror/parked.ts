/** Values of one remote whose owner is not known yet (an address before its node or identity): judged again when that may have changed. */
import type { ResourceKind } from "../wire/resources.ts";

/** Values of one remote that wait at once, and their bytes; more are refused with `parking-full`. */
export const MAX_PARKED = 20_000;
export const MAX_PARKED_BYTES = 16 * 1024 * 1024;

export interface ParkedValue {
  readonly kind: ResourceKind;
  /** Below the watched prefix. */
  readonly suffix: string;
  readonly value: Uint8Array;
  readonly modRevision: number;
  /** What it waits for, such as `identity 131330`. */
  readonly waitsFor: string;
}

export class Parked {
  /** By cache key. */
  readonly #values = new Map<string, ParkedValue>();
  /** What is waited for -> cache keys. */
  readonly #waiting = new Map<string, Set<string>>();
  #bytes = 0;

  get size(): number {
    return this.#values.size;
  }

  /** False: there is no room. */
  add(key: string, parked: ParkedValue): boolean {
    this.delete(key);
    if (this.#values.size >= MAX_PARKED || this.#bytes + parked.value.length > MAX_PARKED_BYTES) return false;
    // A view would keep the whole answer alive that it is a part of.
    this.#values.set(key, { ...parked, value: parked.value.slice() });
    this.#bytes += parked.value.length;
    const waiting = this.#waiting.get(parked.waitsFor) ?? new Set();
    this.#waiting.set(parked.waitsFor, waiting.add(key));
    return true;
  }

  /** Whether it was there. */
  delete(key: string): boolean {
    const parked = this.#values.get(key);
    if (parked === undefined) return false;
    this.#values.delete(key);
    this.#bytes -= parked.value.length;
    const waiting = this.#waiting.get(parked.waitsFor);
    waiting?.delete(key);
    if (waiting?.size === 0) this.#waiting.delete(parked.waitsFor);
    return true;
  }

  /** Takes out all that waits for this. */
  take(waitsFor: string): readonly ParkedValue[] {
    const keys = [...(this.#waiting.get(waitsFor) ?? [])];
    const taken = keys.flatMap((key) => this.#values.get(key) ?? []);
    for (const key of keys) this.delete(key);
    return taken;
  }

  entries(): IterableIterator<[string, ParkedValue]> {
    return this.#values.entries();
  }

  clear(): void {
    this.#values.clear();
    this.#waiting.clear();
    this.#bytes = 0;
  }
}
