/**
 * One family of policy maps as we know it to be. A slot is filled whole before it stands in its place. Later changes go into it in place, longest
 * prefix first and removals shortest first: so each probe meets what the old or the new entries say, and nothing else. What changes the row for
 * anybody together with others, or does not fit beside what is there, is put whole instead: two probes of one packet would meet one old and one new.
 * So is a slot that loses entries and gains endpoints, to which the old entries never applied.
 */
import { KernelError, type KernelMap, type KernelMapFamily } from "../kernel/door.ts";
import { decodePolicyKey } from "../maps/policy-map.ts";
import type { MapStatus } from "../model/status.ts";
import type { Clock } from "../runtime/clock.ts";
import { DesiredMap, type EntryKey, joinedKeys, keyBytes } from "../tables/desired-map.ts";
import { type Dump, joined, MirroredMap } from "./mirrored-map.ts";

/** `put`: slots that are new, gone, or to be changed whole. `update`, `trim`: entries written and removed in place. `remove`: slots nobody wants. */
export type FamilyVerb = "put" | "update" | "trim" | "remove";

export class MirroredFamily {
  readonly #family: KernelMapFamily;
  readonly #desired: ReadonlyMap<number, DesiredMap>;
  readonly #clock: Clock;
  readonly #slots = new Map<number, MirroredMap>();
  /** Slots that do not take a change in place. */
  readonly #whole = new Set<number>();
  #doubtful = false;
  /** Of slots that are gone. */
  #past = { written: 0, removed: 0 };

  constructor(family: KernelMapFamily, desired: ReadonlyMap<number, DesiredMap>, clock: Clock) {
    this.#family = family;
    this.#desired = desired;
    this.#clock = clock;
  }

  get adopted(): number {
    return this.#sum((map) => map.adopted);
  }

  get written(): number {
    return this.#past.written + this.#sum((map) => map.written);
  }

  get removed(): number {
    return this.#past.removed + this.#sum((map) => map.removed);
  }

  /** Reads the family at start: all of it counts as taken over. Once what is desired of it is known, `compare`. */
  async adopt(): Promise<ReadonlyMap<number, Dump>> {
    const dumps = new Map<number, Dump>();
    for (const [slot, map] of await this.#family.read()) {
      const mirrored = new MirroredMap(map, new DesiredMap(), this.#clock);
      dumps.set(slot, await mirrored.adopt());
      this.#slots.set(slot, mirrored);
    }
    return dumps;
  }

  async compare(): Promise<void> {
    for (const map of this.#slots.values()) await map.compare();
  }

  doubt(): void {
    this.#doubtful = true;
  }

  /** Reads what is in doubt. */
  async refresh(): Promise<void> {
    if (this.#doubtful) await this.#read();
    for (const map of this.#slots.values()) await map.refresh();
  }

  /** Takes note of what the compilers changed. */
  collect(): void {
    for (const [slot, desired] of this.#desired) {
      const map = this.#slots.get(slot);
      map?.follow(desired);
      map?.collect();
      if (map !== undefined && mixesRows(map)) this.#whole.add(slot);
    }
  }

  /** Endpoints are about to move to these slots: what is to be removed from them must be gone by then. */
  movedInto(slots: ReadonlySet<number>): void {
    for (const slot of slots) if (this.#slots.get(slot)?.differing("remove").length) this.#whole.add(slot);
  }

  /** Slots that the verb is for, in order. */
  pending(verb: FamilyVerb): readonly number[] {
    if (verb === "remove") return this.#held((slot) => !this.#desired.has(slot));
    if (verb === "put") {
      return [...this.#desired.keys()]
        .filter((slot) => !this.#slots.has(slot) || this.#whole.has(slot))
        .sort(ascending);
    }
    const inPlace = verb === "update" ? "update" : "remove";
    return this.#held((slot, map) => this.#desired.has(slot) && map.differing(inPlace).length > 0);
  }

  /** Rejects with the first failure after all slots were tried; what was done is known, or in doubt and read by `refresh`. */
  async apply(verb: FamilyVerb, slots: readonly number[]): Promise<void> {
    if (verb === "put") return this.#put(slots);
    if (verb === "remove") return this.#remove(slots);
    const failures: unknown[] = [];
    for (const slot of slots) {
      await (verb === "update" ? this.#update(slot) : this.#trim(slot)).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Whether the slot holds everything that is desired of it, and nothing that must be gone before an endpoint moves to it. */
  isFilled(slot: number): boolean {
    return !this.#whole.has(slot) && this.#slots.get(slot)?.differing("update").length === 0;
  }

  /** Identities that some slot's entries do not say yet what they should. */
  waiting(): ReadonlySet<number> {
    const keys = [...this.#slots].flatMap(([slot, map]) => (this.#desired.has(slot) ? map.differing("update") : []));
    return new Set(keys.map((key) => decodePolicyKey(keyBytes(key)).identity));
  }

  /** Whether the slot is neither held nor desired; no, while that is in doubt. */
  isFree(slot: number): boolean {
    return !this.#doubtful && !this.#slots.has(slot) && !this.#desired.has(slot);
  }

  status(): MapStatus {
    return { name: this.#family.name, entries: this.#slots.size, maxEntries: this.#family.maxMaps };
  }

  async #put(slots: readonly number[]): Promise<void> {
    const members = slots.map((slot) => ({ slot, entries: entriesOf(this.#desired.get(slot) as DesiredMap) }));
    const maps = await this.#family.put(members).catch((error: unknown) => {
      this.#doubtful = !(error instanceof KernelError && error.full && error.done === 0);
      throw error;
    });
    for (const [index, slot] of slots.entries()) this.#stand(slot, maps[index] as KernelMap);
  }

  #stand(slot: number, map: KernelMap): void {
    const desired = this.#desired.get(slot) as DesiredMap;
    const mirrored = this.#slots.get(slot) ?? new MirroredMap(map, desired, this.#clock);
    mirrored.replaced(map);
    this.#slots.set(slot, mirrored);
    this.#whole.delete(slot);
  }

  async #update(slot: number): Promise<void> {
    const map = this.#slots.get(slot) as MirroredMap;
    try {
      await map.update(map.differing("update").toReversed());
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#whole.add(slot);
      await this.#put([slot]);
    }
  }

  /** Only what the new entries stand in for already may go. */
  async #trim(slot: number): Promise<void> {
    const map = this.#slots.get(slot) as MirroredMap;
    if (this.isFilled(slot)) await map.remove(map.differing("remove"));
  }

  async #remove(slots: readonly number[]): Promise<void> {
    try {
      await this.#family.remove(slots);
    } catch (error) {
      this.#doubtful = true;
      throw error;
    }
    for (const slot of slots) this.#forget(slot, true);
  }

  #forget(slot: number, byUs: boolean): void {
    const map = this.#slots.get(slot);
    if (map === undefined) return;
    this.#past.written += map.written;
    this.#past.removed += map.removed + (byUs ? map.status().entries : 0);
    this.#slots.delete(slot);
    this.#whole.delete(slot);
  }

  async #read(): Promise<void> {
    const found = await this.#family.read();
    for (const slot of [...this.#slots.keys()]) if (!found.has(slot)) this.#forget(slot, false);
    for (const [slot, map] of found) {
      const mirrored =
        this.#slots.get(slot) ?? new MirroredMap(map, this.#desired.get(slot) ?? new DesiredMap(), this.#clock);
      await mirrored.reread(map);
      this.#slots.set(slot, mirrored);
    }
    this.#doubtful = false;
  }

  #held(takes: (slot: number, map: MirroredMap) => boolean): readonly number[] {
    const held = [...this.#slots].filter(([slot, map]) => takes(slot, map));
    return held.map(([slot]) => slot).sort(ascending);
  }

  #sum(of: (map: MirroredMap) => number): number {
    return [...this.#slots.values()].reduce((total, map) => total + of(map), 0);
  }
}

const ascending = (left: number, right: number): number => left - right;

/** Whether the row for anybody changes together with another entry. */
function mixesRows(map: MirroredMap): boolean {
  const keys = [...map.differing("update"), ...map.differing("remove")];
  return keys.length > 1 && keys.some((key) => decodePolicyKey(keyBytes(key)).identity === 0);
}

function entriesOf(desired: DesiredMap): { count: number; keys: Uint8Array; values: Uint8Array } {
  const entries: readonly (readonly [EntryKey, Uint8Array])[] = [...desired.entries()];
  return {
    count: entries.length,
    keys: joinedKeys(entries.map(([key]) => key)),
    values: joined(entries.map(([, value]) => value)),
  };
}
