/**
 * Takes a removed remote out of the cache in Cilium's order: its config first, so that no new agent begins with it; then, after a time in which agents
 * let go of it, its canaries, and its state kind by kind. Interrupted before the state goes, it puts the config back.
 */
import type { KvClient } from "../kv/client.ts";
import type { Writer } from "../publish/publisher.ts";
import { reconcile } from "../publish/reconcile.ts";
import { type BackoffSettings, retry } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { cachedDrainKey, canaryPrefix, checkpointKey, clusterConfigKey, holdsKey } from "../wire/keys.ts";
import { RESOURCES } from "../wire/resources.ts";

export interface DrainOptions {
  readonly writer: Writer;
  readonly local: KvClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff: BackoffSettings;
  readonly graceMs: number;
  readonly pageSize: number;
  /** Aborts when the remote is configured again, or the term ends. */
  readonly signal: AbortSignal;
}

/** Cilium drains its reflectors by name: these are theirs, in their order. */
const ORDER = ["endpointslices", "ip", "identities", "nodes", "serviceexports", "services"];

/** Resolves to whether everything is gone. Rejects with a FenceLostError, or with the signal's reason. */
export async function drain(name: string, options: DrainOptions): Promise<boolean> {
  const { writer, local, clock, graceMs, signal } = options;
  const configKey = clusterConfigKey(name);
  const { kvs } = await retry(options, () => local.range({ key: configKey }));
  writer.delete(configKey, "live");
  await writer.drained();
  await sleep(clock, graceMs, signal);
  if (signal.aborted) {
    const [config] = kvs;
    if (config) writer.put(configKey, config.value, "live");
    return false;
  }
  await empty(canaryPrefix(name), options);
  const kinds = [...RESOURCES].sort((left, right) => ORDER.indexOf(left.kind) - ORDER.indexOf(right.kind));
  for (const { cachePrefix } of kinds) await empty(cachePrefix(name), options);
  if (signal.aborted) return false;
  for (const key of [cachedDrainKey(name), checkpointKey(name), holdsKey(name)]) writer.delete(key, "bulk");
  await writer.drained();
  return !signal.aborted;
}

async function empty(prefix: string, options: DrainOptions): Promise<void> {
  const { writer, local, signal } = options;
  if (signal.aborted) return;
  await retry(options, () => reconcile(writer, local, prefix, new Map(), { ...options, prune: true }));
  await writer.drained();
}
