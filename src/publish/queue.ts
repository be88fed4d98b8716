/** Writes waiting to be sent: the last one per key wins, doubtful ones first, live ones before bulk ones. Synchronous. */
import { keyScope } from "../kv/key-scope.ts";

export type Lane = "live" | "bulk";

export interface Write {
  readonly key: string;
  /** Absent: delete. */
  readonly value?: Uint8Array;
  readonly lane: Lane;
  /** Whose it is: who waits for a scope does not wait for the writes of others. */
  readonly scope: string;
  /** Of the oldest wish that it fulfils; rises with every write queued. */
  readonly since: number;
  /** When that wish was made. */
  readonly atMs: number;
}

export interface BatchLimits {
  readonly maxOperations: number;
  readonly maxBytes: number;
  /** Whether puts may be taken: not while the store is out of space. */
  readonly puts: boolean;
  /** Whether writes of the bulk lane may be taken. */
  readonly bulk: boolean;
}

interface Batch {
  readonly writes: Write[];
  bytes: number;
}

/** What a write costs in a request beside its key and value, generously. */
const OVERHEAD_BYTES = 64;

function sizeOf({ key, value }: Write): number {
  return key.length + (value?.length ?? 0) + OVERHEAD_BYTES;
}

/**
 * Things in the order in which they came, most of which leave in that order. Looking for the first goes on where it stopped: a Map is slow to begin where thousands
 * of its first entries are gone.
 */
class Line<K, V> {
  readonly #all = new Map<K, V>();
  #next = this.#all.values();

  get size(): number {
    return this.#all.size;
  }

  get(key: K): V | undefined {
    return this.#all.get(key);
  }

  has(key: K): boolean {
    return this.#all.has(key);
  }

  /** At the end, or in the place of what has the key. */
  set(key: K, value: V): void {
    this.#all.set(key, value);
  }

  delete(key: K): void {
    this.#all.delete(key);
  }

  values(): Iterable<V> {
    return this.#all.values();
  }

  /** The one after that of the last call; undefined at the end. */
  next(): V | undefined {
    return this.#next.next().value;
  }

  /** `next` begins at the first again: to be called at the end, and when one was looked at that did not leave. */
  rewind(): void {
    this.#next = this.#all.values();
  }
}

/** Numbers that are added in ascending order. */
class Ascending {
  readonly #all = new Line<number, number>();
  #least: number | undefined;

  add(number: number): void {
    this.#all.set(number, number);
  }

  delete(number: number): void {
    this.#all.delete(number);
  }

  get least(): number {
    if (this.#least !== undefined && this.#all.has(this.#least)) return this.#least;
    this.#least = this.#all.next();
    if (this.#least === undefined) this.#all.rewind();
    return this.#least ?? Number.POSITIVE_INFINITY;
  }
}

export class WriteQueue {
  /** In the order they are drained: outcome unknown, live, bulk. */
  readonly #doubtful = new Line<string, Write>();
  readonly #live = new Line<string, Write>();
  readonly #bulk = new Line<string, Write>();
  readonly #lanes = [this.#doubtful, this.#live, this.#bulk];
  readonly #inFlight = new Map<string, Write>();
  /** By scope: `since` of every write queued or in flight. */
  readonly #open = new Map<string, Ascending>();
  /** How many these are: by scope, and by the scope of the key within it. */
  readonly depths = new Map<string, Map<string, number>>();

  /** Keys with a write queued or in flight. A key that has both counts twice. */
  get size(): number {
    return this.#doubtful.size + this.#live.size + this.#bulk.size + this.#inFlight.size;
  }

  add(added: Write): void {
    const older = this.#queued(added.key);
    const lane = older?.lane === "live" ? "live" : added.lane;
    const write = older ? { ...added, lane, since: older.since, atMs: older.atMs } : added;
    if (!older) this.#opened(write);
    if (this.#doubtful.has(write.key)) this.#doubtful.set(write.key, write);
    else if (lane === "live") {
      this.#bulk.delete(write.key);
      this.#live.set(write.key, write);
    } else this.#bulk.set(write.key, write);
  }

  /** Whether a wish of up to `sequence` is still open, in one scope or in all. */
  isOpen(sequence: number, scope?: string): boolean {
    const scopes = scope === undefined ? [...this.#open.values()] : [this.#openIn(scope)];
    return scopes.some(({ least }) => least <= sequence);
  }

  #opened(write: Write): void {
    this.#openIn(write.scope).add(write.since);
    this.#count(write, 1);
  }

  #closed(write: Write): void {
    this.#openIn(write.scope).delete(write.since);
    this.#count(write, -1);
  }

  #count({ scope, key }: Write, by: number): void {
    const depths = this.depths.get(scope) ?? new Map<string, number>();
    this.depths.set(scope, depths);
    const of = keyScope(key);
    depths.set(of, (depths.get(of) ?? 0) + by);
  }

  #openIn(scope: string): Ascending {
    const known = this.#open.get(scope);
    if (known) return known;
    const open = new Ascending();
    this.#open.set(scope, open);
    return open;
  }

  /** The newest write of each key that is queued or in flight. */
  *outstanding(): Generator<Write> {
    for (const [key, write] of this.#inFlight) if (!this.#queued(key)) yield write;
    for (const lane of this.#lanes) yield* lane.values();
  }

  /** Takes writes for one transaction, or nothing. A key in flight waits: at most one write per key is on its way. */
  take(limits: BatchLimits): readonly Write[] {
    const batch: Batch = { writes: [], bytes: 0 };
    for (const lane of this.#lanes) {
      // Not looked through write by write: a listing has queued any number of them.
      if (lane === this.#bulk && !limits.bulk) continue;
      if (this.#fill(batch, lane, limits)) break;
    }
    return batch.writes;
  }

  /** Returns whether no more fits. */
  #fill(batch: Batch, lane: Line<string, Write>, limits: BatchLimits): boolean {
    let stays = false;
    for (let write = lane.next(); write !== undefined; write = lane.next()) {
      if (!this.#mayGo(write, limits)) {
        stays = true;
        continue;
      }
      const bytes = batch.bytes + sizeOf(write);
      if (batch.writes.length > 0 && bytes > limits.maxBytes) {
        lane.rewind();
        return true;
      }
      batch.bytes = bytes;
      batch.writes.push(write);
      lane.delete(write.key);
      this.#inFlight.set(write.key, write);
      if (batch.writes.length < limits.maxOperations) continue;
      if (stays) lane.rewind();
      return true;
    }
    lane.rewind();
    return false;
  }

  #mayGo({ key, value, lane }: Write, { puts, bulk }: BatchLimits): boolean {
    return !this.#inFlight.has(key) && (puts || value === undefined) && (bulk || lane !== "bulk");
  }

  isInFlight(key: string | undefined): boolean {
    return key !== undefined && this.#inFlight.has(key);
  }

  /** The batch is applied, or given up. */
  settle(batch: readonly Write[]): void {
    for (const write of batch) {
      this.#inFlight.delete(write.key);
      this.#closed(write);
    }
  }

  /** The batch has to be written again, its newest values first of all. */
  putBack(batch: readonly Write[]): void {
    for (const write of batch) {
      this.#inFlight.delete(write.key);
      const newer = this.#queued(write.key);
      for (const lane of this.#lanes) lane.delete(write.key);
      if (newer) this.#closed(newer);
      const { scope, since, atMs } = write;
      this.#doubtful.set(write.key, newer ? { ...newer, scope, since, atMs } : write);
    }
  }

  #queued(key: string): Write | undefined {
    return this.#doubtful.get(key) ?? this.#live.get(key) ?? this.#bulk.get(key);
  }
}
