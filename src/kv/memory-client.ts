/** A client of the in-memory etcd: calls and watch messages travel one latency each way, in order. */
import type { Clock } from "../runtime/clock.ts";
import {
  type CallOptions,
  eventKey,
  type KvClient,
  KvError,
  type RangeRequest,
  type RangeResponse,
  type ServerStatus,
  type TxnRequest,
  type TxnResponse,
  type Watch,
  type WatchEvent,
  type WatchRequest,
  type WatchSink,
} from "./client.ts";
import { MemoryStore } from "./memory-store.ts";
import type { ServerWatch, WatchOutput } from "./memory-watches.ts";

/** What the client needs of the server. */
export interface MemoryServer {
  readonly clock: Clock;
  readonly latencyMs: number;
  readonly fragmentBytes: number;
  /** Changes whenever connections break. */
  readonly connection: number;
  readonly isUp: boolean;
  /** Whether a call that its caller gave up on is dropped, this time. */
  dropsAbandoned(): boolean;
  /** Runs `action` now, or when the server answers again; never when it stops before. */
  whenAnswering(action: () => void): void;
  range(request: RangeRequest): RangeResponse;
  txn(request: TxnRequest): TxnResponse;
  grantLease(ttlSeconds: number): { readonly leaseId: bigint; readonly ttlSeconds: number };
  renewLease(leaseId: bigint): number;
  revokeLease(leaseId: bigint): void;
  status(): ServerStatus;
  createWatch(watch: ServerWatch): void;
  cancelWatch(watch: ServerWatch): void;
  requestProgress(stream: object): void;
  /** Calls `broken` when the connections break; the function returned takes that back. */
  onBreak(broken: () => void): () => void;
}

export class MemoryClient implements KvClient {
  readonly #server: MemoryServer;
  readonly #timeoutMs: number;
  readonly #closing = new Set<() => void>();
  #closed = false;
  /** When the last message on the watch stream is in. */
  #streamFreeAtMs = 0;

  constructor(server: MemoryServer, timeoutMs: number) {
    this.#server = server;
    this.#timeoutMs = timeoutMs;
  }

  range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse> {
    return this.#call(false, options, () => this.#server.range(request));
  }

  async txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    MemoryStore.check(request);
    return this.#call(true, options, () => this.#server.txn(request));
  }

  grantLease(ttlSeconds: number): Promise<{ readonly leaseId: bigint; readonly ttlSeconds: number }> {
    return this.#call(true, undefined, () => this.#server.grantLease(ttlSeconds));
  }

  renewLease(leaseId: bigint): Promise<number> {
    return this.#call(true, undefined, () => this.#server.renewLease(leaseId));
  }

  revokeLease(leaseId: bigint): Promise<void> {
    return this.#call(true, undefined, () => this.#server.revokeLease(leaseId));
  }

  status(): Promise<ServerStatus> {
    return this.#call(false, undefined, () => this.#server.status());
  }

  close(): void {
    this.#closed = true;
    for (const close of [...this.#closing]) close();
  }

  #call<T>(write: boolean, options: CallOptions | undefined, apply: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new KvError("canceled", "the client is closed", false));
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => finish(() => reject(error));
      const timeoutMs = options?.timeoutMs ?? this.#timeoutMs;
      const deadline = server.clock.after(timeoutMs, () =>
        fail(new KvError("deadline", `no answer in ${timeoutMs} ms`, write)),
      );
      const broken = (): void => fail(new KvError("unavailable", "connection broken", write));
      const closed = (): void => fail(new KvError("canceled", "the client was closed", write));
      const forget = server.onBreak(broken);
      this.#closing.add(closed);
      let over = false;
      const finish = (settle: () => void): void => {
        over = true;
        deadline.cancel();
        forget();
        this.#closing.delete(closed);
        settle();
      };
      this.#travel(() => {
        if (over && server.dropsAbandoned()) return;
        const settle = outcome(apply, resolve, reject);
        this.#travel(() => finish(settle));
      }, broken);
    });
  }

  /** One way over the connection as it is now; `lost` when there is no server at the other end. */
  #travel(arrive: () => void, lost?: () => void, durationMs = this.#server.latencyMs): void {
    const server = this.#server;
    const { connection } = server;
    server.clock.after(durationMs, () => {
      if (!server.isUp) lost?.();
      else if (server.connection === connection) server.whenAnswering(arrive);
    });
  }

  /** Messages of the stream stay in order. One in many fragments takes as many trips, and none of it arrives when the connection breaks between. */
  #stream(fragments: number, arrive: () => void): void {
    const { clock, latencyMs } = this.#server;
    const nowMs = clock.nowMs();
    this.#streamFreeAtMs = Math.max(this.#streamFreeAtMs, nowMs + fragments * latencyMs);
    this.#travel(arrive, undefined, this.#streamFreeAtMs - nowMs);
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    const server = this.#server;
    let over = false;
    const end = (tell: () => void): void => {
      if (over) return;
      over = true;
      forget();
      this.#closing.delete(closed);
      tell();
    };
    const broken = (detail: string): void => end(() => sink.ended({ cause: "broken", detail }));
    const closed = (): void => broken("the client was closed");
    /** Broken connections are noticed by those who wait, one turn later. */
    const forget = server.onBreak(() => server.clock.after(0, () => broken("connection broken")));
    this.#closing.add(closed);
    const tell = (action: () => void, fragments = 1): void => this.#stream(fragments, () => over || action());
    const output: WatchOutput = {
      created: (header) => tell(() => sink.created(header)),
      events: (events, header) => tell(() => sink.events(events, header), fragmentsOf(events, server.fragmentBytes)),
      progress: (header) => tell(() => sink.progress(header)),
      ended: (ended) => tell(() => end(() => sink.ended(ended))),
    };
    const watch: ServerWatch = { stream: this, request, output };
    if (this.#closed) server.clock.after(0, closed);
    else
      this.#travel(
        () => over || server.createWatch(watch),
        () => broken("connection refused"),
      );
    return {
      requestProgress: () => this.#travel(() => server.requestProgress(this)),
      cancel: () => end(() => this.#travel(() => server.cancelWatch(watch))),
    };
  }
}

function fragmentsOf(events: readonly WatchEvent[], fragmentBytes: number): number {
  let bytes = 0;
  for (const event of events) bytes += eventKey(event).length + (event.type === "put" ? event.kv.value.length : 0);
  return Math.max(1, Math.ceil(bytes / fragmentBytes));
}

/** Applies a call; returns what tells the caller. */
function outcome<T>(apply: () => T, resolve: (value: T) => void, reject: (error: unknown) => void): () => void {
  try {
    const value = apply();
    return () => resolve(value);
  } catch (error) {
    return () => reject(error);
  }
}
