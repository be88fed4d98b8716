/**
 * What an operator decides about one remote's keys: withdrawals that are held, and values that are refused or parked. Keys are those that are listed; what
 * cannot be done is a UserError, and then nothing was changed.
 */
import type { Discarded, HeldKey } from "../model/status.ts";
import type { Logger } from "../runtime/log.ts";
import { UserError } from "../runtime/user-error.ts";
import { MAX_DISCARDED_KEYS } from "../wire/holds.ts";
import { parseCacheKey, RESOURCES, type ResourceKind } from "../wire/resources.ts";
import type { Guard } from "./guard.ts";
import type { RemoteRecord } from "./record.ts";
import type { RemoteCache } from "./remote-cache.ts";

export interface DecisionsOptions {
  readonly record: RemoteRecord;
  readonly guard: Guard;
  readonly cache: RemoteCache;
  readonly log: Logger;
}

export class Decisions {
  readonly #options: DecisionsOptions;
  readonly #name: string;

  constructor(options: DecisionsOptions) {
    this.#options = options;
    this.#name = options.record.name;
  }

  /** Believes these keys, or all that nobody discarded one by one. Returns how many keys that were. */
  confirm(kind: ResourceKind, keys: readonly string[]): number {
    const { guard, cache } = this.#options;
    this.#mayWrite();
    const held = this.#held(kind);
    const spared = new Set(guard.discardedKeys(kind));
    const meant = keys.length > 0 ? this.#all(keys, held, `held of ${this.#name}/${kind}`) : held.difference(spared);
    if (meant.size === 0) {
      throw new UserError(
        `all that is held of ${this.#name}/${kind} was discarded key by key: name the keys to confirm them`,
      );
    }
    const confirmed = cache.confirm(kind, meant.size === held.size ? undefined : meant);
    return this.#told("an operator confirmed withdrawals", kind, confirmed);
  }

  /** Does not believe these keys, or all that is held of the kind, now or later. Returns how many keys that were. */
  discard(kind: ResourceKind, keys: readonly string[]): number {
    const { guard } = this.#options;
    this.#mustLead();
    const held = this.#held(kind);
    if (keys.length === 0) {
      guard.discard(kind);
      return this.#told("an operator discarded withdrawals", kind, held.size);
    }
    const meant = this.#all(keys, held, `held of ${this.#name}/${kind}`);
    const before = RESOURCES.flatMap((row) => guard.discardedKeys(row.kind));
    const named = new Set(before).union(meant).size;
    if (named > MAX_DISCARDED_KEYS) {
      throw new UserError(
        `${named} keys of ${this.#name} would be discarded one by one, and ${MAX_DISCARDED_KEYS} can be: discard ${this.#name}/${kind} as a whole`,
      );
    }
    guard.discardKeys(kind, meant);
    return this.#told("an operator discarded withdrawals", kind, meant.size);
  }

  /** Forgets refused and parked values, and withdraws the last good ones of the refused. @param reason of this reason only. */
  discardRefused(reason: string | undefined, keys: readonly string[]): Discarded {
    const { record, cache } = this.#options;
    this.#mayWrite();
    const found = new Map<string, string>();
    for (const [cacheKey, { key, reason: its }] of record.setAsideOf()) {
      // A refused drain marker is of no kind: its remote can mend it, and the last good one is no claim of anything.
      const isRow = parseCacheKey(cacheKey) !== undefined;
      if (isRow && (reason === undefined || its === reason)) found.set(key, cacheKey);
    }
    const why = reason === undefined ? "refused or parked" : `set aside as ${reason}`;
    const meant = keys.length > 0 ? this.#all(keys, new Set(found.keys()), `${why} of ${this.#name}`) : found.keys();
    const parsed = [...meant].map((key) => this.#known(found.get(key) as string));
    if (parsed.length === 0)
      throw new UserError(`nothing of ${this.#name} is ${why}; \`bulkhead rejected\` lists what is`);
    const withdrawn = parsed.filter(({ kind, key }) => cache.discardRefused(kind, key)).length;
    const done = { remote: this.#name, withdrawn, forgotten: parsed.length - withdrawn };
    this.#options.log.info(done, "an operator discarded refused values");
    return done;
  }

  /** All that is held, key by key. */
  heldKeys(): readonly HeldKey[] {
    return this.#options.guard.heldKeys().map((held) => ({ remote: this.#name, ...held }));
  }

  #held(kind: ResourceKind): ReadonlySet<string> {
    return new Set(this.#options.guard.heldKeys().flatMap((held) => (held.kind === kind ? held.key : [])));
  }

  #all(keys: readonly string[], known: ReadonlySet<string>, what: string): ReadonlySet<string> {
    for (const key of keys) if (!known.has(key)) throw new UserError(`${key} is not ${what}; nothing was changed`);
    return new Set(keys);
  }

  /** After a change of leadership nobody knows what the cache holds of a remote until it was listed. */
  #known(cacheKey: string): { readonly kind: ResourceKind; readonly key: string } {
    const kind = parseCacheKey(cacheKey)?.kind;
    if (kind !== undefined && this.#options.record.index.get(kind, cacheKey)) return { kind, key: cacheKey };
    throw new UserError(`${this.#name} was not listed since this kvstoremesh leads: wait until it is connected`);
  }

  /** A listing that is being worked in takes what it began with for what stands. */
  #mayWrite(): void {
    this.#mustLead();
    if (this.#options.record.phase !== "reconciling") return;
    throw new UserError(`${this.#name} is being compared with the cache just now: try again in a moment`);
  }

  /** Nobody else writes, be it only down what was decided. */
  #mustLead(): void {
    if (!this.#options.cache.isOpen)
      throw new UserError("this kvstoremesh does not lead: decide where the leader runs");
  }

  #told(what: string, kind: ResourceKind, keys: number): number {
    this.#options.log.info({ remote: this.#name, kind, keys }, what);
    return keys;
  }
}
