/** A kernel map: dumped and written in batches, with a rest between them so that the event loop stays free. */
import assert from "node:assert/strict";
import type { Clock } from "../runtime/clock.ts";
import { Slices } from "../runtime/clock.ts";
import { concatBytes } from "./bytes.ts";
import type { KernelMap, MapEntries } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";
import type { MapInfo } from "./info.ts";
import { checked, libbpf } from "./library.ts";

/** Entries in one system call: about 0.5 ms of blocked loop. */
const BATCH_ENTRIES = 512;
/** The kernel's own place in a dump; it wants at least a key's size. */
const CURSOR_BYTES = 64;
const PER_CPU_TYPES: ReadonlySet<number> = new Set([5, 6, 10]);

/** Entries of a batch that are done. A call that failed before its first entry may leave the number asked for in place. */
export function doneOf(answered: Buffer, asked: number, errno: number): number {
  const done = answered.readUInt32LE();
  return errno !== 0 && done >= asked ? 0 : done;
}

export class LibbpfMap implements KernelMap {
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly #perCpu: boolean;
  /** Bytes of one value as the kernel hands it over: per-CPU maps give one for each possible processor. */
  readonly #transferBytes: number;
  readonly #clock: Clock;
  #fd: number;

  constructor(name: string, fd: number, info: MapInfo, clock: Clock) {
    this.name = name;
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.maxEntries = info.maxEntries;
    this.#fd = fd;
    this.#clock = clock;
    this.#perCpu = PER_CPU_TYPES.has(info.type);
    assert(!this.#perCpu || info.valueSize % 8 === 0, `${name}: a per-CPU value is a row of 64-bit counters`);
    const cpus = this.#perCpu ? checked("counting processors", libbpf().possibleCpus()) : 1;
    this.#transferBytes = info.valueSize * cpus;
  }

  /** Every call from now on fails: the descriptor's number may soon name something else. */
  retire(): void {
    this.#fd = -1;
  }

  #open(): number {
    if (this.#fd < 0) throw kernelError(`${this.name} was closed`, ERRNO.EBADF);
    return this.#fd;
  }

  async dump(): Promise<MapEntries> {
    const slices = new Slices(this.#clock);
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    const next = new Uint8Array(Math.max(CURSOR_BYTES, this.keySize));
    let from: Uint8Array | null = null;
    for (let size = BATCH_ENTRIES; ; await slices.rest()) {
      const batch = this.#lookupBatch(from, next, size);
      if (batch === "too small") {
        size *= 2;
        continue;
      }
      keys.push(batch.keys);
      values.push(batch.values);
      if (batch.last) break;
      from = next.slice();
    }
    const whole = { keys: concatBytes(keys), values: concatBytes(values) };
    return { count: whole.keys.length / this.keySize, ...whole };
  }

  #lookupBatch(from: Uint8Array | null, next: Uint8Array, size: number) {
    const keys = new Uint8Array(size * this.keySize);
    const values = new Uint8Array(size * this.#transferBytes);
    const count = Buffer.alloc(4);
    count.writeUInt32LE(size);
    const errno = -libbpf().lookupBatch(this.#open(), from, next, keys, values, count, null);
    // One bucket of the hash holds more entries than the batch.
    if (errno === ERRNO.ENOSPC) return "too small";
    if (errno !== 0 && errno !== ERRNO.ENOENT) throw kernelError(`reading ${this.name}`, errno);
    const found = count.readUInt32LE();
    return {
      keys: keys.subarray(0, found * this.keySize),
      values: this.#fold(values.subarray(0, found * this.#transferBytes)),
      last: errno === ERRNO.ENOENT,
    };
  }

  /** One value each: per-CPU counters become their sum. */
  #fold(values: Uint8Array): Uint8Array {
    if (!this.#perCpu) return values;
    const words = new BigUint64Array(values.slice().buffer);
    const wordsPerValue = this.valueSize / 8;
    const wordsPerTransfer = this.#transferBytes / 8;
    const sums = new BigUint64Array((words.length / wordsPerTransfer) * wordsPerValue);
    for (const [index, word] of words.entries()) {
      const at = Math.floor(index / wordsPerTransfer) * wordsPerValue + (index % wordsPerValue);
      sums[at] = (sums[at] ?? 0n) + word;
    }
    return new Uint8Array(sums.buffer);
  }

  async update(entries: MapEntries): Promise<void> {
    const { keys, values, count } = entries;
    this.#assertWritable(keys, count);
    assert.equal(values.length, count * this.valueSize, `${this.name}: ${count} values`);
    const slices = new Slices(this.#clock);
    for (let done = 0; done < count; await slices.rest()) {
      const end = Math.min(done + BATCH_ENTRIES, count);
      const written = Buffer.alloc(4);
      written.writeUInt32LE(end - done);
      const errno = -libbpf().updateBatch(
        this.#open(),
        keys.subarray(done * this.keySize, end * this.keySize),
        values.subarray(done * this.valueSize, end * this.valueSize),
        written,
        null,
      );
      done += doneOf(written, end - done, errno);
      if (errno !== 0) throw kernelError(`writing entry ${done + 1} of ${count} to ${this.name}`, errno, done);
    }
  }

  async remove(keys: Uint8Array, count: number): Promise<void> {
    this.#assertWritable(keys, count);
    const slices = new Slices(this.#clock);
    for (let done = 0; done < count; await slices.rest()) {
      const end = Math.min(done + BATCH_ENTRIES, count);
      const removed = Buffer.alloc(4);
      removed.writeUInt32LE(end - done);
      const batch = keys.subarray(done * this.keySize, end * this.keySize);
      const errno = -libbpf().deleteBatch(this.#open(), batch, removed, null);
      done += doneOf(removed, end - done, errno);
      // The batch stops at a key that is not there, which is as we want it: go on behind it.
      if (errno === ERRNO.ENOENT) done += 1;
      else if (errno !== 0) throw kernelError(`removing entry ${done + 1} of ${count} from ${this.name}`, errno, done);
    }
  }

  #assertWritable(keys: Uint8Array, count: number): void {
    assert(!this.#perCpu, `${this.name} is written by the programs only`);
    assert.equal(keys.length, count * this.keySize, `${this.name}: ${count} keys`);
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    assert.equal(key.length, this.keySize, `${this.name}: one key`);
    const value = new Uint8Array(this.#transferBytes);
    const errno = -libbpf().lookup(this.#open(), key, value);
    if (errno === ERRNO.ENOENT) return undefined;
    if (errno !== 0) throw kernelError(`reading ${this.name}`, errno);
    return this.#fold(value);
  }
}
