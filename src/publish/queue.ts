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

/** What a write costs in a request beside its key and value, generously. */
const OVERHEAD_BYTES = 64;

export class WriteQueue {
  /** In the order they are drained: outcome unknown, live, bulk. */
  readonly #doubtful = new Map<string, Write>();
  readonly #live = new Map<string, Write>();
  readonly #bulk = new Map<string, Write>();
  readonly #lanes = [this.#doubtful, this.#live, this.#bulk];
  readonly #inFlight = new Map<string, Write>();
  /** By scope: `since` of every write queued or in flight, in ascending order. */
  readonly #open = new Map<string, Set<number>>();
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
    return scopes.some((open) => {
      const [oldest = Number.POSITIVE_INFINITY] = open;
      return oldest <= sequence;
    });
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

  #openIn(scope: string): Set<number> {
    const known = this.#open.get(scope);
    if (known) return known;
    const open = new Set<number>();
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
    const batch: Write[] = [];
    let bytes = 0;
    for (const lane of this.#lanes) {
      // Not looked through write by write: a listing has queued any number of them.
      if (lane === this.#bulk && !limits.bulk) continue;
      for (const write of lane.values()) {
        if (this.#inFlight.has(write.key) || (write.value !== undefined && !limits.puts)) continue;
        if (write.lane === "bulk" && !limits.bulk) continue;
        bytes += write.key.length + (write.value?.length ?? 0) + OVERHEAD_BYTES;
        if (batch.length > 0 && bytes > limits.maxBytes) return batch;
        batch.push(write);
        lane.delete(write.key);
        this.#inFlight.set(write.key, write);
        if (batch.length === limits.maxOperations) return batch;
      }
    }
    return batch;
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
