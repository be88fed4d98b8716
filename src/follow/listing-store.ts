/**
 * What an etcd said, on disk: its listing, and beside it what changed since, written anew from time to time and folded into the listing when it has
 * become large. So a program that starts again can go on from there. Whatever is wrong with the files costs a listing and nothing else.
 */
import { type Disk, DiskError } from "../disk/door.ts";
import { type Header, type KeyValue, revisionOf, type WatchEvent } from "../kv/client.ts";
import { messageOf } from "../runtime/user-error.ts";
import { Facts } from "./facts.ts";
import type { KeyRange } from "./list.ts";
import { ListingCopy } from "./listing-copy.ts";
import {
  type Deletion,
  encodeChanges,
  encodeListing,
  type ListingFile,
  type Placed,
  type PlacedKey,
  readChanges,
  readListing,
} from "./listing-file.ts";
import { Overlay, pagesOf } from "./overlay.ts";

export interface ListingStoreOptions {
  readonly disk: Disk;
  /** Must exist when something is written. */
  readonly directory: string;
  readonly cluster: string;
  readonly node: string;
  readonly ranges: readonly KeyRange[];
}

/**
 * Its revision is that of its newest key: nobody but the etcd that wrote that key can say what followed. What was deleted since, and is known to be, is
 * told once more.
 */
export interface Known extends Header {
  /** Range by range; read out of the file again each time. None once they are forgotten. */
  readonly keys: () => Iterable<PlacedKey>;
  /** Lets go of the file. */
  readonly forget: () => void;
  /** Some of its keys, the newest last. */
  readonly newest: readonly KeyValue[];
  /** The newest deletions before its revision, as far as they were told. */
  readonly deletions: readonly Deletion[];
  /** The newest ones after it, which a backup from before them contradicts, whatever its keys are. */
  readonly gone: readonly Deletion[];
  /** Up to here everything was told. */
  readonly lastRevision: number;
}

interface Base {
  readonly digest: Uint8Array;
  readonly bytes: number;
}

const MAX_FILE_BYTES = 1024 * 1024 * 1024;
/** Changes are folded into the listing when they are larger than this and than a quarter of it. */
const MIN_FOLD_BYTES = 4 * 1024 * 1024;
/** Of the newest keys of what was loaded. */
const MAX_NEWEST = 8;

export class ListingStore {
  readonly #options: ListingStoreOptions;
  readonly #owner: string;
  readonly #ranges: string;
  /** The listing on disk that the overlay goes on from; absent: there is none yet. */
  #base: Base | undefined;
  #overlay: Overlay;
  /** What was told and is not in the overlay yet. */
  #ahead: Placed[] = [];
  #joint = 0;
  #clusterId = 0n;
  #revision = 0;
  #deletions: readonly Deletion[] = [];
  /** Nothing is taken down of an etcd that is doubted. */
  #following = false;
  #changed = false;
  /** Counts listings: a write that began before the last one says nothing of it. */
  #epoch = 0;
  /** The last listing. */
  #copy: ListingCopy | undefined;
  #work: Promise<void> = Promise.resolve();
  #busy = false;
  #failure: string | undefined;
  #refusals: readonly string[] = [];

  constructor(options: ListingStoreOptions) {
    this.#options = options;
    this.#owner = `${options.cluster}/${options.node}`;
    this.#ranges = options.ranges.map(({ key, rangeEnd = "" }) => `${key} ${rangeEnd}`).join("\n");
    this.#overlay = new Overlay(options.ranges.length);
  }

  /** Files that did not count when they were read last, a line each. */
  get refusals(): readonly string[] {
    return this.#refusals;
  }

  problems(): readonly string[] {
    return this.#failure === undefined ? [] : [this.#failure];
  }

  /** What the files say; undefined: nothing that counts. Never rejects. */
  async load(): Promise<Known | undefined> {
    const refusals: string[] = [];
    this.#refusals = refusals;
    try {
      return await this.#load();
    } catch (error) {
      if (!(error instanceof DiskError && error.code === "absent"))
        refusals.push(`${this.#path("listing")} is not used: ${messageOf(error)}`);
      return undefined;
    }
  }

  async #load(): Promise<Known> {
    const { listing, bytes } = await this.#readListing();
    const { digest, clusterId } = listing;
    const changes = await this.#readChanges(digest);
    const overlay = new Overlay(this.#options.ranges.length);
    for (const placed of changes?.events ?? []) overlay.put(placed);
    this.#base = { digest, bytes };
    this.#overlay = overlay;
    this.#clusterId = clusterId;
    this.#revision = changes?.revision ?? listing.revision;
    this.#deletions = changes?.deletions ?? [];
    return known(listing, overlay, this.#deletions, this.#revision);
  }

  /** What was loaded is still true: what is told from now on follows it. */
  goOn(): void {
    this.#begin(this.#revision);
  }

  /** A listing begins: it is written down as it comes, and counts once it is `listed`. Every copy must be ended or dropped. */
  copy({ clusterId, revision }: Header): ListingCopy {
    const copy = new ListingCopy({ owner: this.#owner, ranges: this.#ranges, clusterId, revision });
    this.#enqueue(async () => {
      const written = new Written(copy);
      try {
        await this.#options.disk.writeAtomic(this.#path("listing"), written);
      } catch (error) {
        if (copy.isDropped) return;
        throw error;
      }
      if (copy !== this.#copy) return;
      this.#base = written.base;
      await this.#writeOverlay(written.base);
    });
    return copy;
  }

  /** The etcd was listed, all of it is in the copy, and it is not doubted. */
  listed({ clusterId, revision }: Header, copy: ListingCopy, deletions: readonly Deletion[]): void {
    this.#begin(revision);
    this.#base = undefined;
    this.#overlay = new Overlay(this.#options.ranges.length);
    this.#clusterId = clusterId;
    this.#deletions = deletions;
    this.#copy = copy;
    copy.end();
  }

  #begin(revision: number): void {
    this.#epoch++;
    this.#ahead = [];
    this.#revision = revision;
    this.#joint = revision;
    this.#following = true;
  }

  /** Nothing that is told counts until the next listing; the files stay. */
  suspend(): void {
    this.#following = false;
  }

  happened(range: number, events: readonly WatchEvent[]): void {
    if (!this.#following) return;
    for (const event of events) this.#ahead.push({ range, event: copied(event) });
  }

  /** Every range told everything up to `revision`. It counts at the next call: an old server may say so a little too early. */
  progress(revision: number, deletions: readonly Deletion[]): void {
    if (!this.#following) return;
    const ahead: Placed[] = [];
    for (const placed of this.#ahead) {
      if (revisionOf(placed.event) > this.#joint) ahead.push(placed);
      else this.#overlay.put(placed);
    }
    this.#ahead = ahead;
    this.#changed ||= this.#joint > this.#revision;
    this.#revision = this.#joint;
    this.#joint = revision;
    this.#deletions = deletions.filter(({ modRevision }) => modRevision <= this.#revision);
  }

  /** Resolves when what was told is on disk, or could not be written; a line in `problems` says so. */
  save(): Promise<void> {
    if (!this.#busy && this.#changed) this.#enqueue(() => this.#writeChanges());
    return this.#work;
  }

  #enqueue(write: () => Promise<void>): void {
    this.#busy = true;
    const work = this.#work.then(write).then(
      () => {
        this.#failure = undefined;
      },
      (error: unknown) => {
        this.#changed = true;
        const mend = "--snapshot-dir must be a folder with room that the agent may write to";
        this.#failure = `what the local etcd said is not written down: ${messageOf(error)}; ${mend}`;
      },
    );
    const settled = work.then(() => {
      if (this.#work === settled) this.#busy = false;
    });
    this.#work = settled;
  }

  async #writeListing(revision: number, keys: Iterable<Placed>): Promise<void> {
    const epoch = this.#epoch;
    const head = { owner: this.#owner, ranges: this.#ranges, clusterId: this.#clusterId, revision };
    const written = new Written(encodeListing(head, keys));
    await this.#options.disk.writeAtomic(this.#path("listing"), written);
    if (epoch !== this.#epoch) return;
    this.#base = written.base;
    await this.#writeOverlay(written.base);
  }

  async #writeChanges(): Promise<void> {
    const base = this.#base;
    if (base === undefined) return;
    if (this.#overlay.bytes <= Math.max(MIN_FOLD_BYTES, base.bytes / 4)) await this.#writeOverlay(base);
    else await this.#fold();
  }

  async #writeOverlay({ digest }: Base): Promise<void> {
    this.#changed = false;
    const changes = { base: digest, revision: this.#revision, deletions: this.#deletions };
    const pieces = encodeChanges({ ...changes, events: this.#overlay.all() });
    await this.#options.disk.writeAtomic(this.#path("changes"), pieces);
  }

  async #fold(): Promise<void> {
    const epoch = this.#epoch;
    const { listing } = await this.#readListing();
    const folded = this.#overlay;
    // What is told meanwhile follows the new listing.
    this.#overlay = new Overlay(this.#options.ranges.length);
    try {
      await this.#writeListing(this.#revision, folded.over(listing.keys()));
    } catch (error) {
      if (epoch === this.#epoch) {
        for (const placed of this.#overlay.all()) folded.put(placed);
        this.#overlay = folded;
      }
      throw error;
    }
  }

  /** Rejects with a DiskError, or an Error of one line. */
  async #readListing() {
    const path = this.#path("listing");
    const bytes = await this.#options.disk.readBytes(path, MAX_FILE_BYTES);
    const read = readListing(bytes);
    if (!read.ok) throw new Error(read.detail);
    const { owner, ranges } = read.value;
    if (owner !== this.#owner) throw new Error(`it is of ${owner}, not of ${this.#owner}`);
    if (ranges !== this.#ranges) throw new Error("it is of other keys than this agent follows");
    return { listing: read.value, bytes: bytes.length };
  }

  /** Undefined: there are none that follow that listing. */
  async #readChanges(base: Uint8Array) {
    let bytes: Uint8Array;
    try {
      bytes = await this.#options.disk.readBytes(this.#path("changes"), MAX_FILE_BYTES);
    } catch (error) {
      if (error instanceof DiskError && error.code === "absent") return undefined;
      throw error;
    }
    const read = readChanges(bytes);
    if (!read.ok) throw new Error(`${this.#path("changes")}: ${read.detail}`);
    return read.value.base.every((byte, index) => byte === base[index]) ? read.value : undefined;
  }

  #path(kind: "listing" | "changes"): string {
    const { directory, cluster, node } = this.#options;
    return `${directory}/${cluster}-${node}.${kind}`;
  }
}

/** @param overlay what changed since; it must stay as it is until all is read. */
function known(listing: ListingFile, overlay: Overlay, deletions: readonly Deletion[], lastRevision: number): Known {
  let file: ListingFile | undefined = listing;
  const keys = (): Iterable<PlacedKey> => (file === undefined ? [] : overlay.over(file.keys()));
  const facts = new Facts(MAX_NEWEST);
  facts.beginListing([]);
  for (const { kvs } of pagesOf(keys())) facts.saw(kvs);
  facts.endListing();
  const newest = facts.all().flatMap(({ kv }) => kv ?? []);
  const revision = newest.at(-1)?.modRevision ?? 0;
  return {
    revision,
    clusterId: listing.clusterId,
    keys,
    forget: () => {
      file = undefined;
    },
    newest,
    deletions: deletions.filter(({ modRevision }) => modRevision <= revision),
    gone: goneSince(revision, overlay),
    lastRevision,
  };
}

/** Pieces of a listing on their way to the disk: afterwards they say what was written. */
class Written implements AsyncIterable<Uint8Array> {
  readonly #pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  #last: Uint8Array = new Uint8Array();
  #bytes = 0;

  constructor(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
    this.#pieces = pieces;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#pieces) {
      this.#last = piece;
      this.#bytes += piece.length;
      yield piece;
    }
  }

  get base(): Base {
    return { digest: this.#last, bytes: this.#bytes };
  }
}

/** The value may be a view into a whole answer. */
function copied(event: WatchEvent): WatchEvent {
  return event.type === "put" ? { ...event, kv: { ...event.kv, value: event.kv.value.slice() } } : event;
}

function goneSince(revision: number, overlay: Overlay): readonly Deletion[] {
  const deletions = overlay.all().flatMap(({ event }) => (event.type === "delete" ? event : []));
  const late = deletions.filter(({ modRevision }) => modRevision > revision);
  return late.sort((left, right) => left.modRevision - right.modRevision).slice(-MAX_NEWEST);
}
