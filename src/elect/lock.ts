/** One candidacy: a lock key under one lease, kept alive until it is released or known to be gone. */
import { type KeyValue, type KvClient, KvError, prefixEnd, type WatchEvent } from "../kv/client.ts";
import type { Fence } from "../model/fence.ts";
import type { BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, every } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";

export interface ElectOptions {
  readonly kv: KvClient;
  /** Without trailing slash. */
  readonly lockPrefix: string;
  readonly leaseTtlSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly backoff: BackoffSettings;
  /** Told whether this process leads, as far as it can tell: false also while the lease could not be renewed in time. */
  readonly leader?: (isLeader: boolean) => void;
}

/** The lock key is gone: someone else leads, or may. */
export class LeadershipLostError extends Error {
  override readonly name = "LeadershipLostError";
  readonly retryable = false;
}

/** Renewals per lease length. */
const RENEWALS = 3;
const NO_VALUE = new Uint8Array();

export class Lock {
  readonly #options: ElectOptions;
  readonly #leaseId: bigint;
  readonly #key: string;
  readonly #over = new AbortController();
  readonly #intervalMs: number;
  #createRevision = 0;
  #modRevision = 0;
  /** The store's, when we last looked. */
  #revision = 0;
  #provenAtMs: number;
  #overdue = false;
  #leads = false;
  #renewing = false;
  /** Failing to renew is said once, until it works again. */
  #said = false;

  constructor(options: ElectOptions, leaseId: bigint) {
    this.#options = options;
    this.#leaseId = leaseId;
    this.#key = `${options.lockPrefix}/${leaseId.toString(16)}`;
    this.#intervalMs = (options.leaseTtlSeconds * 1000) / RENEWALS;
    this.#provenAtMs = options.clock.nowMs();
    const stop = (): void => this.#over.abort(new LeadershipLostError("stopped"));
    if (options.signal.aborted) stop();
    options.signal.addEventListener("abort", stop, { once: true, signal: this.#over.signal });
    every(options.clock, this.#intervalMs, this.#over.signal, () => void this.#keepAlive());
  }

  /** Aborts with a LeadershipLostError when the lock is known to be gone. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get fence(): Fence {
    return { key: this.#key, modRevision: this.#modRevision };
  }

  /** Stops renewing. The lease is revoked by whoever granted it. */
  release(): void {
    this.#over.abort(new LeadershipLostError("released"));
  }

  /** Writes the lock key. Its outcome may be unknown: then the lease, and the key with it, is revoked by the caller. */
  async stand(): Promise<void> {
    const answer = await this.#options.kv.txn({
      compare: [{ key: this.#key, target: "create", equal: 0 }],
      operations: [{ put: { key: this.#key, value: NO_VALUE, leaseId: this.#leaseId } }],
    });
    if (!answer.succeeded) throw new LeadershipLostError(`lock ${this.#key} exists already`);
    this.#createRevision = answer.revision;
    this.#modRevision = answer.revision;
    this.#revision = answer.revision;
  }

  /** Resolves when no older lock is left, or when the signal aborts. */
  async waitForTurn(): Promise<void> {
    const prefix = `${this.#options.lockPrefix}/`;
    const range = { key: prefix, rangeEnd: prefixEnd(prefix) };
    while (!this.#over.signal.aborted) {
      const { kvs, revision } = await this.#options.kv.range(range);
      if (!kvs.some((kv) => kv.key === this.#key)) return this.#lose("the lock vanished while waiting");
      if (!kvs.some((kv) => this.#isOlder(kv))) {
        this.#leads = true;
        return;
      }
      await this.#deletionOf(range, revision + 1);
    }
  }

  #isOlder(kv: KeyValue): boolean {
    return kv.createRevision < this.#createRevision;
  }

  /** Resolves on the next deletion in `range`, when the watch ends, at the latest after one renewal interval. */
  #deletionOf(range: { key: string; rangeEnd: string }, startRevision: number): Promise<void> {
    const { kv, clock } = this.#options;
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#over.signal.removeEventListener("abort", done);
        watch.cancel();
        resolve();
      };
      const timer = clock.after(this.#intervalMs, done);
      this.#over.signal.addEventListener("abort", done, { once: true });
      const watch = kv.watch(
        { ...range, startRevision },
        {
          created() {},
          events(events: readonly WatchEvent[]) {
            if (events.some((event) => event.type === "delete")) done();
          },
          progress() {},
          // The timer goes on: a watch that ends at once must not make this a busy loop.
          ended() {},
        },
      );
    });
  }

  /**
   * Compares create_revision, for a rewrite of unknown outcome may have moved mod_revision already; only this process writes the key.
   * What was fenced by an older mod_revision cannot be applied after this.
   */
  async renewFence(): Promise<Fence> {
    this.#over.signal.throwIfAborted();
    const answer = await this.#options.kv.txn({
      compare: [{ key: this.#key, target: "create", equal: this.#createRevision }],
      operations: [{ put: { key: this.#key, value: NO_VALUE, leaseId: this.#leaseId } }],
    });
    if (!answer.succeeded) {
      this.#lose("the lock is gone");
      throw this.#over.signal.reason;
    }
    this.#modRevision = answer.revision;
    this.#revision = Math.max(this.#revision, answer.revision);
    return this.fence;
  }

  async #keepAlive(): Promise<void> {
    const { kv, clock, leaseTtlSeconds } = this.#options;
    const askedAtMs = clock.nowMs();
    this.#judgeOverdue(askedAtMs - this.#provenAtMs >= leaseTtlSeconds * 1000);
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      const ttlSeconds = await kv.renewLease(this.#leaseId);
      if (ttlSeconds <= 0) return this.#lose("the lease ran out");
      if (this.#leads) await this.#confirm();
      this.#provenAtMs = askedAtMs;
      this.#said = false;
      this.#judgeOverdue(false);
    } catch (error) {
      if (error instanceof KvError && error.code === "lease-not-found") this.#lose("the lease is gone");
      else this.#complain(error);
    } finally {
      this.#renewing = false;
    }
  }

  /**
   * A lock that nobody writes with may be gone without a word: taken away, or its etcd was wiped, or restored from a backup that has lease and lock in
   * it. Such an etcd has gone back in time.
   */
  async #confirm(): Promise<void> {
    const known = this.#revision;
    const { kvs, revision } = await this.#options.kv.range({ key: this.#key });
    if (kvs[0]?.createRevision !== this.#createRevision) return this.#lose("the lock is gone");
    if (revision < known) return this.#lose(`the etcd went back from revision ${known} to ${revision}`);
    this.#revision = Math.max(this.#revision, revision);
  }

  #complain(error: unknown): void {
    this.#options.log[this.#said ? "debug" : "warn"]({ reason: messageOf(error) }, "lease not renewed");
    this.#said = true;
  }

  #judgeOverdue(overdue: boolean): void {
    if (overdue === this.#overdue || this.#over.signal.aborted) return;
    this.#overdue = overdue;
    if (this.#leads) this.#options.leader?.(!overdue);
  }

  #lose(detail: string): void {
    this.#over.abort(new LeadershipLostError(detail));
  }
}
