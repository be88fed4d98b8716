/**
 * What was known of an etcd, as two files: a listing, and what changed since. Little-endian; each ends with its checksum. The second names the
 * first by its checksum, so that two that do not belong together are never read as one.
 */
import type { KeyValue, WatchEvent } from "../kv/client.ts";
import { PackedReader, PackedWriter } from "../model/packed.ts";
import { sealed, unsealed } from "../model/sealed.ts";

export interface ListingHead {
  /** Who wrote it: `cluster/node`. */
  readonly owner: string;
  /** Which ranges were listed. */
  readonly ranges: string;
  readonly clusterId: bigint;
  readonly revision: number;
}

/** Something of the range with that index. */
export interface Placed<Event extends WatchEvent = WatchEvent> {
  readonly range: number;
  readonly event: Event;
}

export type PlacedKey = Placed<Extract<WatchEvent, { readonly type: "put" }>>;
export type Deletion = Extract<WatchEvent, { readonly type: "delete" }>;

export interface Changes {
  /** Checksum of the listing that they follow. */
  readonly base: Uint8Array;
  /** Everything up to here is in them. */
  readonly revision: number;
  /** The last one of each key. */
  readonly events: readonly Placed[];
  /** The newest deletions, those too that were before the listing: facts that a backup contradicts. */
  readonly deletions: readonly Deletion[];
}

export interface ListingFile extends ListingHead {
  readonly digest: Uint8Array;
  /** Range by range. Throws an Error of one line when they do not add up. */
  readonly keys: () => Iterable<PlacedKey>;
}

export type Read<T> =
  | { readonly ok: true; readonly value: T }
  /** One line. */
  | { readonly ok: false; readonly detail: string };

export const LISTING_MAGIC = new TextEncoder().encode("BLKHLIST");
const CHANGES_MAGIC = new TextEncoder().encode("BLKHCHNG");
/** 1 wrote keys in any order. */
const FORMAT = 2;
const DIGEST_BYTES = 32;
const PUT = 0;
const DELETE = 1;
/** Bytes joined to one piece. */
export const PIECE_BYTES = 256 * 1024;
/** More than etcd takes in one request. */
const LONGEST_TEXT = 2 * 1024 * 1024;

/** Piece by piece; the last one is its checksum. @param keys range by range. */
export function encodeListing(head: ListingHead, keys: Iterable<Placed>): Generator<Uint8Array> {
  return sealed(LISTING_MAGIC, listingBody(head, keys));
}

function* listingBody(head: ListingHead, keys: Iterable<Placed>) {
  yield* written(writeHead(new PackedWriter(), head), keys);
}

export function writeHead(writer: PackedWriter, { owner, ranges, clusterId, revision }: ListingHead): PackedWriter {
  return writer.u32(FORMAT).text(owner).text(ranges).u64(clusterId).f64(revision);
}

export function encodeChanges(changes: Changes): Generator<Uint8Array> {
  return sealed(CHANGES_MAGIC, changesBody(changes));
}

function* changesBody({ base, revision, events, deletions }: Changes): Generator<Uint8Array> {
  const writer = new PackedWriter().u32(FORMAT).bytes(base).f64(revision).u32(deletions.length);
  yield* written(
    writer,
    deletions.map((event) => ({ range: 0, event })),
  );
  yield* written(writer, events);
}

function* written(writer: PackedWriter, records: Iterable<Placed>): Generator<Uint8Array> {
  for (const record of records) {
    write(writer, record);
    if (writer.size >= PIECE_BYTES) yield writer.take();
  }
  yield writer.take();
}

export function write(writer: PackedWriter, { range, event }: Placed): void {
  writer.u32(range).u32(event.type === "put" ? PUT : DELETE);
  if (event.type === "delete") {
    writer.text(event.key).f64(event.modRevision);
    return;
  }
  const { key, value, createRevision, modRevision, version, leaseId } = event.kv;
  writer.text(key).f64(modRevision).f64(createRevision).f64(version).u64(BigInt.asUintN(64, leaseId));
  writer.u32(value.length).bytes(value);
}

/** Never throws; see ListingFile.keys. Values are views. */
export function readListing(bytes: Uint8Array): Read<ListingFile> {
  const opened = unsealed(LISTING_MAGIC, "listing", bytes);
  if (!opened.ok) return opened;
  const reader = new PackedReader(opened.body, LONGEST_TEXT);
  const format = reader.u32();
  if (format !== FORMAT) return { ok: false, detail: `its format is ${format}, and ${FORMAT} is read` };
  const [owner, ranges, clusterId, revision] = [reader.text(), reader.text(), reader.u64(), reader.f64()];
  if (reader.overrun) return { ok: false, detail: SENSELESS };
  const rest = reader.rest();
  const keys = (): Iterable<PlacedKey> => keysOf(new PackedReader(rest, LONGEST_TEXT));
  return { ok: true, value: { owner, ranges, clusterId, revision, digest: opened.digest, keys } };
}

const SENSELESS = "what it holds does not add up";

function* keysOf(reader: PackedReader): Generator<PlacedKey> {
  let last = 0;
  while (!reader.done) {
    const { range, event } = read(reader);
    if (event.type === "delete" || range < last) reader.fail();
    last = range;
    if (event.type === "put" && !reader.overrun) yield { range, event };
  }
  if (reader.overrun) throw new Error(SENSELESS);
}

/** Never throws. Values are views. */
export function readChanges(bytes: Uint8Array): Read<Changes> {
  const opened = unsealed(CHANGES_MAGIC, "list of changes", bytes);
  if (!opened.ok) return opened;
  const reader = new PackedReader(opened.body, LONGEST_TEXT);
  const format = reader.u32();
  if (format !== FORMAT) return { ok: false, detail: `its format is ${format}, and ${FORMAT} is read` };
  const [base, revision, count] = [reader.bytes(DIGEST_BYTES), reader.f64(), reader.u32()];
  const deletions: Deletion[] = [];
  for (let index = 0; index < count && !reader.done; index++) {
    const { event } = read(reader);
    if (event.type === "delete") deletions.push(event);
    else reader.fail();
  }
  const events: Placed[] = [];
  while (!reader.done) events.push(read(reader));
  if (reader.overrun || deletions.length < count) return { ok: false, detail: SENSELESS };
  return { ok: true, value: { base, revision, events, deletions } };
}

function read(reader: PackedReader): Placed {
  const [range, type, key, modRevision] = [reader.u32(), reader.u32(), reader.text(), reader.f64()];
  if (type === DELETE) return { range, event: { type: "delete", key, modRevision } };
  if (type !== PUT) reader.fail();
  const [createRevision, version, leaseId] = [reader.f64(), reader.f64(), BigInt.asIntN(64, reader.u64())];
  const kv: KeyValue = { key, modRevision, createRevision, version, leaseId, value: reader.bytes(reader.u32()) };
  return { range, event: { type: "put", kv } };
}
