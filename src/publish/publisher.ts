/**
 * The one way to write into the local etcd while leading: a coalescing queue in front of fenced transactions.
 *
 * Every Txn compares the fence key's mod_revision. A write of unknown outcome may still be applied later, so it ends the write
 * epoch: everything in flight settles, the fence is moved, and only then is anything written again, keys in doubt first.
 * It compares the newest acknowledged write too: an etcd that was restored may hold the fence just so, but not what was written after its backup.
 */
import assert from "node:assert/strict";
import { type Compare, type KvClient, KvError, type TxnResponse } from "../kv/client.ts";
import type { Fence } from "../model/fence.ts";
import { Backoff, type BackoffSettings, retry } from "../runtime/backoff.ts";
import { type Clock, every, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Counter, Gauge, Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { InFlightLimit, type Sent } from "./in-flight-limit.ts";
import { type Lane, type Write, WriteQueue } from "./queue.ts";

/** The right to write is gone; nothing more is written by this publisher. */
export class FenceLostError extends Error {
  override readonly name = "FenceLostError";
  readonly retryable = false;
}

export interface PublisherOptions {
  readonly kv: KvClient;
  readonly fence: Fence;
  /** Moves the fence. An error whose `retryable` is false means that it is lost. */
  readonly renewFence: () => Promise<Fence>;
  /** How often it is moved for no other reason than to find out whether it is still there. */
  readonly renewIntervalMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly backoff: BackoffSettings;
  readonly observer?: WriteObserver;
  /** Operations per Txn; etcd allows 128, and each Txn costs as much as some dozens of keys. */
  readonly maxOperations?: number;
  /** Bytes per Txn; etcd allows 1.5 MiB. */
  readonly maxBytes?: number;
  /** Txns on their way at once, at least 2: one of them is kept for the live lane, and the bulk lane has fewer while answers are slow. */
  readonly maxTxnsInFlight?: number;
}

/** The mod_revision of its key. */
function standingAt({ deleted, revision }: Acknowledged): number {
  return deleted ? 0 : revision;
}

/** Told what becomes of writes. */
export interface WriteObserver {
  /** @param waitedMs since the oldest wish that it fulfils was queued. */
  acknowledged(write: Write, waitedMs: number): void;
  /** They will be tried again, unless they are too large for etcd. */
  failed(batch: readonly Write[]): void;
}

/** What a writer may do; writes of one scope wait for each other only. */
export interface Writer {
  put(key: string, value: Uint8Array, lane: Lane): void;
  delete(key: string, lane: Lane): void;
  /** Keys below `prefix` whose write is not acknowledged yet. */
  unacknowledged(prefix: string): ReadonlySet<string>;
  /** Resolves when everything queued before is acknowledged. Rejects with FenceLostError when that will not come to pass. */
  drained(): Promise<void>;
  /** The same of all but the newest `writes`; or at once while no put is taken, as the deletions behind them would make room for it. */
  room(writes: number): Promise<void>;
}

interface Waiter {
  /** Everything queued up to here must be acknowledged. */
  readonly sequence: number;
  /** Absent: of all scopes. */
  readonly scope: string | undefined;
  /** Does not wait for puts that are not taken. */
  readonly hasty: boolean;
  resolve(): void;
  reject(error: Error): void;
}

/** Why a round of sending ended; `refused`: the etcd is not as we left it. */
type Ending = "stopped" | "no-space" | "retry" | "renewal" | "refused" | "unknown-outcome";
/** Which of two endings decides what happens next. */
const GRAVITY: readonly Ending[] = ["stopped", "no-space", "retry", "renewal", "refused", "unknown-outcome"];

/** A write that was acknowledged. */
interface Acknowledged {
  readonly key: string;
  readonly revision: number;
  readonly deleted: boolean;
  /** The next write of the key, of which nobody knows whether it was applied. */
  readonly doubtful?: Write;
}

const DEFAULT_MAX_OPERATIONS = 128;
const DEFAULT_MAX_BYTES = 1024 * 1024;
const DEFAULT_MAX_TXNS_IN_FLIGHT = 16;

export class Publisher implements Writer {
  readonly #options: PublisherOptions;
  readonly #queue = new WriteQueue();
  readonly #waiters = new Set<Waiter>();
  readonly #backoff: Backoff;
  readonly #written: Counter;
  readonly #failed: Counter;
  readonly #depth: Gauge;
  readonly #allowed: Gauge;
  readonly #limit: InFlightLimit;
  #fence: Fence;
  /** The newest one. */
  #acknowledged: Acknowledged | undefined;
  #maxBytes: number;
  #sequence = 0;
  /** Txns on their way, and those among them that carry writes of the bulk lane. */
  #inFlight = 0;
  #bulkInFlight = 0;
  #ending: Ending | undefined;
  #putsAllowed = true;
  /** Said once, until a put is taken again. */
  #saidNoSpace = false;
  #refusedSinceMs: number | undefined;
  #wake: () => void = () => {};
  #over: FenceLostError | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#fence = options.fence;
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#backoff = new Backoff(options.random, options.backoff);
    const { metrics, clock, maxTxnsInFlight = DEFAULT_MAX_TXNS_IN_FLIGHT } = options;
    assert(maxTxnsInFlight >= 2, "one for each lane");
    this.#limit = new InFlightLimit(clock, maxTxnsInFlight - 1);
    this.#written = metrics.counter(
      "bulkhead_publish_writes_total",
      "Keys written to or deleted from the local etcd.",
      ["operation"],
    );
    this.#failed = metrics.counter("bulkhead_publish_failures_total", "Write transactions that failed.", ["reason"]);
    this.#depth = metrics.gauge("bulkhead_publish_queued", "Writes queued or on their way to the local etcd.");
    this.#allowed = metrics.gauge(
      "bulkhead_publish_in_flight_limit",
      "Transactions of the bulk lane that may be on their way to the local etcd at once.",
    );
    this.#allowed.set(this.#limit.allowed);
  }

  /** A writer of its own. One key is always written through the same scope. */
  scope(name: string): Writer {
    return {
      put: (key, value, lane) => this.put(key, value, lane, name),
      delete: (key, lane) => this.delete(key, lane, name),
      unacknowledged: (prefix) => this.unacknowledged(prefix),
      drained: () => this.drained(name),
      room: (writes) => this.room(writes, name),
    };
  }

  put(key: string, value: Uint8Array, lane: Lane, scope = ""): void {
    this.#add({ key, value, lane, scope, ...this.#now() });
  }

  delete(key: string, lane: Lane, scope = ""): void {
    this.#add({ key, lane, scope, ...this.#now() });
  }

  #now(): Pick<Write, "since" | "atMs"> {
    return { since: ++this.#sequence, atMs: this.#options.clock.nowMs() };
  }

  /** Writes queued or on their way. */
  get queued(): number {
    return this.#queue.size;
  }

  /** The same by scope, and by the scope of the key within it. */
  get depths(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    return this.#queue.depths;
  }

  /** For how long writes have failed without one that succeeded; 0 when the last one did. While etcd has no space, deletions do not count. */
  get refusedMs(): number {
    return this.#refusedSinceMs === undefined ? 0 : this.#options.clock.nowMs() - this.#refusedSinceMs;
  }

  unacknowledged(prefix: string): ReadonlySet<string> {
    const keys = new Set<string>();
    for (const { key } of this.#queue.outstanding()) if (key.startsWith(prefix)) keys.add(key);
    return keys;
  }

  /** @param scope absent: all of them. */
  drained(scope?: string): Promise<void> {
    return this.#whenAcknowledged({ sequence: this.#sequence, scope, hasty: false });
  }

  room(writes: number, scope?: string): Promise<void> {
    return this.#whenAcknowledged({ sequence: this.#sequence - writes, scope, hasty: true });
  }

  #whenAcknowledged(what: Omit<Waiter, "resolve" | "reject">): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    if (!this.#isAwaited(what)) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.add({ ...what, resolve, reject }));
  }

  #isAwaited({ sequence, scope, hasty }: Omit<Waiter, "resolve" | "reject">): boolean {
    return (this.#putsAllowed || !hasty) && this.#queue.isOpen(sequence, scope);
  }

  /** Writes until `signal` aborts; then lets what is in flight settle. Rejects with FenceLostError. Runs once. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#wake();
    signal.addEventListener("abort", wake);
    every(this.#options.clock, this.#options.renewIntervalMs, signal, () => this.#end("renewal"));
    try {
      while (!signal.aborted) await this.#recover(await this.#round(signal), signal);
    } finally {
      signal.removeEventListener("abort", wake);
      this.#over ??= new FenceLostError("no longer writing");
      for (const waiter of this.#waiters) waiter.reject(this.#over);
      this.#waiters.clear();
    }
  }

  #add(write: Write): void {
    this.#queue.add(write);
    this.#depth.set(this.#queue.size);
    this.#wake();
  }

  /** Sends until something goes wrong, then waits until nothing is in flight. */
  async #round(signal: AbortSignal): Promise<Ending> {
    this.#ending = undefined;
    for (;;) {
      if (signal.aborted) this.#end("stopped");
      if (this.#ending === undefined) this.#sendAll();
      if (this.#ending !== undefined && this.#inFlight === 0) return this.#ending;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #sendAll(): void {
    const { maxOperations = DEFAULT_MAX_OPERATIONS, maxTxnsInFlight = DEFAULT_MAX_TXNS_IN_FLIGHT } = this.#options;
    while (this.#inFlight < maxTxnsInFlight) {
      const bulk = this.#bulkInFlight < this.#limit.allowed;
      const batch = this.#queue.take({ maxOperations, maxBytes: this.#maxBytes, puts: this.#putsAllowed, bulk });
      if (batch.length === 0) return;
      const bulkTxns = batch.some(({ lane }) => lane === "bulk") ? 1 : 0;
      this.#inFlight++;
      this.#bulkInFlight += bulkTxns;
      void this.#send(batch, bulkTxns > 0).finally(() => {
        this.#inFlight--;
        this.#bulkInFlight -= bulkTxns;
        this.#allowed.set(this.#limit.allowed);
        this.#depth.set(this.#queue.size);
        this.#wake();
      });
    }
  }

  async #send(batch: readonly Write[], bulk: boolean): Promise<void> {
    const sent = this.#limit.sent();
    const newest = this.#acknowledged;
    const isOverwritten = batch.some(({ key }) => key === newest?.key);
    let answer: TxnResponse;
    try {
      answer = await this.#txn(batch, isOverwritten || !this.#queue.isInFlight(newest?.key) ? newest : undefined);
    } catch (error) {
      return this.#fail(batch, sent, error);
    }
    // Small live ones alone say nothing of how quick a large one can be.
    if (bulk) this.#limit.answered(sent);
    if (answer.succeeded) this.#settle(batch, answer);
    else {
      // Whatever was acknowledged meanwhile did not compare it.
      if (isOverwritten) this.#acknowledged = newest;
      this.#putBack(batch, "refused", "refused");
    }
  }

  /** @param newest to be compared too; not while another Txn that writes it is on its way. */
  #txn(batch: readonly Write[], newest: Acknowledged | undefined): Promise<TxnResponse> {
    const fence: Compare = { key: this.#fence.key, target: "mod", equal: this.#fence.modRevision };
    return this.#options.kv.txn({
      compare: newest ? [fence, { key: newest.key, target: "mod", equal: standingAt(newest) }] : [fence],
      operations: batch.map(({ key, value }) => (value === undefined ? { delete: { key } } : { put: { key, value } })),
    });
  }

  #settle(batch: readonly Write[], answer: TxnResponse): void {
    this.#backoff.reset();
    this.#acknowledge(batch);
    this.#noteNewest(batch, answer);
    const nowMs = this.#options.clock.nowMs();
    for (const write of batch) this.#options.observer?.acknowledged(write, nowMs - write.atMs);
    const puts = batch.filter(({ value }) => value !== undefined).length;
    if (puts > 0) this.#saidNoSpace = false;
    if (puts > 0 || this.#putsAllowed) this.#refusedSinceMs = undefined;
    this.#written.add(puts, { operation: "put" });
    this.#written.add(batch.length - puts, { operation: "delete" });
  }

  #fail(batch: readonly Write[], sent: Sent, error: unknown): void {
    if (!(error instanceof KvError) || error.outcomeUnknown) {
      this.#limit.failed(sent);
      const doubtful = batch.find(({ key }) => key === this.#acknowledged?.key);
      if (this.#acknowledged && doubtful) this.#acknowledged = { ...this.#acknowledged, doubtful };
      this.#putBack(batch, "unknown-outcome", "unknown-outcome");
    } else if (error.code === "too-large") this.#split(batch);
    else this.#putBack(batch, error.code === "no-space" ? "no-space" : "retry", error.code);
  }

  #putBack(batch: readonly Write[], ending: Ending, reason: string): void {
    this.#failed.add(1, { reason });
    this.#options.observer?.failed(batch);
    this.#refusedSinceMs ??= this.#options.clock.nowMs();
    this.#options.log.debug({ reason, keys: batch.length }, "write failed");
    this.#queue.putBack(batch);
    this.#end(ending);
  }

  /** A single write that etcd will never take is given up, loudly: it must not hold up the others. */
  #split(batch: readonly Write[]): void {
    this.#failed.add(1, { reason: "too-large" });
    const [first] = batch;
    if (batch.length > 1) {
      this.#maxBytes = Math.max(1, Math.floor(this.#maxBytes / 2));
      this.#queue.putBack(batch);
      return;
    }
    this.#options.log.error(
      { key: first?.key, bytes: first?.value?.length },
      "value too large for the local etcd: not written",
    );
    this.#options.observer?.failed(batch);
    this.#acknowledge(batch);
  }

  #acknowledge(batch: readonly Write[]): void {
    this.#queue.settle(batch);
    this.#resolveWaiters();
  }

  #resolveWaiters(): void {
    for (const waiter of this.#waiters) {
      if (this.#isAwaited(waiter)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  #end(ending: Ending): void {
    if (this.#ending === undefined || GRAVITY.indexOf(ending) > GRAVITY.indexOf(this.#ending)) this.#ending = ending;
    this.#wake();
  }

  async #recover(ending: Ending, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    if (ending === "unknown-outcome") return this.#moveFence(signal);
    if (ending === "refused") return this.#refused(signal);
    if (ending === "renewal") return this.#renew(signal);
    if (ending === "retry") return sleep(clock, this.#backoff.nextMs(), signal);
    if (ending === "no-space" && this.#putsAllowed) {
      const delayMs = this.#backoff.nextMs();
      log[this.#saidNoSpace ? "debug" : "warn"](
        { delayMs },
        "the local etcd is out of space: only deletions are written",
      );
      this.#saidNoSpace = true;
      this.#putsAllowed = false;
      this.#resolveWaiters();
      void sleep(clock, delayMs, signal).then(() => {
        this.#putsAllowed = true;
        this.#wake();
      });
    }
  }

  /** Nothing is in doubt: where the fence cannot be moved now, as without space, it stays where it is. */
  async #renew(signal: AbortSignal): Promise<void> {
    try {
      this.#fence = await this.#options.renewFence();
    } catch (error) {
      if (!(error instanceof KvError) || error.outcomeUnknown) return this.#moveFence(signal);
    }
    await this.#patiently(signal, () => this.#judge());
  }

  /** A write that overtook its neighbour looks the same from there: it needs no other fence, for which there may be no space. */
  async #refused(signal: AbortSignal): Promise<void> {
    const moved = await this.#patiently(signal, async () => {
      await this.#judge();
      return (await this.#modRevision(this.#fence.key)) !== this.#fence.modRevision;
    });
    if (moved) await this.#moveFence(signal);
  }

  async #moveFence(signal: AbortSignal): Promise<void> {
    await this.#patiently(signal, async () => {
      this.#fence = await this.#options.renewFence();
      await this.#judge();
    });
  }

  /** A put, or a deletion of what was there: deleting what was not is true of a backup too. */
  #noteNewest(batch: readonly Write[], { revision, deleted }: TxnResponse): void {
    const newest = this.#acknowledged;
    if (newest && newest.revision >= revision) return;
    const put = batch.find(({ value }) => value !== undefined);
    const gone = deleted === batch.length ? batch[0] : batch.find(({ key }) => key === newest?.key);
    const write = put ?? gone;
    if (write) this.#acknowledged = { key: write.key, revision, deleted: write.value === undefined };
  }

  /** Whether the newest acknowledged write stands, while nothing is in flight: whoever lost it was restored, and more with it. */
  async #judge(): Promise<void> {
    const newest = this.#acknowledged;
    if (newest === undefined) return;
    const { key, revision, doubtful } = newest;
    const found = await this.#modRevision(key);
    if (found === standingAt(newest)) return;
    const isDoubtful = doubtful && (found === 0 ? doubtful.value === undefined : found > revision);
    if (!isDoubtful) throw new FenceLostError(`the local etcd has lost ${key}, written last: it was restored`);
    this.#acknowledged = undefined;
  }

  async #modRevision(key: string): Promise<number> {
    const { kvs } = await this.#options.kv.range({ key, keysOnly: true });
    return kvs[0]?.modRevision ?? 0;
  }

  /** Until it succeeds or the signal aborts. Loses the right to write with an error that no retry mends. */
  async #patiently<T>(signal: AbortSignal, action: () => Promise<T>): Promise<T | undefined> {
    const { clock, random, backoff, log } = this.#options;
    const onFailure = (error: unknown): void =>
      log.debug({ reason: messageOf(error) }, "what was written is not proved yet");
    try {
      return await retry({ clock, random, backoff, signal, onFailure }, action);
    } catch (error) {
      if (signal.aborted) return undefined;
      this.#lose(messageOf(error));
    }
  }

  #lose(reason: string): never {
    this.#over = new FenceLostError(reason);
    throw this.#over;
  }
}
