/**
 * An etcd that was followed before is taken up where it was left, without a listing: what was known, and what happened since, are what a listing
 * at the newest revision shows. Refused, with a reason, unless the etcd proves to be the same and still tells all of it.
 */
import { type Header, type KvClient, KvError, revisionOf, type WatchEnd, type WatchEvent } from "../kv/client.ts";
import { messageOf } from "../runtime/user-error.ts";
import { absence, confirms, type KeyRange, type PagedListing, type Witness, witness } from "./list.ts";
import type { Placed } from "./listing-file.ts";
import type { Known } from "./listing-store.ts";
import { Overlay, pagedKeys } from "./overlay.ts";
import { type FollowSink, type WatchOptions, watch } from "./watch.ts";

/** Like a source's: what was known and what happened since arrives as one listing, before all else. */
export interface ResumeSink extends FollowSink {
  /**
   * The complete state, as a listing at its revision shows it. Changes since arrive after the promise resolves.
   * @param changes the last event of each key since what was known.
   */
  resumed(listing: PagedListing, changes: readonly Placed[]): Promise<void>;
}

export type Resumed =
  /** It was told, and watched from there. */
  | { readonly ok: true; readonly end: WatchEnd }
  /** Nothing was told: list instead. One line. */
  | { readonly ok: false; readonly detail: string };

/** Revisions of the whole etcd: of more of them a listing is cheaper for it. */
export const MAX_MISSED_REVISIONS = 20_000;

interface ResumeOptions extends Omit<WatchOptions, "clusterId" | "witness"> {
  /** Of the ranges, how many are handed on whole. */
  readonly firstRanges: number;
}

/** Rejects with a KvError when the etcd does not answer. */
export function askHeader(kv: KvClient, ranges: readonly KeyRange[]): Promise<Header> {
  return kv.range({ key: ranges[0]?.key ?? "\0", keysOnly: true });
}

/**
 * Follows until the watch ends.
 * @param header of an answer of this etcd.
 * @param witnesses facts of what was known, as they can be read at its revision.
 * Rejects when contact is lost before anything was told.
 */
export async function resume(
  kv: KvClient,
  ranges: readonly KeyRange[],
  header: Header,
  known: Known,
  witnesses: readonly Witness[],
  sink: ResumeSink,
  options: ResumeOptions,
): Promise<Resumed> {
  const newest = newestOf(known, ranges);
  const gone = known.gone.map(({ key, modRevision }) => absence(modRevision, key));
  const detail = distance(header, known) ?? (await contradiction(kv, [newest, ...gone, ...witnesses]));
  if (detail !== undefined) return { ok: false, detail };
  const over = new AbortController();
  const failed = (error: unknown): void => over.abort(error);
  const catching = new CatchingUp(known, ranges.length, options.firstRanges, sink, failed);
  const end = await watch(kv, ranges, known.revision + 1, catching, {
    ...options,
    signal: AbortSignal.any([options.signal, over.signal]),
    clusterId: known.clusterId,
    witness: newest,
  });
  // What follows is a listing: two that are taken in at once would each take away what the other has not shown yet.
  await catching.telling;
  over.signal.throwIfAborted();
  if (catching.told || options.signal.aborted) return { ok: true, end };
  if (end.cause === "broken") throw new KvError("unavailable", `watch broken: ${end.detail}`);
  return { ok: false, detail: `watch ${end.cause}: ${end.detail}` };
}

function newestOf({ revision, newest }: Known, ranges: readonly KeyRange[]): Witness {
  const last = newest.at(-1);
  return last ? witness(revision, last) : absence(revision, ranges[0]?.key ?? "\0");
}

/** Why they are too far apart. */
function distance({ clusterId, revision }: Header, known: Known): string | undefined {
  if (clusterId !== known.clusterId) return "another etcd answers";
  if (revision < known.lastRevision) return `its revision went back from ${known.lastRevision} to ${revision}`;
  const missed = revision - known.revision;
  return missed > MAX_MISSED_REVISIONS ? `${missed} revisions were missed` : undefined;
}

async function contradiction(kv: KvClient, witnesses: readonly Witness[]): Promise<string | undefined> {
  try {
    const stand = await Promise.all(witnesses.map((fact) => confirms(kv, fact)));
    const at = stand.indexOf(false);
    return at < 0 ? undefined : `it was restored, or replaced: ${witnesses[at]?.key} is not what it was`;
  } catch (error) {
    const code = error instanceof KvError ? error.code : undefined;
    if (code === "compacted" || code === "future-revision") return messageOf(error);
    throw error;
  }
}

interface Batch {
  readonly range: number;
  readonly events: readonly WatchEvent[];
}

class CatchingUp implements FollowSink {
  readonly #known: Known;
  readonly #firstCount: number;
  readonly #sink: ResumeSink;
  readonly #failed: (error: unknown) => void;
  readonly #missed: Overlay;
  /** Not passed on yet. */
  #waiting: Batch[] = [];
  #progress: number | undefined;
  #state: "behind" | "telling" | "through" = "behind";
  #telling = Promise.resolve();

  constructor(known: Known, ranges: number, firstCount: number, sink: ResumeSink, failed: (error: unknown) => void) {
    this.#known = known;
    this.#firstCount = firstCount;
    this.#sink = sink;
    this.#failed = failed;
    this.#missed = new Overlay(ranges);
  }

  /** Of what was known, something was told. */
  get told(): boolean {
    return this.#state !== "behind";
  }

  /** Resolves once what was begun to be told is told, or could not be. */
  get telling(): Promise<void> {
    return this.#telling;
  }

  changed(range: number, events: readonly WatchEvent[]): void {
    if (this.#state === "through") this.#sink.changed(range, events);
    else this.#waiting.push({ range, events });
  }

  progress(revision: number): void {
    if (this.#state === "through") this.#sink.progress(revision);
    else this.#progress = revision;
    if (this.#state === "behind") this.#telling = this.#tell(revision).catch(this.#failed);
  }

  async #tell(revision: number): Promise<void> {
    this.#state = "telling";
    const told = this.#waiting;
    this.#waiting = [];
    for (const { range, events } of told) {
      for (const event of events) if (revisionOf(event) <= revision) this.#missed.put({ range, event });
      const ahead = events.filter((event) => revisionOf(event) > revision);
      if (ahead.length > 0) this.#waiting.push({ range, events: ahead });
    }
    const { clusterId, keys, forget } = this.#known;
    const listing = pagedKeys({ revision, clusterId }, this.#missed.over(keys()), this.#firstCount);
    await this.#sink.resumed(listing, this.#missed.all());
    forget();
    this.#state = "through";
    for (const { range, events } of this.#waiting) this.#sink.changed(range, events);
    if (this.#progress !== undefined && this.#progress > revision) this.#sink.progress(this.#progress);
    this.#waiting = [];
  }
}
