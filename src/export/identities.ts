/**
 * Numeric identities, one per label set, inside the cluster's range. Deterministic: no clock, no etcd.
 *
 * A number is never given to a second label set while anybody may know it by the first: peers hold it in policy maps, and a number that
 * changed its meaning would let one workload pass as another. So numbers go upwards, those taken back come again only after all others, and the
 * highest is never taken back: it is what the next process goes on from.
 */
import { identityRange } from "../model/cluster.ts";

/** Who is told of it: other clusters too, or the own one only. A namespace that changes sides leaves its identities on both. */
export type Scope = "shared" | "local";
const SCOPES: readonly Scope[] = ["shared", "local"];

/** Numbers by who needs them. */
export type Used = Readonly<Record<Scope, ReadonlySet<number>>>;

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
  readonly #first: number;
  readonly #last: number;
  readonly #idOf = new Map<string, number>();
  readonly #taken = new Set<number>();
  readonly #scopes: Readonly<Record<Scope, Set<string>>> = { shared: new Set(), local: new Set() };
  /** Since when nobody has been seen with a label set, on each side. */
  readonly #idleSinceMs: Readonly<Record<Scope, Map<string, number>>> = { shared: new Map(), local: new Map() };
  #highest: number;
  #collections = 0;

  /**
   * @param stored what etcd holds; it wins over `remembered`.
   * @param remembered numbers this process gave out before, kept as far as etcd does not say otherwise.
   */
  constructor(clusterId: number, stored: readonly StoredIdentity[], remembered: Iterable<KnownIdentity> = []) {
    const { first, last } = identityRange(clusterId);
    this.#first = first;
    this.#last = last;
    this.#highest = first - 1;
    for (const { id, labels, scope = "shared" } of [...stored].sort((left, right) => left.id - right.id)) {
      if (id < first || id > last) continue;
      this.#take(id);
      if (labels === undefined) continue;
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
    this.#idleSinceMs[scope].delete(labels);
    return id;
  }

  /** All that are known. */
  *entries(): Generator<KnownIdentity> {
    for (const [labels, id] of this.#idOf) {
      yield [labels, id, SCOPES.filter((scope) => this.#scopes[scope].has(labels))];
    }
  }

  get size(): number {
    return this.#idOf.size;
  }

  /**
   * Takes back, at most `most` at a time, what nobody uses now and nobody used at a pass `keepMs` ago or more, nor since. The first pass that finds a
   * label set idle takes nothing. Returns the sides on which somebody was told of it, by number.
   */
  sweep(used: Used, nowMs: number, keepMs: number, most: number): readonly (readonly [Scope, number])[] {
    const gone: [Scope, number][] = [];
    for (const scope of SCOPES) {
      const idle = this.#idleSinceMs[scope];
      for (const labels of this.#scopes[scope]) {
        const id = this.#idOf.get(labels) ?? 0;
        const sinceMs = idle.get(labels);
        if (used[scope].has(id)) idle.delete(labels);
        else if (sinceMs === undefined) idle.set(labels, nowMs);
        else if (nowMs - sinceMs >= keepMs && id !== this.#highest && gone.length < most) {
          gone.push([scope, id]);
          this.#forget(labels, id, scope);
        }
      }
    }
    if (gone.length > 0) this.#collections++;
    return gone;
  }

  /** How often something was taken back: what was made of numbers before may not be said again. */
  get collections(): number {
    return this.#collections;
  }

  /** What was idle so far may have been in use: nobody could say. */
  wake(): void {
    for (const scope of SCOPES) this.#idleSinceMs[scope].clear();
  }

  #forget(labels: string, id: number, scope: Scope): void {
    this.#scopes[scope].delete(labels);
    this.#idleSinceMs[scope].delete(labels);
    if (SCOPES.some((side) => this.#scopes[side].has(labels))) return;
    this.#idOf.delete(labels);
    this.#taken.delete(id);
  }

  #giveNext(labels: string): number | undefined {
    if (this.#taken.size > this.#last - this.#first) return undefined;
    let id = this.#highest + 1;
    while (id > this.#last || this.#taken.has(id)) id = id >= this.#last ? this.#first : id + 1;
    return this.#give(labels, id);
  }

  #give(labels: string, id: number): number {
    this.#idOf.set(labels, id);
    this.#take(id);
    return id;
  }

  #take(id: number): void {
    this.#taken.add(id);
    this.#highest = Math.max(this.#highest, id);
  }
}
