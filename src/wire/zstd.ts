/** One zstd frame, and nothing beside it (RFC 8878). Its blocks are walked before anything is expanded: no frame costs more than it may. */
import { zstdDecompressSync } from "node:zlib";
import { Refusal } from "./refusal.ts";

const MAGIC = 0xfd2fb528;
/** What every decoder must be able to hold, and more than any encoder of 4 MiB needs. */
const MAX_WINDOW_BYTES = 8 * 1024 * 1024;
const RESERVED_BLOCK = 3;
const RLE_BLOCK = 1;

function fault(what: string): Refusal {
  return new Refusal("malformed", `zstd ${what}`);
}

class Walk {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  skip(count: number): void {
    if (count > this.rest) throw fault("frame is cut off");
    this.#at += count;
  }

  /** Little-endian. */
  number(bytes: number): number {
    const from = this.#at;
    this.skip(bytes);
    let value = 0;
    for (let index = bytes - 1; index >= 0; index--) value = value * 256 + (this.#bytes[from + index] ?? 0);
    return value;
  }
}

/** Walks the frame's header; returns whether a checksum follows the blocks. */
function walkHeader(walk: Walk, maxBytes: number): boolean {
  if (walk.number(4) !== MAGIC) throw fault("frame has no magic number");
  const descriptor = walk.number(1);
  const singleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x08) !== 0) throw fault("frame has a reserved bit");
  if (!singleSegment) {
    const window = walk.number(1);
    const base = 2 ** (10 + (window >> 3));
    if (base + (base / 8) * (window & 7) > MAX_WINDOW_BYTES)
      throw new Refusal("too-large", "the zstd window is too large");
  }
  walk.skip([0, 1, 2, 4][descriptor & 3] ?? 0);
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  if (sizeBytes > 0 && walk.number(sizeBytes) + (sizeBytes === 2 ? 256 : 0) > maxBytes) throw tooLarge(maxBytes);
  return (descriptor & 0x04) !== 0;
}

function walkFrame(bytes: Uint8Array, maxBytes: number): void {
  const walk = new Walk(bytes);
  const checksum = walkHeader(walk, maxBytes);
  for (let last = false; !last; ) {
    const header = walk.number(3);
    last = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    if (type === RESERVED_BLOCK) throw fault("frame has a block of no type");
    walk.skip(type === RLE_BLOCK ? 1 : header >> 3);
  }
  if (checksum) walk.skip(4);
  if (walk.rest > 0) throw fault("frame is followed by something");
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal("too-large", `expands to more than ${maxBytes} bytes`);
}

/** What the frame holds. Throws a Refusal, also when that is more than `maxBytes`. */
export function expandZstd(bytes: Uint8Array, maxBytes: number): Uint8Array {
  walkFrame(bytes, maxBytes);
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    const tooBig = error instanceof RangeError || String(error).includes("ERR_BUFFER_TOO_LARGE");
    throw tooBig ? tooLarge(maxBytes) : fault("frame cannot be expanded");
  }
}
