/**
 * An etcd that was followed before is taken up where it was left, without a listing: what was known, and what happened since, are what a listing
 * at the newest revision shows. Refused, with a reason, unless the etcd proves to be the same and still tells all of it.
 */
import { type Header, type KvClient, KvError, revisionOf, type WatchEnd, type WatchEvent } from "../kv/client.ts";
import { messageOf } from "../runtime/user-error.ts";
import { confirms, type KeyRange, type Listing, type Witness, witnessOf } from "./list.ts";
import type { Placed } from "./listing-file.ts";
import { Overlay, placedKeys, rangesOf } from "./overlay.ts";
import { type FollowSink, type WatchOptions, watch } from "./watch.ts";

/** Like a source's: what was known and what happened since arrives as one listing, before all else. */
export interface ResumeSink extends FollowSink {
  /**
   * The complete state, as a listing at its revision shows it. Changes since arrive after the promise resolves.
   * @param changes the last event of each key since what was known.
   */
  resumed(listing: Listing, changes: readonly Placed[]): Promise<void>;
}

export type Resumed =
  /** It was told, and watched from there. */
  | { readonly ok: true; readonly end: WatchEnd }
  /** Nothing was told: list instead. One line. */
  | { readonly ok: false; readonly detail: string };

/** Revisions of the whole etcd: of more of them a listing is cheaper for it. */
export const MAX_MISSED_REVISIONS = 20_000;

type ResumeOptions = Omit<WatchOptions, "clusterId" | "witness">;

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
  { listing: known, witnesses }: { readonly listing: Listing; readonly witnesses: readonly Witness[] },
  sink: ResumeSink,
  options: ResumeOptions,
): Promise<Resumed> {
  const detail = distance(header, known) ?? (await contradiction(kv, [witnessOf(known, ranges), ...witnesses]));
  if (detail !== undefined) return { ok: false, detail };
  const over = new AbortController();
  const catching = new CatchingUp(known, ranges.length, sink, (error) => over.abort(error));
  const end = await watch(kv, ranges, known.revision + 1, catching, {
    ...options,
    signal: AbortSignal.any([options.signal, over.signal]),
    clusterId: known.clusterId,
    witness: witnessOf(known, ranges),
  });
  over.signal.throwIfAborted();
  if (catching.told || options.signal.aborted) return { ok: true, end };
  if (end.cause === "broken") throw new KvError("unavailable", `watch broken: ${end.detail}`);
  return { ok: false, detail: `watch ${end.cause}: ${end.detail}` };
}

/** Why they are too far apart. */
function distance({ clusterId, revision }: Header, known: Listing): string | undefined {
  if (clusterId !== known.clusterId) return "another etcd answers";
  if (revision < known.revision) return `its revision went back from ${known.revision} to ${revision}`;
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
  readonly #known: Listing;
  readonly #sink: ResumeSink;
  readonly #failed: (error: unknown) => void;
  readonly #missed: Overlay;
  /** Not passed on yet. */
  #waiting: Batch[] = [];
  #progress: number | undefined;
  #state: "behind" | "telling" | "through" = "behind";

  constructor(known: Listing, ranges: number, sink: ResumeSink, failed: (error: unknown) => void) {
    this.#known = known;
    this.#sink = sink;
    this.#failed = failed;
    this.#missed = new Overlay(ranges);
  }

  /** Of what was known, something was told. */
  get told(): boolean {
    return this.#state !== "behind";
  }

  changed(range: number, events: readonly WatchEvent[]): void {
    if (this.#state === "through") this.#sink.changed(range, events);
    else this.#waiting.push({ range, events });
  }

  progress(revision: number): void {
    if (this.#state === "through") this.#sink.progress(revision);
    else this.#progress = revision;
    if (this.#state === "behind") this.#tell(revision).catch(this.#failed);
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
    const { clusterId, ranges } = this.#known;
    const listed = rangesOf(this.#missed.over(placedKeys(ranges)), ranges.length);
    await this.#sink.resumed({ revision, clusterId, ranges: listed }, this.#missed.all());
    this.#state = "through";
    for (const { range, events } of this.#waiting) this.#sink.changed(range, events);
    if (this.#progress !== undefined && this.#progress > revision) this.#sink.progress(this.#progress);
    this.#waiting = [];
  }
}
