/** One kernel map as we know it to be: read once, then kept in step with what the kernel acknowledged. */
import { KernelError, type KernelMap, type MapEntries } from "../kernel/door.ts";
import type { MapStatus } from "../model/status.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import { type DesiredMap, type EntryKey, entryKey, equalBytes, joinedKeys, keyBytes } from "../tables/desired-map.ts";

/** What a kernel map held. */
export type Dump = Iterable<readonly [key: Uint8Array, value: Uint8Array]>;

/** Who wants to know of a map's values as they come and go. */
export interface ValueWatcher {
  /** It is about to be written. */
  writing(value: Uint8Array): void;
  /** It was removed, and no program can read it any more. */
  removed(value: Uint8Array): void;
}

const EMPTY: MapEntries = { count: 0, keys: new Uint8Array(), values: new Uint8Array() };

export class MirroredMap {
  #map: KernelMap;
  #desired: DesiredMap;
  /** What the map holds, undefined where nothing, for every key where that is not what is desired: a large map agrees nearly everywhere. */
  #differences = new Map<EntryKey, Uint8Array | undefined>();
  /** Entries held. */
  #size = 0;
  /** What was read and not compared yet. */
  #read = EMPTY;
  /** Entries found at start and not touched since, and keys that were. */
  #adopted = 0;
  readonly #touched = new Set<EntryKey>();
  /** Nobody knows what the map holds: a call failed, or it is time to look. */
  #doubtful = false;
  /** Keys whose entries are to be looked up. */
  #unsure = new Set<EntryKey>();
  #written = 0;
  #removed = 0;
  readonly #clock: Clock;
  readonly #watcher: ValueWatcher | undefined;

  constructor(map: KernelMap, desired: DesiredMap, clock: Clock, watcher?: ValueWatcher) {
    this.#map = map;
    this.#desired = desired;
    this.#clock = clock;
    this.#watcher = watcher;
  }

  get adopted(): number {
    return this.#adopted;
  }

  /** Entries written and removed since start. */
  get written(): number {
    return this.#written;
  }

  get removed(): number {
    return this.#removed;
  }

  /** What the map holds. */
  *entries(): Generator<readonly [EntryKey, Uint8Array]> {
    for (const entry of this.#desired.entries()) if (!this.#differences.has(entry[0])) yield entry;
    for (const [key, held] of this.#differences) if (held !== undefined) yield [key, held];
  }

  get(key: EntryKey): Uint8Array | undefined {
    return this.#differences.has(key) ? this.#differences.get(key) : this.#desired.get(key);
  }

  /** What the map should hold. */
  wanted(): IterableIterator<[EntryKey, Uint8Array]> {
    return this.#desired.entries();
  }

  /** Whether these fit, with what is there. */
  hasRoomFor(keys: readonly EntryKey[]): boolean {
    const fresh = keys.filter((key) => this.get(key) === undefined).length;
    return this.#size + fresh <= this.#map.maxEntries;
  }

  desired(key: EntryKey): Uint8Array | undefined {
    return this.#desired.get(key);
  }

  /** From now on the map is to hold what `desired` says. */
  follow(desired: DesiredMap): void {
    if (desired === this.#desired) return;
    const held = [...this.entries()];
    this.#desired = desired;
    desired.takeChanged();
    this.#differences = new Map([...desired.keys()].map((key) => [key, undefined]));
    for (const [key, value] of held) this.#holds(key, value);
  }

  /** Another kernel map, made with everything that is desired, stands in this one's place. */
  replaced(map: KernelMap): void {
    this.#map = map;
    this.#desired.takeChanged();
    this.#differences.clear();
    this.#size = this.#desired.size;
    this.#adopted = 0;
    this.#doubtful = false;
    this.#written += this.#size;
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

  /** Reads the map at start: all of it counts as taken over. Once what is desired of it is known, `compare`. */
  async adopt(): Promise<Dump> {
    this.#read = await this.#map.dump();
    this.#size = this.#read.count;
    this.#adopted = this.#size;
    return dumpOf(this.#map, this.#read);
  }

  /** Reads the whole map, and compares. */
  async read(): Promise<void> {
    this.#read = await this.#map.dump();
    this.#doubtful = false;
    await this.compare();
  }

  /** Everything that was read against everything desired, which must stay as it is meanwhile. */
  async compare(): Promise<void> {
    const [map, read] = [this.#map, this.#read];
    const slices = new Slices(this.#clock);
    this.#read = EMPTY;
    this.#desired.takeChanged();
    this.#differences = new Map();
    this.#size = read.count;
    let found = 0;
    for (let index = 0; index < read.count; index++) {
      const key = entryKey(part(read.keys, index, map.keySize));
      const value = part(read.values, index, map.valueSize);
      const desired = this.#desired.get(key);
      if (desired !== undefined) found++;
      if (!equalBytes(desired, value)) this.#differences.set(key, value.slice());
      if (slices.areOver) await slices.rest();
    }
    if (found < this.#desired.size) await this.#findMissing(read, slices);
  }

  /** Takes note of what the compilers changed. */
  collect(): void {
    const changed = this.#desired.takeChanged();
    // Of a first listing there are hundreds of thousands.
    if (this.#differences.size === 0) this.#differences = changed;
    else for (const [key, before] of changed) if (!this.#differences.has(key)) this.#differences.set(key, before);
    for (const key of changed.keys()) this.#holds(key, this.#differences.get(key));
    for (const key of this.#unsure) this.#look(key);
    this.#unsure.clear();
  }

  /** Keys to write or remove, in byte order. */
  differing(verb: "update" | "remove"): readonly EntryKey[] {
    const keys: EntryKey[] = [];
    for (const key of this.#differences.keys()) {
      if ((this.#desired.get(key) === undefined) === (verb === "remove")) keys.push(key);
    }
    return keys.sort();
  }

  /** Rejects with a KernelError; what was done before it is known. */
  async update(keys: readonly EntryKey[]): Promise<void> {
    const values = keys.map((key) => this.#desired.get(key) as Uint8Array);
    const entries = { count: keys.length, keys: joinedKeys(keys), values: joined(values) };
    if (this.#watcher !== undefined) for (const value of values) this.#watcher.writing(value);
    await this.#apply(keys, this.#map.update(entries), (key, index) => {
      if (this.get(key) === undefined) this.#size++;
      this.#holds(key, values[index]);
      this.#written++;
    });
  }

  /** As `update`. */
  async remove(keys: readonly EntryKey[]): Promise<void> {
    await this.#apply(keys, this.#map.remove(joinedKeys(keys), keys.length), (key) => {
      const value = this.get(key);
      if (value !== undefined) {
        this.#watcher?.removed(value);
        this.#size--;
      }
      this.#holds(key, undefined);
      this.#removed++;
    });
  }

  status(): MapStatus {
    const waiting = this.#waiting();
    return {
      name: this.#map.name,
      entries: this.#size,
      maxEntries: this.#map.maxEntries,
      ...(waiting > 0 && { waiting }),
    };
  }

  /** Of a map that is full: entries that should be there and are not. */
  #waiting(): number {
    if (this.#size < this.#map.maxEntries) return 0;
    const missing = [...this.#differences].filter(([, held]) => held === undefined);
    return missing.filter(([key]) => this.#desired.get(key) !== undefined).length;
  }

  /** undefined: nothing. */
  #holds(key: EntryKey, value: Uint8Array | undefined): void {
    if (equalBytes(this.#desired.get(key), value)) this.#differences.delete(key);
    else this.#differences.set(key, value);
  }

  #look(key: EntryKey): void {
    const before = this.get(key);
    const found = this.#map.lookup(keyBytes(key));
    this.#size += Number(found !== undefined) - Number(before !== undefined);
    this.#holds(key, found);
  }

  async #findMissing({ count, keys }: MapEntries, slices: Slices): Promise<void> {
    const found = new Set<EntryKey>();
    for (let index = 0; index < count; index++) {
      found.add(entryKey(part(keys, index, this.#map.keySize)));
      if (slices.areOver) await slices.rest();
    }
    for (const key of this.#desired.keys()) {
      if (!found.has(key)) this.#differences.set(key, undefined);
      if (slices.areOver) await slices.rest();
    }
  }

  async #apply(keys: readonly EntryKey[], call: Promise<void>, take: (key: EntryKey, index: number) => void) {
    let failure: unknown;
    let done = keys.length;
    await call.catch((error: unknown) => {
      failure = error;
      if (!(error instanceof KernelError && error.full)) this.#doubtful = true;
      done = error instanceof KernelError ? error.done : 0;
    });
    for (const [index, key] of keys.slice(0, done).entries()) {
      this.#touch(key);
      take(key, index);
    }
    if (failure !== undefined) throw failure;
  }

  /** Before it is written or removed. */
  #touch(key: EntryKey): void {
    if (this.#adopted === 0 || this.#touched.has(key)) return;
    this.#touched.add(key);
    if (this.get(key) !== undefined) this.#adopted--;
  }
}

function dumpOf({ keySize, valueSize }: KernelMap, { count, keys, values }: MapEntries): Dump {
  return {
    *[Symbol.iterator]() {
      for (let index = 0; index < count; index++) {
        yield [part(keys, index, keySize), part(values, index, valueSize).slice()] as const;
      }
    },
  };
}

function part(bytes: Uint8Array, index: number, size: number): Uint8Array {
  return bytes.subarray(index * size, (index + 1) * size);
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const size = parts[0]?.length ?? 0;
  const bytes = new Uint8Array(size * parts.length);
  for (const [index, part] of parts.entries()) bytes.set(part, index * size);
  return bytes;
}
