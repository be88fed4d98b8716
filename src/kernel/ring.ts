/** A ring buffer, read from its own pages: no call into the kernel, no callback. Layout: kernel/bpf/ringbuf.c. */
import type { EventRing } from "./door.ts";
import { kernelError } from "./errno.ts";
import { mapInfo } from "./info.ts";
import { libc, memoryAt } from "./libc.ts";
import { lastErrno } from "./library.ts";

const READ = 1;
const WRITE = 2;
const SHARED = 1;
/** What mmap answers when it fails: all bits set, as signed or unsigned. */
const FAILED: ReadonlySet<bigint> = new Set([-1n, 0xffffffffffffffffn]);
const WORD = 2 ** 32;
const HEADER_BYTES = 8;
/** In a record's header: still being written; thrown away by its writer. */
const BUSY = 0x80000000;
const DISCARDED = 0x40000000;

/** Pages stay mapped until the process ends: a view of memory that is gone would end it at once. */
export class LibbpfRing implements EventRing {
  readonly name: string;
  readonly capacityBytes: number;
  /** Bytes read since the ring was made, as the writers see it. */
  readonly #consumer: BigUint64Array<ArrayBuffer>;
  /** Low word of the bytes written. */
  readonly #producer: Uint32Array<ArrayBuffer>;
  readonly #headers: Uint32Array<ArrayBuffer>;
  /** Twice in a row, so that no record is cut at the end. */
  readonly #data: Uint8Array<ArrayBuffer>;
  #open = true;

  constructor(name: string, fd: number) {
    this.name = name;
    this.capacityBytes = mapInfo(fd).maxEntries;
    const page = libc().pageBytes();
    const data = 2 * this.capacityBytes;
    const consumer = mapPages(name, fd, page, READ | WRITE, 0);
    const producer = mapPages(name, fd, page + data, READ, page);
    this.#consumer = new BigUint64Array(consumer, 0, 1);
    this.#producer = new Uint32Array(producer, 0, 1);
    this.#headers = new Uint32Array(producer, page, data / 4);
    this.#data = new Uint8Array(producer, page, data);
  }

  retire(): void {
    this.#open = false;
  }

  drain(limit: number, take: (bytes: Uint8Array) => void): number {
    if (!this.#open) return 0;
    let position = Number(Atomics.load(this.#consumer, 0));
    let taken = 0;
    try {
      while (taken < limit) {
        if (Atomics.load(this.#producer, 0) === position % WORD) break;
        const at = position % this.capacityBytes;
        const header = Atomics.load(this.#headers, at / 4);
        if ((header & BUSY) !== 0) break;
        const length = header & ~(BUSY | DISCARDED);
        position += (length + HEADER_BYTES + 7) & ~7;
        if ((header & DISCARDED) !== 0) continue;
        taken++;
        take(this.#data.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length));
      }
    } finally {
      Atomics.store(this.#consumer, 0, BigInt(position));
    }
    return taken;
  }
}

function mapPages(name: string, fd: number, bytes: number, protection: number, offset: number): ArrayBuffer {
  const pages = libc().map(null, BigInt(bytes), protection, SHARED, fd, BigInt(offset));
  if (pages === null || FAILED.has(pages)) throw kernelError(`mapping the pages of ${name}`, lastErrno());
  return memoryAt(pages, bytes);
}
