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

/** Renewals per lease length, of the lease and of the fence. */
const RENEWALS = 3;

/** Of a lease and of what hangs on it. */
export function renewIntervalMs(leaseTtlSeconds: number): number {
  return (leaseTtlSeconds * 1000) / RENEWALS;
}

/** A new lock is empty, as Cilium's is. */
function numberIn(value: Uint8Array): number {
  return Number(new TextDecoder().decode(value));
}

export class Lock {
  readonly #options: ElectOptions;
  readonly #leaseId: bigint;
  readonly #key: string;
  readonly #over = new AbortController();
  readonly #intervalMs: number;
  #createRevision = 0;
  #modRevision = 0;
  /** How often the lock was to be rewritten; the lock says by which of these it was. */
  #asked = 0;
  /** The newest that was acknowledged. */
  #acknowledged = 0;
  #rewritten: Promise<unknown> = Promise.resolve();
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
    this.#intervalMs = renewIntervalMs(options.leaseTtlSeconds);
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
      operations: [{ put: { key: this.#key, value: new Uint8Array(), leaseId: this.#leaseId } }],
    });
    if (!answer.succeeded) throw new LeadershipLostError(`lock ${this.#key} exists already`);
    this.#createRevision = answer.revision;
    this.#modRevision = answer.revision;
  }

  /** Resolves when no older lock is left, or when the signal aborts. */
  async waitForTurn(): Promise<void> {
    const prefix = `${this.#options.lockPrefix}/`;
    const range = { key: prefix, rangeEnd: prefixEnd(prefix) };
    while (!this.#over.signal.aborted) {
      const { kvs, revision } = await this.#options.kv.range(range);
      if (!kvs.some((kv) => kv.key === this.#key)) return void this.#lose("the lock vanished while waiting");
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
   * What was fenced by an older mod_revision cannot be applied after this. It also finds out whether the etcd went back in time, the lock with it: a backup
   * has an older number in it. Rejects with a KvError, or a LeadershipLostError when the lock is not as we left it.
   */
  renewFence(): Promise<Fence> {
    const rewritten = this.#rewritten.then(() => this.#rewrite());
    this.#rewritten = rewritten.catch(() => undefined);
    return rewritten;
  }

  async #rewrite(): Promise<Fence> {
    const { kv } = this.#options;
    this.#over.signal.throwIfAborted();
    const [found] = (await kv.range({ key: this.#key })).kvs;
    if (found?.createRevision !== this.#createRevision) throw this.#lose("the lock is gone");
    const number = numberIn(found.value);
    if (!(number >= this.#acknowledged && number <= this.#asked)) {
      throw this.#lose(
        `the lock says ${number} and was rewritten ${this.#acknowledged} times: the etcd went back in time`,
      );
    }
    const next = ++this.#asked;
    const value = new TextEncoder().encode(`${next}`);
    const answer = await kv.txn({
      compare: [{ key: this.#key, target: "mod", equal: found.modRevision }],
      operations: [{ put: { key: this.#key, value, leaseId: this.#leaseId } }],
    });
    if (!answer.succeeded) throw new KvError("unavailable", "the lock was rewritten by a call that had been given up");
    this.#acknowledged = next;
    this.#modRevision = answer.revision;
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
      if (ttlSeconds <= 0) return void this.#lose("the lease ran out");
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

  #complain(error: unknown): void {
    this.#options.log[this.#said ? "debug" : "warn"]({ reason: messageOf(error) }, "lease not renewed");
    this.#said = true;
  }

  #judgeOverdue(overdue: boolean): void {
    if (overdue === this.#overdue || this.#over.signal.aborted) return;
    this.#overdue = overdue;
    if (this.#leads) this.#options.leader?.(!overdue);
  }

  #lose(detail: string): LeadershipLostError {
    const error = new LeadershipLostError(detail);
    this.#over.abort(error);
    return error;
  }
}
