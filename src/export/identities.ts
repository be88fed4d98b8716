/**
 * Numeric identities, one per label set, inside the cluster's range. Deterministic: no clock, no etcd.
 *
 * A number is never given to a second label set and never taken back: peers hold it in policy maps, and a number that changed its meaning
 * would let one workload pass as another. Collecting unused ones is for a later issue.
 */
import { identityRange } from "../model/cluster.ts";

/** A number found in etcd. Without `labels`, its value could not be read: the number is in use all the same. */
export interface StoredIdentity {
  readonly id: number;
  /** Label set as its wire text. */
  readonly labels?: string;
}

export class IdentityBook {
  readonly #last: number;
  readonly #idOf = new Map<string, number>();
  readonly #taken = new Set<number>();
  #next: number;

  /**
   * @param stored what etcd holds; it wins over `remembered`.
   * @param remembered numbers this process gave out before, kept as far as etcd does not say otherwise.
   */
  constructor(
    clusterId: number,
    stored: readonly StoredIdentity[],
    remembered: Iterable<readonly [string, number]> = [],
  ) {
    const { first, last } = identityRange(clusterId);
    this.#next = first;
    this.#last = last;
    for (const { id, labels } of [...stored].sort((left, right) => left.id - right.id)) {
      this.#taken.add(id);
      if (labels !== undefined && id >= first && id <= last && !this.#idOf.has(labels)) this.#idOf.set(labels, id);
    }
    for (const [labels, id] of remembered) if (!this.#idOf.has(labels) && !this.#taken.has(id)) this.#give(labels, id);
  }

  /** The number of a label set, given out now when it has none yet; undefined when the range is used up. */
  identityOf(labels: string): number | undefined {
    const known = this.#idOf.get(labels);
    if (known !== undefined) return known;
    while (this.#next <= this.#last && this.#taken.has(this.#next)) this.#next++;
    if (this.#next > this.#last) return undefined;
    return this.#give(labels, this.#next);
  }

  /** Label set -> number, of all that were ever given out. */
  entries(): IterableIterator<[string, number]> {
    return this.#idOf.entries();
  }

  get size(): number {
    return this.#idOf.size;
  }

  #give(labels: string, id: number): number {
    this.#idOf.set(labels, id);
    this.#taken.add(id);
    return id;
  }
}
