/**
 * Leadership as Cilium's kvstoremesh keeps it in the local etcd: key `<prefix>/<lease id in hex>` under a lease, the lowest
 * create revision leads. The leader's key is also its fence: rewriting it moves its mod_revision and nothing else.
 */
import { KvError } from "../kv/client.ts";
import type { Fence } from "../model/fence.ts";
import { Backoff } from "../runtime/backoff.ts";
import { sleep } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import { type ElectOptions, Lock, renewIntervalMs } from "./lock.ts";

export interface Term {
  readonly fence: Fence;
  /** Aborts when leadership is known to be lost, or the process stops. An unreachable etcd alone does not end a term. */
  readonly signal: AbortSignal;
  /**
   * Moves the fence, so that no write sent before can win any more. Rejects with a LeadershipLostError when the key is gone or older than we left it: to be
   * called every `renewIntervalMs` too, or an etcd that was restored goes unnoticed.
   */
  renewFence(): Promise<Fence>;
  readonly renewIntervalMs: number;
}

/**
 * Campaigns, runs `lead` for the length of each term, and campaigns again, until `signal` aborts. `lead` should end soon after its
 * signal; when it ends by itself the term is given up. Never rejects.
 */
export async function elect(options: ElectOptions, lead: (term: Term) => Promise<void>): Promise<void> {
  const backoff = new Backoff(options.random, options.backoff);
  const graves = new Graves(options);
  /** Said once; the next time after it has led. */
  let said = false;
  const leadAloud = (term: Term): Promise<void> => {
    said = false;
    return lead(term);
  };
  while (!options.signal.aborted) {
    let ended = "the term ended";
    try {
      await graves.clear();
      await runTerm(options, graves, leadAloud, backoff);
    } catch (error) {
      ended = messageOf(error);
    }
    if (options.signal.aborted) break;
    const delayMs = backoff.nextMs();
    options.log[said ? "debug" : "warn"]({ delayMs, reason: ended }, "not leading");
    said = true;
    await sleep(options.clock, delayMs, options.signal);
  }
  await graves.clear().catch((error) => options.log.info({ reason: messageOf(error) }, "lock left to its lease"));
}

async function runTerm(
  options: ElectOptions,
  graves: Graves,
  lead: (term: Term) => Promise<void>,
  backoff: Backoff,
): Promise<void> {
  const { leaseId } = await options.kv.grantLease(options.leaseTtlSeconds);
  graves.add(leaseId);
  const lock = new Lock(options, leaseId);
  lock.signal.addEventListener("abort", () => options.leader?.(false), { once: true });
  try {
    await lock.stand();
    // Standing is known; leading is not yet.
    options.leader?.(false);
    await lock.waitForTurn();
    if (lock.signal.aborted) throw lock.signal.reason;
    // Moved once more: a backup of the time when we still waited is no proof that we lead.
    await lock.renewFence();
    backoff.reset();
    options.log.info({ key: lock.fence.key }, "leading");
    options.leader?.(true);
    await lead({
      fence: lock.fence,
      signal: lock.signal,
      renewFence: () => lock.renewFence(),
      renewIntervalMs: renewIntervalMs(options.leaseTtlSeconds),
    });
    if (lock.signal.aborted) throw lock.signal.reason;
  } finally {
    lock.release();
  }
}

/** Leases of this process that may still hold a lock: revoked before it stands again, so that it never waits for its own dead lock. */
class Graves {
  readonly #options: ElectOptions;
  readonly #leases = new Set<bigint>();

  constructor(options: ElectOptions) {
    this.#options = options;
  }

  add(leaseId: bigint): void {
    this.#leases.add(leaseId);
  }

  async clear(): Promise<void> {
    for (const leaseId of [...this.#leases]) {
      try {
        await this.#options.kv.revokeLease(leaseId);
      } catch (error) {
        if (!(error instanceof KvError && error.code === "lease-not-found")) throw error;
      }
      this.#leases.delete(leaseId);
    }
  }
}
