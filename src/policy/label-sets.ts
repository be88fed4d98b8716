/**
 * The selector cache: each distinct selector once, with the identities it matches. A selector that requires a value of some label is found by
 * that value, so an identity that comes or goes touches only selectors that can match it; and the other way round for a selector that comes.
 */
import { RESERVED_IDENTITIES } from "../model/identity.ts";
import type { Requirement } from "../model/policy.ts";
import type { Label } from "../model/resource.ts";
import { type Follower, PeerSet } from "./peer-set.ts";
import type { LabelTerm } from "./peers.ts";
import { asksReserved, isWorkload, matches, reservedLabels } from "./selector.ts";

class LabelSet extends PeerSet {
  readonly requirements: readonly Requirement[];
  readonly #workloadsOnly: boolean;
  /** The values under which it is found, as in `labelValue`; empty: looked at for every identity. */
  readonly anchors: readonly string[];

  constructor(requirements: readonly Requirement[], anchors: readonly string[]) {
    super();
    this.requirements = requirements;
    this.#workloadsOnly = !asksReserved(requirements);
    this.anchors = anchors;
  }

  matches(labels: readonly Label[]): boolean {
    return matches(this.requirements, labels) && (!this.#workloadsOnly || isWorkload(labels));
  }
}

type LabelValue = string;

function labelValue(key: string, value: string): LabelValue {
  return `${key}=${value}`;
}

export class LabelSets {
  readonly #sets = new Map<string, LabelSet>();
  readonly #anchored = new Map<LabelValue, Set<LabelSet>>();
  readonly #unanchored = new Set<LabelSet>();
  readonly #labels = new Map<number, readonly Label[]>();
  readonly #identities = new Map<LabelValue, Set<number>>();
  #examined = 0;

  constructor() {
    for (const [name, identity] of Object.entries(RESERVED_IDENTITIES)) {
      if (identity !== RESERVED_IDENTITIES.unknown) this.put(identity, reservedLabels(name));
    }
  }

  /** Distinct selectors. */
  get size(): number {
    return this.#sets.size;
  }

  /** Selectors that identities were compared with since start. */
  get examined(): number {
    return this.#examined;
  }

  identities(): IterableIterator<number> {
    return this.#labels.keys();
  }

  has(identity: number): boolean {
    return this.#labels.has(identity);
  }

  follow({ text, requirements }: LabelTerm, follower: Follower): PeerSet {
    const set = this.#sets.get(text) ?? this.#add(text, requirements);
    set.followers.add(follower);
    return set;
  }

  leave({ text }: LabelTerm, follower: Follower): void {
    const set = this.#sets.get(text);
    set?.followers.delete(follower);
    if (set === undefined || set.followers.size > 0) return;
    this.#sets.delete(text);
    this.#unanchored.delete(set);
    for (const anchor of set.anchors) remove(this.#anchored, anchor, set);
  }

  /** An identity came, or has other labels. */
  put(identity: number, labels: readonly Label[]): void {
    this.#replace(identity, labels);
  }

  remove(identity: number): void {
    this.#replace(identity, undefined);
  }

  #replace(identity: number, labels: readonly Label[] | undefined): void {
    const before = this.#labels.get(identity) ?? [];
    for (const { key, value } of before) remove(this.#identities, labelValue(key, value), identity);
    if (labels === undefined) this.#labels.delete(identity);
    else this.#labels.set(identity, labels);
    for (const { key, value } of labels ?? []) add(this.#identities, labelValue(key, value), identity);
    for (const set of this.#candidates(before, labels ?? [])) {
      this.#examined++;
      set.place(identity, labels !== undefined && set.matches(labels));
    }
  }

  #candidates(...labels: readonly (readonly Label[])[]): ReadonlySet<LabelSet> {
    const found = new Set(this.#unanchored);
    for (const { key, value } of labels.flat()) {
      for (const set of this.#anchored.get(labelValue(key, value)) ?? []) found.add(set);
    }
    return found;
  }

  #add(text: string, requirements: readonly Requirement[]): LabelSet {
    const set = new LabelSet(requirements, this.#anchorsOf(requirements));
    this.#sets.set(text, set);
    if (set.anchors.length === 0) this.#unanchored.add(set);
    for (const anchor of set.anchors) add(this.#anchored, anchor, set);
    for (const identity of this.#possible(requirements)) {
      if (set.matches(this.#labels.get(identity) ?? [])) set.members.add(identity);
    }
    return set;
  }

  /** The required values that fewest other selectors are found under. */
  #anchorsOf(requirements: readonly Requirement[]): readonly LabelValue[] {
    const crowd = (values: readonly LabelValue[]): number => total(values, this.#anchored);
    return least(requirements.map(valuesOf), crowd) ?? [];
  }

  /** Every identity that can match, and few others. */
  #possible(requirements: readonly Requirement[]): Iterable<number> {
    const crowd = (values: readonly LabelValue[]): number => total(values, this.#identities);
    const values = least(requirements.map(valuesOf), crowd);
    if (values === undefined) return this.#labels.keys();
    return values.flatMap((value) => [...(this.#identities.get(value) ?? [])]);
  }
}

function valuesOf({ key, operator, values }: Requirement): readonly LabelValue[] {
  return operator === "In" ? values.map((value) => labelValue(key, value)) : [];
}

function total(values: readonly LabelValue[], index: ReadonlyMap<LabelValue, ReadonlySet<unknown>>): number {
  return values.reduce((sum, value) => sum + (index.get(value)?.size ?? 0), 0);
}

/** Of the lists with something in them, the one of least weight. */
function least<T>(lists: readonly (readonly T[])[], weigh: (list: readonly T[]) => number): readonly T[] | undefined {
  let best: readonly T[] | undefined;
  let bestWeight = Number.POSITIVE_INFINITY;
  for (const list of lists) {
    const weight = list.length === 0 ? Number.POSITIVE_INFINITY : weigh(list);
    if (weight >= bestWeight) continue;
    best = list;
    bestWeight = weight;
  }
  return best;
}

function add<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  if (values === undefined) index.set(key, new Set([value]));
  else values.add(value);
}

function remove<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  values?.delete(value);
  if (values?.size === 0) index.delete(key);
}
