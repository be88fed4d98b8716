/** The way from the mirrors of one cluster to the etcd of another: what is wrong with it now, for connections old and new. */

import {
  type Header,
  type KvClient,
  KvError,
  type RangeRequest,
  type RangeResponse,
  type Watch,
  type WatchEvent,
  type WatchRequest,
  type WatchSink,
} from "../../src/kv/client.ts";
import { type FaultyKv, faultyKv, NO_FAULTS } from "../../src/kv/faulty.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import type { Random } from "../../src/runtime/random.ts";
import { passing } from "./doors.ts";
import { TIMEOUT_MS } from "./limits.ts";

/** Stands in the way of one thing and does with it what it likes; what it does not name passes. */
export interface Bend {
  range?(request: RangeRequest, pass: () => Promise<RangeResponse>): Promise<RangeResponse>;
  created?(sink: WatchSink, header: Header, request: WatchRequest): void;
  events?(sink: WatchSink, events: readonly WatchEvent[], header: Header, request: WatchRequest): void;
  progress?(sink: WatchSink, header: Header, request: WatchRequest): void;
}

export type Silence = "none" | "requests" | "answers";

export class Link {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #clients = new Map<KvClient, FaultyKv>();
  readonly #bends = new Set<Bend>();
  /** Why no new connection comes about. */
  #refusals: readonly string[] = [];
  #silences: readonly Silence[] = [];

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Of a connection that is made now. */
  door(client: KvClient): KvClient {
    const [refusal] = this.#refusals;
    if (refusal !== undefined) return refusing(client, refusal);
    const faulty = faultyKv(client, { clock: this.#clock, random: this.#random, timeoutMs: TIMEOUT_MS });
    faulty.inject({ ...NO_FAULTS, silence: this.#silence });
    this.#clients.set(client, faulty);
    const close = (): void => {
      this.#clients.delete(client);
      faulty.close();
    };
    return {
      ...passing(faulty),
      range: (request, options) => this.#range(faulty, request, options),
      watch: (request, sink) => this.#watch(faulty, request, sink),
      close,
    };
  }

  #range(kv: KvClient, request: RangeRequest, options: Parameters<KvClient["range"]>[1]): Promise<RangeResponse> {
    let pass = (): Promise<RangeResponse> => kv.range(request, options);
    for (const bend of this.#bends) {
      const next = pass;
      if (bend.range) pass = () => bend.range?.(request, next) ?? next();
    }
    return pass();
  }

  /** Bends are those of the moment at which a message arrives. */
  #watch(kv: KvClient, request: WatchRequest, outer: WatchSink): Watch {
    let over = false;
    const alive = (action: () => void): void => {
      if (!over) action();
    };
    const last: WatchSink = {
      created: (header) => alive(() => outer.created(header)),
      events: (events, header) => alive(() => outer.events(events, header)),
      progress: (header) => alive(() => outer.progress(header)),
      ended: (end) =>
        alive(() => {
          over = true;
          watch.cancel();
          outer.ended(end);
        }),
    };
    const bent = (): WatchSink => [...this.#bends].reduce((sink, bend) => bentSink(sink, bend, request), last);
    const watch = kv.watch(request, {
      created: (header) => bent().created(header),
      events: (events, header) => bent().events(events, header),
      progress: (header) => bent().progress(header),
      ended: (end) => last.ended(end),
    });
    return {
      requestProgress: () => watch.requestProgress(),
      cancel: () => {
        over = true;
        watch.cancel();
      },
    };
  }

  /** Connections made so far end. */
  cut(): void {
    for (const faulty of [...this.#clients.values()]) faulty.breakWatches();
  }

  /** Bends from now on; the function returned ends it. */
  bend(bend: Bend): () => void {
    this.#bends.add(bend);
    return () => this.#bends.delete(bend);
  }

  /** No new connection comes about, and those that there are end. */
  refuse(reason: string): () => void {
    this.#refusals = [...this.#refusals, reason];
    this.cut();
    return () => {
      this.#refusals = without(this.#refusals, reason);
    };
  }

  /** Half of what is sent does not arrive. */
  silence(silence: Silence): () => void {
    this.#silences = [...this.#silences, silence];
    this.#inject();
    return () => {
      this.#silences = without(this.#silences, silence);
      this.#inject();
    };
  }

  get #silence(): Silence {
    return this.#silences[0] ?? "none";
  }

  #inject(): void {
    for (const faulty of this.#clients.values()) faulty.inject({ silence: this.#silence });
  }
}

function without<T>(all: readonly T[], one: T): readonly T[] {
  const at = all.indexOf(one);
  return all.filter((_, index) => index !== at);
}

function bentSink(sink: WatchSink, bend: Bend, request: WatchRequest): WatchSink {
  return {
    created: (header) => (bend.created ? bend.created(sink, header, request) : sink.created(header)),
    events: (events, header) =>
      bend.events ? bend.events(sink, events, header, request) : sink.events(events, header),
    progress: (header) => (bend.progress ? bend.progress(sink, header, request) : sink.progress(header)),
    ended: (end) => sink.ended(end),
  };
}

/** A client that never gets through. */
function refusing(client: KvClient, reason: string): KvClient {
  const fail = () => Promise.reject(new KvError("unavailable", reason, false));
  return { ...passing(client), range: fail, txn: fail, status: fail };
}
