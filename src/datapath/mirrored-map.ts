/** One kernel map as we know it to be: read once, then kept in step with what the kernel acknowledged. */
import { KernelError, type KernelMap } from "../kernel/door.ts";
import type { MapStatus } from "../model/status.ts";
import { type DesiredMap, type EntryKey, entryKey, equalBytes, joinedKeys, keyBytes } from "../tables/desired-map.ts";

export type Dump = readonly (readonly [key: Uint8Array, value: Uint8Array])[];

/** Who wants to know of a map's values as they come and go. */
export interface ValueWatcher {
  /** It is about to be written. */
  writing(value: Uint8Array): void;
  /** It was removed, and no program can read it any more. */
  removed(value: Uint8Array): void;
}

export class MirroredMap {
  #map: KernelMap;
  #desired: DesiredMap;
  #actual = new Map<EntryKey, Uint8Array>();
  /** Keys whose entries may differ from what is desired. */
  #suspects = new Set<EntryKey>();
  /** Keys found at start and not touched since. */
  #adopted = new Set<EntryKey>();
  /** Nobody knows what the map holds: a call failed, or it is time to look. */
  #doubtful = false;
  /** Keys whose entries are to be looked up. */
  #unsure = new Set<EntryKey>();
  #written = 0;
  #removed = 0;
  readonly #watcher: ValueWatcher | undefined;

  constructor(map: KernelMap, desired: DesiredMap, watcher?: ValueWatcher) {
    this.#map = map;
    this.#desired = desired;
    this.#watcher = watcher;
  }

  get adopted(): number {
    return this.#adopted.size;
  }

  /** Entries written and removed since start. */
  get written(): number {
    return this.#written;
  }

  get removed(): number {
    return this.#removed;
  }

  entries(): IterableIterator<[EntryKey, Uint8Array]> {
    return this.#actual.entries();
  }

  get(key: EntryKey): Uint8Array | undefined {
    return this.#actual.get(key);
  }

  /** What the map should hold. */
  wanted(): IterableIterator<[EntryKey, Uint8Array]> {
    return this.#desired.entries();
  }

  /** Whether these fit, with what is there. */
  hasRoomFor(keys: readonly EntryKey[]): boolean {
    const fresh = keys.filter((key) => !this.#actual.has(key)).length;
    return this.#actual.size + fresh <= this.#map.maxEntries;
  }

  desired(key: EntryKey): Uint8Array | undefined {
    return this.#desired.get(key);
  }

  /** From now on the map is to hold what `desired` says. */
  follow(desired: DesiredMap): void {
    if (desired === this.#desired) return;
    this.#desired = desired;
    this.compareAll();
  }

  /** Another kernel map, made with everything that is desired, stands in this one's place. */
  replaced(map: KernelMap): void {
    this.#map = map;
    this.#desired.takeChanged();
    this.#actual = new Map(this.#desired.entries());
    this.#adopted.clear();
    this.#doubtful = false;
    this.#written += this.#actual.size;
    this.settle();
  }

  /** Another kernel map, of which nothing is known, stands in this one's place. */
  async reread(map: KernelMap): Promise<void> {
    this.#map = map;
    await this.read();
  }

  /** Somebody else may have changed this entry. */
  recheck(key: EntryKey): void {
    this.#unsure.add(key);
  }

  /** Somebody else may have changed the map. */
  doubt(): void {
    this.#doubtful = true;
  }

  /** Reads the map if it is in doubt. */
  async refresh(): Promise<void> {
    if (this.#doubtful) await this.read();
  }

  /** Reads the map at start: all of it counts as taken over. */
  async adopt(): Promise<Dump> {
    await this.read();
    this.#adopted = new Set(this.#actual.keys());
    return [...this.#actual].map(([key, value]) => [keyBytes(key), value] as const);
  }

  /** Reads the whole map; everything in it and everything desired is compared again. */
  async read(): Promise<void> {
    const { count, keys, values } = await this.#map.dump();
    const { keySize, valueSize } = this.#map;
    const actual = new Map<EntryKey, Uint8Array>();
    for (let index = 0; index < count; index++) {
      const key = entryKey(keys.subarray(index * keySize, (index + 1) * keySize));
      actual.set(key, values.slice(index * valueSize, (index + 1) * valueSize));
    }
    this.#actual = actual;
    this.#doubtful = false;
    this.compareAll();
  }

  /** Everything held against everything desired: from now on only what differs is suspect. */
  compareAll(): void {
    this.#suspects = new Set();
    for (const [key, value] of this.#actual) {
      if (!equalBytes(this.#desired.get(key), value)) this.#suspects.add(key);
    }
    for (const key of this.#desired.keys()) if (!this.#actual.has(key)) this.#suspects.add(key);
  }

  /** Takes note of what the compilers changed. */
  collect(): void {
    const changed = this.#desired.takeChanged();
    // Of a first listing there are hundreds of thousands.
    if (this.#suspects.size === 0) this.#suspects = changed;
    else for (const key of changed) this.#suspects.add(key);
    for (const key of this.#unsure) this.#look(key);
    this.#unsure.clear();
  }

  /** Keys to write or remove, in byte order. */
  differing(verb: "update" | "remove"): readonly EntryKey[] {
    const differs = (key: EntryKey): boolean => {
      const desired = this.#desired.get(key);
      if (verb === "remove") return desired === undefined && this.#actual.has(key);
      return desired !== undefined && !equalBytes(desired, this.#actual.get(key));
    };
    return [...this.#suspects].filter(differs).sort();
  }

  /** Everything that was suspect has been dealt with. */
  settle(): void {
    this.#suspects.clear();
  }

  /** Rejects with a KernelError; what was done before it is known. */
  async update(keys: readonly EntryKey[]): Promise<void> {
    const values = keys.map((key) => this.#desired.get(key) as Uint8Array);
    const entries = { count: keys.length, keys: joinedKeys(keys), values: joined(values) };
    if (this.#watcher !== undefined) for (const value of values) this.#watcher.writing(value);
    await this.#apply(keys, this.#map.update(entries), (key, index) => {
      this.#actual.set(key, values[index] as Uint8Array);
      this.#written++;
    });
  }

  /** As `update`. */
  async remove(keys: readonly EntryKey[]): Promise<void> {
    await this.#apply(keys, this.#map.remove(joinedKeys(keys), keys.length), (key) => {
      const value = this.#actual.get(key);
      if (value !== undefined) this.#watcher?.removed(value);
      this.#actual.delete(key);
      this.#removed++;
    });
  }

  status(): MapStatus {
    const waiting = this.#waiting();
    return {
      name: this.#map.name,
      entries: this.#actual.size,
      maxEntries: this.#map.maxEntries,
      ...(waiting > 0 && { waiting }),
    };
  }

  /** Of a map that is full: entries that should be there and are not. */
  #waiting(): number {
    if (this.#actual.size < this.#map.maxEntries) return 0;
    return [...this.#suspects].filter((key) => !this.#actual.has(key) && this.#desired.get(key) !== undefined).length;
  }

  #look(key: EntryKey): void {
    const found = this.#map.lookup(keyBytes(key));
    if (found === undefined) this.#actual.delete(key);
    else this.#actual.set(key, found);
    this.#suspects.add(key);
  }

  async #apply(keys: readonly EntryKey[], call: Promise<void>, take: (key: EntryKey, index: number) => void) {
    let failure: unknown;
    let done = keys.length;
    await call.catch((error: unknown) => {
      failure = error;
      this.#doubtful = !(error instanceof KernelError && error.full);
      done = error instanceof KernelError ? error.done : 0;
    });
    for (const [index, key] of keys.slice(0, done).entries()) {
      take(key, index);
      this.#adopted.delete(key);
    }
    if (failure !== undefined) throw failure;
  }
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const size = parts[0]?.length ?? 0;
  const bytes = new Uint8Array(size * parts.length);
  for (const [index, part] of parts.entries()) bytes.set(part, index * size);
  return bytes;
}
