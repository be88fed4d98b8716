/** What the local cache holds already, read when a term begins: it outlives every process. */
import { type KeyValue, prefixEnd } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import { retry } from "../runtime/backoff.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { judgeClusterConfig } from "../wire/cluster-config.ts";
import { CLUSTER_CONFIG_PREFIX, canaryKey, clusterOfConfigKey } from "../wire/keys.ts";
import { RESOURCES } from "../wire/resources.ts";
import { type CachedNodes, cachedNodes } from "./cached-nodes.ts";
import { type OwnRanges, ownRanges } from "./own-ranges.ts";
import type { RemoteRecord } from "./record.ts";
import { type Remembered, readRemembered } from "./remembered.ts";
import type { MirrorLimits, Writing } from "./remote.ts";

export interface InspectOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly limits: MirrorLimits;
}

/** Runs `read` until the local etcd answers; resolves to undefined when the term ends before. */
export async function patiently<T>(
  { signal }: Writing,
  { clock, random, log, limits }: InspectOptions,
  read: () => Promise<T>,
): Promise<T | undefined> {
  const onFailure = (error: unknown): void => log.debug({ reason: messageOf(error) }, "cache not read yet");
  try {
    return await retry({ clock, random, signal, backoff: limits.backoff, onFailure }, read);
  } catch (error) {
    if (!signal.aborted) log.warn({ reason: messageOf(error) }, "cache not read");
    return undefined;
  }
}

/** Cluster name -> id of every cluster config in the local etcd. */
export async function inspectCache(writing: Writing, options: InspectOptions): Promise<ReadonlyMap<string, number>> {
  const range = { key: CLUSTER_CONFIG_PREFIX, rangeEnd: prefixEnd(CLUSTER_CONFIG_PREFIX) };
  const answer = await patiently(writing, options, () => writing.local.range(range));
  const ids = new Map<string, number>();
  for (const { key, value } of answer?.kvs ?? []) {
    const name = clusterOfConfigKey(key);
    const judged = judgeClusterConfig(key, value);
    if (name !== undefined && judged.ok) ids.set(name, judged.value.id);
    else options.log.warn({ key }, "unreadable cluster config in the local etcd");
  }
  return ids;
}

/** Nodes of every remote in the cache, and what is ours; undefined when the term ended before that was read. */
export async function inspectNodes(
  writing: Writing,
  own: Cluster,
  cached: ReadonlyMap<string, number>,
  options: InspectOptions,
): Promise<{ readonly own: OwnRanges | undefined; readonly cached: ReadonlyMap<string, CachedNodes> }> {
  const { local, signal } = writing;
  const reading = { local, signal, clock: options.clock, pageSize: options.limits.pageSize };
  const nodes = new Map<string, CachedNodes>();
  for (const [name, id] of cached) {
    if (name === own.name) continue;
    const found = await patiently(writing, options, () => cachedNodes({ name, id }, reading));
    if (found) nodes.set(name, found);
  }
  return { own: await patiently(writing, options, () => ownRanges(own, reading)), cached: nodes };
}

/** Counts what is cached of a remote, so that the status is right before, and without, any contact; and reads what was remembered of it. */
export async function inspectRemote(
  writing: Writing,
  record: RemoteRecord,
  options: InspectOptions,
): Promise<Remembered> {
  let canaries = 0;
  for (const { kind, cachePrefix, cacheCanary } of RESOURCES) {
    const prefix = cachePrefix(record.name);
    const range = { key: prefix, rangeEnd: prefixEnd(prefix), countOnly: true };
    const counted = await patiently(writing, options, () => writing.local.range(range));
    if (counted) record.index.counted(kind, counted.count);
    const key = canaryKey(record.name, cacheCanary);
    const canary = await patiently(writing, options, () => writing.local.range({ key }));
    const found: KeyValue | undefined = canary?.kvs[0];
    if (found) canaries++;
  }
  record.synced = canaries === RESOURCES.length;
  const remembered = await patiently(writing, options, () => readRemembered(writing.local, record.name));
  return remembered ?? { held: [], discarded: [] };
}
