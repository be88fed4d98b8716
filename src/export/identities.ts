/**
 * Numeric identities, one per label set, inside the cluster's range. Deterministic: no clock, no etcd.
 *
 * A number is never given to a second label set and never taken back: peers hold it in policy maps, and a number that changed its meaning
 * would let one workload pass as another. Collecting unused ones is for a later issue.
 */
import { identityRange } from "../model/cluster.ts";

/** Who is told of it: other clusters too, or the own one only. A namespace that changes sides leaves its identities on both. */
export type Scope = "shared" | "local";

/** A number found in etcd. Without `labels`, its value could not be read: the number is in use all the same. */
export interface StoredIdentity {
  readonly id: number;
  /** Label set as its wire text. */
  readonly labels?: string;
  /** Default: shared. */
  readonly scope?: Scope;
}

/** A label set, its number and who was told of it. */
export type KnownIdentity = readonly [labels: string, id: number, scopes?: readonly Scope[]];

export class IdentityBook {
  readonly #last: number;
  readonly #idOf = new Map<string, number>();
  readonly #taken = new Set<number>();
  readonly #scopes: Readonly<Record<Scope, Set<string>>> = { shared: new Set(), local: new Set() };
  #next: number;

  /**
   * @param stored what etcd holds; it wins over `remembered`.
   * @param remembered numbers this process gave out before, kept as far as etcd does not say otherwise.
   */
  constructor(clusterId: number, stored: readonly StoredIdentity[], remembered: Iterable<KnownIdentity> = []) {
    const { first, last } = identityRange(clusterId);
    this.#next = first;
    this.#last = last;
    for (const { id, labels, scope = "shared" } of [...stored].sort((left, right) => left.id - right.id)) {
      this.#taken.add(id);
      if (labels === undefined || id < first || id > last) continue;
      if (!this.#idOf.has(labels)) this.#idOf.set(labels, id);
      if (this.#idOf.get(labels) === id) this.#scopes[scope].add(labels);
    }
    for (const [labels, id, scopes = []] of remembered) {
      if (!this.#idOf.has(labels) && !this.#taken.has(id)) this.#give(labels, id);
      if (this.#idOf.get(labels) === id) for (const scope of scopes) this.#scopes[scope].add(labels);
    }
  }

  /** The number of a label set, given out now when it has none yet; undefined when the range is used up. */
  identityOf(labels: string, scope: Scope = "shared"): number | undefined {
    const id = this.#idOf.get(labels) ?? this.#giveNext(labels);
    if (id !== undefined) this.#scopes[scope].add(labels);
    return id;
  }

  /** All that were ever given out. */
  *entries(): Generator<KnownIdentity> {
    for (const [labels, id] of this.#idOf) {
      yield [labels, id, (["shared", "local"] as const).filter((scope) => this.#scopes[scope].has(labels))];
    }
  }

  get size(): number {
    return this.#idOf.size;
  }

  #giveNext(labels: string): number | undefined {
    while (this.#next <= this.#last && this.#taken.has(this.#next)) this.#next++;
    return this.#next > this.#last ? undefined : this.#give(labels, this.#next);
  }

  #give(labels: string, id: number): number {
    this.#idOf.set(labels, id);
    this.#taken.add(id);
    return id;
  }
}
