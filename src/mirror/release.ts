/**
 * Hands the cache to a kvstoremesh of Cilium, which never lists its own cache: what it does not write again would stay for ever. So every mirrored
 * key is put under one lease that nobody renews; the successor's writes take their keys out of it, and the rest goes when it runs out.
 */
import { type KeyValue, type KvClient, KvError, keyAfter, prefixEnd } from "../kv/client.ts";
import { Pager } from "../kv/pager.ts";
import type { Fence } from "../model/fence.ts";
import type { Clock } from "../runtime/clock.ts";
import { cachedDrainKey, canaryPrefix, clusterConfigKey } from "../wire/keys.ts";
import { RESOURCES } from "../wire/resources.ts";

/** Cilium's own: a successor has that long to write what it wants to keep. */
export const RELEASE_TTL_SECONDS = 900;
const MAX_OPERATIONS = 100;
const MAX_BYTES = 1024 * 1024;

export interface Released {
  readonly keys: number;
  readonly ttlSeconds: number;
}

export interface ReleaseOptions {
  readonly local: KvClient;
  readonly clock: Clock;
  readonly pageSize: number;
  readonly fence: Fence;
}

/** Every key that is mirrored of these clusters. Nothing else may write them meanwhile. Rejects with a KvError; then some may be leased, some not. */
export async function leaseCache(remotes: readonly string[], options: ReleaseOptions): Promise<Released> {
  const { leaseId, ttlSeconds } = await options.local.grantLease(RELEASE_TTL_SECONDS);
  let keys = 0;
  for (const remote of remotes) {
    for (const range of rangesOf(remote)) keys += await leaseRange(range, leaseId, options);
  }
  return { keys, ttlSeconds };
}

function rangesOf(remote: string): readonly { readonly key: string; readonly rangeEnd?: string }[] {
  const prefixes = [canaryPrefix(remote), ...RESOURCES.map(({ cachePrefix }) => cachePrefix(remote))];
  return [
    { key: clusterConfigKey(remote) },
    { key: cachedDrainKey(remote) },
    ...prefixes.map((prefix) => ({ key: prefix, rangeEnd: prefixEnd(prefix) })),
  ];
}

async function leaseRange(
  range: { readonly key: string; readonly rangeEnd?: string },
  leaseId: bigint,
  options: ReleaseOptions,
): Promise<number> {
  const { local, clock, pageSize } = options;
  const pager = new Pager(local, pageSize);
  let { key } = range;
  for (let leased = 0; ; ) {
    const page = await pager.page({ ...range, key });
    for (const batch of batches(page.kvs)) await lease(batch, leaseId, options);
    leased += page.kvs.length;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return leased;
    key = keyAfter(last.key);
    await clock.breathe();
  }
}

async function lease(kvs: readonly KeyValue[], leaseId: bigint, { local, fence }: ReleaseOptions): Promise<void> {
  const operations = kvs.map(({ key, value }) => ({ put: { key, value, leaseId } }));
  const compare = [{ key: fence.key, target: "mod" as const, equal: fence.modRevision }];
  const { succeeded } = await local.txn({ compare, operations });
  if (!succeeded) throw new KvError("canceled", "another process leads: nothing more is released", false);
}

function* batches(kvs: readonly KeyValue[]): Generator<readonly KeyValue[]> {
  let batch: KeyValue[] = [];
  let bytes = 0;
  for (const kv of kvs) {
    const size = kv.key.length + kv.value.length;
    if (batch.length === MAX_OPERATIONS || (batch.length > 0 && bytes + size > MAX_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(kv);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
