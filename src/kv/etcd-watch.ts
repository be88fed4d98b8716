/** Watches over one gRPC stream: each is created, fed and ended on its own; when the stream breaks they all end. */
import type { IDuplexStream, IWatchRequest, IWatchResponse } from "etcd3";
import { systemClock, type Timer } from "../runtime/clock.ts";
import {
  type Header,
  KvError,
  revisionOf,
  type Watch,
  type WatchEnd,
  type WatchEvent,
  type WatchRequest,
  type WatchSink,
} from "./client.ts";
import { grpcMessage } from "./etcd-errors.ts";
import { ProgressProof } from "./etcd-progress.ts";
import { fromKeys, toHeader, toNumber, toWatchEvent } from "./etcd-values.ts";

export type WatchDuplex = IDuplexStream<IWatchRequest, IWatchResponse>;

/** Whose answer concerns all watches of a stream, not one. */
const ALL_WATCHES = -1;

class OneWatch {
  readonly request: WatchRequest;
  readonly sink: WatchSink;
  created = false;
  /** Asked for before the watch was created. */
  wantsProgress = false;
  /** Events of fragments whose last one is still to come. */
  readonly fragments: WatchEvent[] = [];

  constructor(request: WatchRequest, sink: WatchSink) {
    this.request = request;
    this.sink = sink;
  }
}

export class WatchStream {
  readonly #watches = new Map<number, OneWatch>();
  readonly #timeoutMs: number;
  readonly #onEnd: () => void;
  readonly #progress: ProgressProof;
  #stream: WatchDuplex | undefined;
  /** Requests made before the stream was there. */
  #early: IWatchRequest[] = [];
  #ended = false;
  /** Runs while a watch waits to be created: a server that accepts and then says nothing is a broken one. */
  #creationTimer: Timer | undefined;
  /** 0 would mean: choose one for me. */
  #lastId = 0;

  /** @param onEnd told once, when the stream can take no more watches */
  constructor(open: () => Promise<WatchDuplex>, timeoutMs: number, onEnd: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onEnd = onEnd;
    this.#progress = new ProgressProof({
      clock: systemClock,
      ask: () => this.#write({ progress_request: {} }),
      proved: (header) => this.#proved(header),
    });
    open().then(
      (stream) => this.#opened(stream),
      (error: unknown) => this.break(grpcMessage(error)),
    );
  }

  #opened(stream: WatchDuplex): void {
    this.#stream = stream;
    stream.on("error", (error) => this.break(grpcMessage(error)));
    stream.on("end", () => this.break("the server ended the watch stream"));
    stream.on("data", (response) => this.#received(response));
    if (this.#ended) stream.cancel();
    else for (const request of this.#early) stream.write(request);
    this.#early = [];
  }

  #write(request: IWatchRequest): void {
    if (this.#ended) return;
    if (this.#stream) this.#stream.write(request);
    else this.#early.push(request);
  }

  add(request: WatchRequest, sink: WatchSink): Watch {
    const id = ++this.#lastId;
    const watch = new OneWatch(request, sink);
    this.#watches.set(id, watch);
    this.#write({
      create_request: {
        ...fromKeys(request),
        ...(request.startRevision && { start_revision: request.startRevision }),
        watch_id: id,
        fragment: true,
      },
    });
    this.#awaitCreation();
    return {
      requestProgress: () => {
        if (watch.created) this.#progress.want();
        else watch.wantsProgress = true;
      },
      cancel: () => this.#cancel(id),
    };
  }

  #awaitCreation(): void {
    this.#creationTimer?.cancel();
    this.#creationTimer = undefined;
    if (this.#ended || [...this.#watches.values()].every((watch) => watch.created)) return;
    const late = (): void => this.break(`no answer to a watch in ${this.#timeoutMs} ms`);
    this.#creationTimer = systemClock.after(this.#timeoutMs, late);
  }

  #cancel(id: number): void {
    if (!this.#watches.delete(id)) return;
    this.#write({ cancel_request: { watch_id: id } });
    if (this.#watches.size === 0) this.break("no watch is left");
    else this.#awaitCreation();
  }

  #received(response: IWatchResponse): void {
    if (this.#ended) return;
    const id = Number(response.watch_id);
    try {
      if (response.created) this.#created(id, response);
      else if (response.canceled) this.#canceled(id, response);
      else if (id === ALL_WATCHES) this.#progress.answered(toHeader(response.header));
      else this.#events(id, response);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      this.break(error.message);
    }
  }

  /** A server that refuses a watch may answer without its id; creations are answered in order. */
  #waitingFor(id: number): number {
    if (id > 0) return id;
    for (const [waiting, watch] of this.#watches) if (!watch.created) return waiting;
    return id;
  }

  #created(answeredId: number, response: IWatchResponse): void {
    const id = this.#waitingFor(answeredId);
    const watch = this.#watches.get(id);
    if (!watch) return;
    watch.created = true;
    this.#awaitCreation();
    if (response.canceled) {
      this.#canceled(id, response);
    } else {
      const header = toHeader(response.header);
      this.#progress.created((watch.request.startRevision || header.revision + 1) <= header.revision);
      watch.sink.created(header);
      if (watch.wantsProgress) this.#progress.want();
    }
  }

  #canceled(id: number, response: IWatchResponse): void {
    const watch = this.#watches.get(id);
    if (!watch) return;
    this.#watches.delete(id);
    const compactRevision = toNumber(response.compact_revision);
    const detail =
      response.cancel_reason || (compactRevision ? "the start revision was compacted" : "canceled by the server");
    // A server from 3.5.8 on answers no progress request of the stream while it remembers a watch that compaction ended.
    if (compactRevision) this.#write({ cancel_request: { watch_id: id } });
    watch.sink.ended(compactRevision ? { cause: "compacted", detail, compactRevision } : { cause: "canceled", detail });
    if (this.#watches.size === 0) this.break("no watch is left");
  }

  #proved(header: Header): void {
    for (const watch of [...this.#watches.values()]) if (watch.created) watch.sink.progress(header);
  }

  #events(id: number, response: IWatchResponse): void {
    const watch = this.#watches.get(id);
    if (!watch) return;
    const header = toHeader(response.header);
    for (const event of response.events) watch.fragments.push(toWatchEvent(event));
    const last = watch.fragments.at(-1);
    if (last === undefined) return;
    this.#progress.delivered(header, revisionOf(last));
    if (!response.fragment) watch.sink.events(watch.fragments.splice(0), header);
  }

  /** Ends the stream and what is left of its watches. */
  break(detail: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#creationTimer?.cancel();
    this.#progress.stop();
    this.#early = [];
    this.#stream?.cancel();
    this.#onEnd();
    const end: WatchEnd = { cause: "broken", detail };
    const watches = [...this.#watches.values()];
    this.#watches.clear();
    for (const watch of watches) watch.sink.ended(end);
  }
}
