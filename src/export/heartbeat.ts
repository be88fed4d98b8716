/** The heartbeat: the one key that may vanish by itself, because silence is just what it is there to show. */
import type { KvClient } from "../kv/client.ts";
import type { Fence } from "../model/fence.ts";
import { Backoff } from "../runtime/backoff.ts";
import { type Clock, encodeTime, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { HEARTBEAT_KEY } from "../wire/keys.ts";

export interface HeartbeatOptions {
  readonly kv: KvClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly intervalMs: number;
  /** Time to live of the key's lease in seconds; longer than the interval. */
  readonly leaseTtlSeconds: number;
  readonly backoffBaseMs: number;
  /** The newest fence of the term. */
  readonly fence: () => Fence;
  /** Moves the fence; rejects when it is lost, which ends the term. */
  readonly renewFence: () => Promise<Fence>;
}

/** Rewrites the heartbeat every interval until `signal` aborts; after a failure sooner. Never rejects. */
export async function beat(options: HeartbeatOptions): Promise<void> {
  const { clock, random, log, signal, intervalMs, backoffBaseMs } = options;
  const backoff = new Backoff(random, { baseMs: Math.min(backoffBaseMs, intervalMs), capMs: intervalMs });
  let leaseId: bigint | undefined;
  while (!signal.aborted) {
    let delayMs = intervalMs;
    try {
      leaseId = await beatOnce(options, leaseId);
      backoff.reset();
    } catch (error) {
      delayMs = backoff.nextMs();
      log.warn({ reason: messageOf(error), delayMs }, "heartbeat not written");
    }
    await sleep(clock, delayMs, signal);
  }
}

async function beatOnce(options: HeartbeatOptions, known: bigint | undefined): Promise<bigint> {
  const { kv, clock, leaseTtlSeconds } = options;
  const alive = known !== undefined && (await kv.renewLease(known)) > 0;
  const leaseId = alive ? known : (await kv.grantLease(leaseTtlSeconds)).leaseId;
  const { key, modRevision } = options.fence();
  const { succeeded } = await kv.txn({
    compare: [{ key, target: "mod", equal: modRevision }],
    operations: [{ put: { key: HEARTBEAT_KEY, value: encodeTime(clock.wallMs()), leaseId } }],
  });
  if (!succeeded) {
    await options.renewFence();
    throw new Error("the fence had moved");
  }
  return leaseId;
}
