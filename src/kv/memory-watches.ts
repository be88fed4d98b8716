/** Watches of the in-memory etcd, as the server keeps them: caught up or catching up, each bound to the stream of its client. */
import type { Clock } from "../runtime/clock.ts";
import { eventKey, type Header, revisionOf, type WatchEnd, type WatchEvent, type WatchRequest } from "./client.ts";
import { compareKeys, isInRange, type MemoryStore } from "./memory-store.ts";

/** The server sends a watch that is behind this many revisions at a time, with the store's revision in the header. */
const CATCH_UP_REVISIONS = 1000;
/** And that often. */
const CATCH_UP_INTERVAL_MS = 100;

/** What the server says to the client of a watch. */
export interface WatchOutput {
  created(header: Header): void;
  events(events: readonly WatchEvent[], header: Header): void;
  progress(header: Header): void;
  ended(end: WatchEnd): void;
}

export interface ServerWatch {
  /** The client: progress is answered on all of its watches together. */
  readonly stream: object;
  readonly request: WatchRequest;
  readonly output: WatchOutput;
}

interface State {
  /** First revision not yet sent. */
  next: number;
  caughtUp: boolean;
}

export class MemoryWatches {
  readonly #clock: Clock;
  readonly #store: () => MemoryStore;
  readonly #header: () => Header;
  readonly #watches = new Map<ServerWatch, State>();

  constructor(clock: Clock, store: () => MemoryStore, header: () => Header) {
    this.#clock = clock;
    this.#store = store;
    this.#header = header;
  }

  create(watch: ServerWatch): void {
    const { key, rangeEnd, startRevision } = watch.request;
    if (rangeEnd && rangeEnd !== "\0" && compareKeys(key, rangeEnd) >= 0) {
      watch.output.ended({ cause: "canceled", detail: "mvcc: watcher range is empty" });
      return;
    }
    watch.output.created(this.#header());
    const { revision } = this.#store();
    const state: State = { next: startRevision || revision + 1, caughtUp: true };
    this.#watches.set(watch, state);
    if (state.next <= revision) this.#catchUp(watch, state);
  }

  #catchUp(watch: ServerWatch, state: State): void {
    if (this.#watches.get(watch) !== state) return;
    const { compactRevision, revision } = this.#store();
    if (state.next < compactRevision) {
      const detail = "etcdserver: mvcc: required revision has been compacted";
      this.#end(watch, { cause: "compacted", detail, compactRevision });
      return;
    }
    const { events, next } = this.#store().history(state.next, CATCH_UP_REVISIONS);
    this.#send(watch, events);
    state.caughtUp = next === undefined;
    state.next = next ?? revision + 1;
    if (next !== undefined) this.#clock.after(CATCH_UP_INTERVAL_MS, () => this.#catchUp(watch, state));
  }

  #send(watch: ServerWatch, events: readonly WatchEvent[]): void {
    const { key, rangeEnd } = watch.request;
    const wanted = events.filter((event) => isInRange(eventKey(event), key, rangeEnd));
    if (wanted.length > 0) watch.output.events(wanted, this.#header());
  }

  /** One revision was committed. */
  committed(events: readonly WatchEvent[]): void {
    const revision = events[0] && revisionOf(events[0]);
    if (revision === undefined) return;
    for (const [watch, state] of this.#watches) {
      if (!state.caughtUp || revision < state.next) continue;
      state.next = revision + 1;
      this.#send(watch, events);
    }
  }

  /** Answers once every watch of the stream has everything; a stream that is behind gets no answer. */
  requestProgress(stream: object): void {
    const own = [...this.#watches].filter(([watch]) => watch.stream === stream);
    if (!own.every(([, state]) => state.caughtUp)) return;
    for (const [watch] of own) watch.output.progress(this.#header());
  }

  cancel(watch: ServerWatch): void {
    this.#watches.delete(watch);
  }

  /** Forgets all of them: their connections are gone. */
  clear(): void {
    this.#watches.clear();
  }

  #end(watch: ServerWatch, end: WatchEnd): void {
    this.#watches.delete(watch);
    watch.output.ended(end);
  }

  endAll(end: WatchEnd): void {
    for (const watch of [...this.#watches.keys()]) this.#end(watch, end);
  }
}
