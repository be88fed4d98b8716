/** What is known of every key of one remote: what it says of it, and what the cache holds of it. Values are not kept. */
import { RESOURCES, type ResourceKind } from "../wire/resources.ts";
import type { Weight } from "./weight.ts";

/** The weight is that of the cached value. */
export interface Known extends Weight {
  /** mod_revision at the remote; 0: the remote does not have the key, the cache does. */
  readonly modRevision: number;
  /** Whether the cache holds a value of the key. It may be an older one: newer ones may be refused, parked or held. */
  readonly cached: boolean;
}

/** The keys of one kind, by cache key. */
class Keys {
  readonly #known: Map<string, Known>;
  cached = 0;
  weight = 0;
  present = 0;

  constructor(known: Map<string, Known>) {
    this.#known = known;
    for (const one of known.values()) this.#count(one, 1);
  }

  get(key: string): Known | undefined {
    return this.#known.get(key);
  }

  set(key: string, known: Known): void {
    this.delete(key);
    this.#known.set(key, known);
    this.#count(known, 1);
  }

  delete(key: string): void {
    const known = this.#known.get(key);
    if (known === undefined) return;
    this.#known.delete(key);
    this.#count(known, -1);
  }

  get size(): number {
    return this.#known.size;
  }

  *cachedKeys(): Generator<string> {
    for (const [key, { cached }] of this.#known) if (cached) yield key;
  }

  #count({ modRevision, cached, weight }: Known, by: number): void {
    if (modRevision > 0) this.present += by;
    if (!cached) return;
    this.cached += by;
    this.weight += by * weight;
  }
}

export class RemoteIndex {
  readonly #keys = new Map<ResourceKind, Keys>();
  /** Counts of what is cached, until the keys are known. */
  readonly #counts = new Map<ResourceKind, number>();
  /** Kinds that were counted since all was forgotten: other counts are of before. */
  readonly #counted = new Set<ResourceKind>();

  counted(kind: ResourceKind, count: number): void {
    this.#counts.set(kind, count);
    this.#counted.add(kind);
  }

  /** Whether `cached` is what the cache holds now. */
  isCounted(kind: ResourceKind): boolean {
    return this.#keys.has(kind) || this.#counted.has(kind);
  }

  /** Replaces all that is known of a kind by a complete listing. Keeps the map, and changes it: a copy of 100,000 keys would hold the loop for long. */
  replace(kind: ResourceKind, known: Map<string, Known>): void {
    this.#keys.set(kind, new Keys(known));
  }

  /** Another process may have written into the cache: nothing is known any more but how much it held once. */
  forget(): void {
    this.#counted.clear();
    for (const { kind } of RESOURCES) {
      this.#counts.set(kind, this.cached(kind));
      this.#keys.delete(kind);
    }
  }

  get(kind: ResourceKind, key: string): Known | undefined {
    return this.#keys.get(kind)?.get(key);
  }

  set(kind: ResourceKind, key: string, known: Known): void {
    this.#keys.get(kind)?.set(key, known);
  }

  delete(kind: ResourceKind, key: string): void {
    this.#keys.get(kind)?.delete(key);
  }

  /** Keys that the remote has. */
  present(kind: ResourceKind): number {
    return this.#keys.get(kind)?.present ?? 0;
  }

  /** Keys in the cache, as far as known: until they are counted, what it held once. */
  cached(kind: ResourceKind): number {
    return this.#keys.get(kind)?.cached ?? this.#counts.get(kind) ?? 0;
  }

  cachedKeys(kind: ResourceKind): Iterable<string> {
    return this.#keys.get(kind)?.cachedKeys() ?? [];
  }

  weight(kind: ResourceKind): number {
    return this.#keys.get(kind)?.weight ?? 0;
  }

  /** Keys kept in memory, of all kinds. */
  get size(): number {
    let size = 0;
    for (const keys of this.#keys.values()) size += keys.size;
    return size;
  }
}
