/**
 * What an agent's maps are to hold, as a file: for a node that reboots while no etcd answers. Little-endian: a head, sections of entries of one
 * size, and the SHA-256 of all before it. Nothing of a file counts unless all of it does.
 */
import { createHash } from "node:crypto";

export type SnapshotEntry = readonly [key: Uint8Array, value: Uint8Array];

/** Entries of one map, or of one slot of a family. Keys all of one size, values too. */
export interface SnapshotSection {
  readonly map: string;
  /** Absent: the map is none of a family. */
  readonly slot?: number;
  readonly entries: Iterable<SnapshotEntry>;
}

export interface SnapshotHead {
  /** Layouts of the maps' keys and values. */
  readonly layoutVersion: number;
  /** Whose maps: `cluster/node`. */
  readonly owner: string;
  /** Counts up: of two files the later one is meant. */
  readonly generation: number;
  /** Wall clock, only to say how old it is. */
  readonly takenAtMs: number;
}

export interface Snapshot extends SnapshotHead {
  readonly sections: readonly (SnapshotSection & { readonly entries: readonly SnapshotEntry[] })[];
}

export type DecodedSnapshot =
  | { readonly ok: true; readonly value: Snapshot }
  /** One line. */
  | { readonly ok: false; readonly detail: string };

const MAGIC = new TextEncoder().encode("BLKHSNAP");
const FORMAT = 1;
const DIGEST_BYTES = 32;
const NO_SLOT = 0xffff_ffff;
/** Entries joined to one piece. */
const PIECE_ENTRIES = 2_048;
const LONGEST_TEXT = 512;

/** Piece by piece, so that the caller may rest in between; the entries must stay as they are until the last one. */
export function* encodeSnapshot(head: SnapshotHead, sections: Iterable<SnapshotSection>): Generator<Uint8Array> {
  const hash = createHash("sha256");
  const hashed = (piece: Uint8Array): Uint8Array => {
    hash.update(piece);
    return piece;
  };
  yield hashed(headBytes(head));
  for (const { map, slot = NO_SLOT, entries } of sections) {
    const all = [...entries];
    const [key, value] = all[0] ?? [];
    const sizes = [slot, key?.length ?? 0, value?.length ?? 0, all.length].map(u32);
    yield hashed(joined([text(map), ...sizes]));
    for (let at = 0; at < all.length; at += PIECE_ENTRIES) {
      yield hashed(joined(all.slice(at, at + PIECE_ENTRIES).flat()));
    }
  }
  yield hash.digest();
}

/** Never throws. */
export function decodeSnapshot(bytes: Uint8Array): DecodedSnapshot {
  const end = bytes.length - DIGEST_BYTES;
  if (end < MAGIC.length) return refused(`it has ${bytes.length} bytes: it was cut off`);
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) return refused("it is no snapshot");
  const digest = createHash("sha256").update(bytes.subarray(0, end)).digest();
  if (digest.some((byte, index) => byte !== bytes[end + index]))
    return refused("its checksum is wrong: it was cut off or damaged");
  const reader = new Reader(bytes.subarray(MAGIC.length, end));
  const format = reader.u32();
  if (format !== FORMAT) return refused(`its format is ${format}, and ${FORMAT} is read`);
  const head = {
    layoutVersion: reader.u32(),
    generation: reader.f64(),
    takenAtMs: reader.f64(),
    owner: reader.text(),
  };
  const sections: Snapshot["sections"][number][] = [];
  while (!reader.done) sections.push(section(reader));
  return reader.overrun ? refused("its sections do not add up") : { ok: true, value: { ...head, sections } };
}

function section(reader: Reader): Snapshot["sections"][number] {
  const map = reader.text();
  const [slot, keySize, valueSize, count] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  const entries: SnapshotEntry[] = [];
  if (keySize === 0 && count > 0) reader.fail();
  for (let index = 0; index < count && !reader.overrun; index++) {
    entries.push([reader.bytes(keySize), reader.bytes(valueSize)]);
  }
  return { map, ...(slot !== NO_SLOT && { slot }), entries };
}

function refused(detail: string): DecodedSnapshot {
  return { ok: false, detail };
}

function headBytes({ layoutVersion, generation, takenAtMs, owner }: SnapshotHead): Uint8Array {
  return joined([MAGIC, u32(FORMAT), u32(layoutVersion), f64(generation), f64(takenAtMs), text(owner)]);
}

function u32(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value, true);
  return new Uint8Array(view.buffer);
}

function f64(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value, true);
  return new Uint8Array(view.buffer);
}

function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return joined([u32(bytes.length), bytes]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Reads zeros behind the end, and says so. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #overrun = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get overrun(): boolean {
    return this.#overrun;
  }

  get done(): boolean {
    return this.#overrun || this.#at === this.#bytes.length;
  }

  fail(): void {
    this.#overrun = true;
  }

  bytes(size: number): Uint8Array {
    if (this.#overrun || size > this.#bytes.length - this.#at) {
      this.#overrun = true;
      return new Uint8Array();
    }
    this.#at += size;
    return this.#bytes.slice(this.#at - size, this.#at);
  }

  u32(): number {
    return this.#view(4)?.getUint32(0, true) ?? 0;
  }

  f64(): number {
    return this.#view(8)?.getFloat64(0, true) ?? 0;
  }

  text(): string {
    const size = this.u32();
    if (size > LONGEST_TEXT) this.fail();
    return new TextDecoder().decode(this.bytes(size));
  }

  #view(size: number): DataView | undefined {
    const bytes = this.bytes(size);
    return bytes.length === size ? new DataView(bytes.buffer, bytes.byteOffset, size) : undefined;
  }
}
