/** Values of clusters whose config is not known yet: kept as they came, bounded, and judged when the config arrives. */

export interface Parked {
  readonly key: string;
  readonly value: Uint8Array;
}

export class Parking {
  readonly #limit: number;
  readonly #lots = new Map<string, Map<string, Uint8Array>>();
  readonly #overflowed = new Set<string>();
  #size = 0;

  /** @param limit values kept, over all clusters. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /** Clusters with parked values, and how many. */
  counts(): ReadonlyMap<string, number> {
    return new Map([...this.#lots].map(([cluster, lot]) => [cluster, lot.size]));
  }

  put(cluster: string, { key, value }: Parked): void {
    const lot = this.#lots.get(cluster) ?? new Map<string, Uint8Array>();
    if (!lot.has(key) && this.#size >= this.#limit) {
      this.#overflowed.add(cluster);
      return;
    }
    this.#size += lot.has(key) ? 0 : 1;
    this.#lots.set(cluster, lot.set(key, value));
  }

  delete(cluster: string, key: string): void {
    const lot = this.#lots.get(cluster);
    if (lot?.delete(key)) this.#size--;
    if (lot?.size === 0) this.#lots.delete(cluster);
  }

  /** Everything parked for `cluster`; `complete` unless the limit turned some away: then only a new listing brings all. */
  take(cluster: string): { readonly values: readonly Parked[]; readonly complete: boolean } {
    const lot = this.#lots.get(cluster) ?? new Map<string, Uint8Array>();
    this.#size -= lot.size;
    this.#lots.delete(cluster);
    const complete = !this.#overflowed.delete(cluster);
    return { values: [...lot].map(([key, value]) => ({ key, value })), complete };
  }

  clear(): void {
    this.#lots.clear();
    this.#overflowed.clear();
    this.#size = 0;
  }
}
