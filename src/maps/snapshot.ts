/**
 * What an agent's maps are to hold, as a file: for a node that reboots while no etcd answers. Little-endian: a head, sections of entries of one
 * size, and the SHA-256 of all before it. Nothing of a file counts unless all of it does.
 */
import assert from "node:assert/strict";
import { PackedReader, PackedWriter } from "../model/packed.ts";
import { sealed, unsealed } from "../model/sealed.ts";

export type SnapshotEntry = readonly [key: Uint8Array, value: Uint8Array];

/** Entries of one map, or of one slot of a family. Keys all of one size, values too. */
export interface SnapshotSection {
  readonly map: string;
  /** Absent: the map is none of a family. */
  readonly slot?: number;
  readonly count: number;
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
const NO_SLOT = 0xffff_ffff;
/** Entries joined to one piece. */
const PIECE_ENTRIES = 2_048;
const LONGEST_TEXT = 512;

/** Piece by piece, so that the caller may rest in between; the entries must stay as they are until the last one. */
export function* encodeSnapshot(head: SnapshotHead, sections: Iterable<SnapshotSection>): Generator<Uint8Array> {
  yield* sealed(MAGIC, encodedBody(head, sections));
}

function* encodedBody(head: SnapshotHead, sections: Iterable<SnapshotSection>): Generator<Uint8Array> {
  yield headBytes(head);
  for (const { map, slot = NO_SLOT, count, entries } of sections) {
    const writer = new PackedWriter().text(map).u32(slot);
    if (count === 0) writer.u32(0).u32(0).u32(0);
    let written = 0;
    for (const [key, value] of entries) {
      if (written === 0) writer.u32(key.length).u32(value.length).u32(count);
      writer.bytes(key).bytes(value);
      if (++written % PIECE_ENTRIES === 0) yield writer.take();
    }
    assert(written === count, `${map} changed while it was written down`);
    yield writer.take();
  }
}

/** Never throws. */
export function decodeSnapshot(bytes: Uint8Array): DecodedSnapshot {
  const opened = unsealed(MAGIC, "snapshot", bytes);
  if (!opened.ok) return opened;
  const reader = new PackedReader(opened.body, LONGEST_TEXT);
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

function section(reader: PackedReader): Snapshot["sections"][number] {
  const map = reader.text();
  const [slot, keySize, valueSize, count] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  const entries: SnapshotEntry[] = [];
  if (keySize === 0 && count > 0) reader.fail();
  for (let index = 0; index < count && !reader.overrun; index++) {
    entries.push([reader.bytes(keySize).slice(), reader.bytes(valueSize).slice()]);
  }
  return { map, ...(slot !== NO_SLOT && { slot }), count, entries };
}

function refused(detail: string): DecodedSnapshot {
  return { ok: false, detail };
}

function headBytes({ layoutVersion, owner, generation, takenAtMs }: SnapshotHead): Uint8Array {
  const head = new PackedWriter().u32(FORMAT).u32(layoutVersion);
  return head.f64(generation).f64(takenAtMs).text(owner).take();
}
