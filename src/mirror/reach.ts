/** From an address to one complete listing of a remote: connect, handshake, list. This is what the breaker guards. */
import { type KeyRange, type Listing, list, prefixRange } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import type { ClusterConfig } from "../model/resource.ts";
import type { Clock } from "../runtime/clock.ts";
import { judgeClusterConfig } from "../wire/cluster-config.ts";
import { canaryKey, canaryPrefix, clusterConfigKey, HEARTBEAT_KEY } from "../wire/keys.ts";
import { RESOURCES, type Resource, type ResourceKind } from "../wire/resources.ts";
import type { ListGate } from "./list-gate.ts";
import type { RemoteRecord } from "./record.ts";

/** Where things are in `Reached.listing.ranges`; the kinds follow in the order of RESOURCES. */
export const CONFIG_RANGE = 0;
export const CANARY_RANGE = 1;
export const HEARTBEAT_RANGE = 2;
export const FIRST_KIND_RANGE = 3;

/** The remote answers, but not as one that we may mirror. Nothing of it is touched; it is asked again later. */
export class RemoteRefusedError extends Error {
  override readonly name = "RemoteRefusedError";
  readonly retryable = true;
}

/** The remote answers, but is not ready to be mirrored. It is asked again later. */
export class RemoteNotReadyError extends Error {
  override readonly name = "RemoteNotReadyError";
  readonly retryable = true;
}

export interface Reached {
  readonly kv: KvClient;
  readonly ranges: readonly KeyRange[];
  readonly listing: Listing;
  readonly config: ClusterConfig;
  /** The config as the remote wrote it. */
  readonly configBytes: Uint8Array;
  readonly listedAtMs: number;
}

export interface ReachOptions {
  readonly name: string;
  readonly record: RemoteRecord;
  readonly connect: () => Promise<KvClient>;
  /** Says in one line why a remote with this id is refused. */
  readonly refuseId: (id: number) => string | undefined;
  readonly gate: ListGate;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Keys per page. */
  readonly pageSize: number;
  /** Bounds of a listing. */
  readonly maxKeys: number;
  readonly maxBytes: number;
}

/** Rejects with a KvError, a DiskError, a ListingTooLargeError, a RemoteRefusedError or the signal's reason. The client is closed then. */
export async function reach(options: ReachOptions): Promise<Reached> {
  options.record.phase = "connecting";
  const kv = await options.connect();
  const close = (): void => kv.close();
  try {
    options.signal.throwIfAborted();
    options.signal.addEventListener("abort", close, { once: true });
    options.record.phase = "handshake";
    const { kvs } = await kv.range({ key: clusterConfigKey(options.name) });
    const config = acceptConfig(options, kvs[0]?.value);
    options.record.connected = true;
    return await options.gate.run(() => listRemote(options, kv, config));
  } catch (error) {
    options.record.connected = false;
    kv.close();
    throw error;
  } finally {
    options.signal.removeEventListener("abort", close);
  }
}

/** Everything at one revision, config and canaries included: so a canary in it vouches for the keys beside it. */
async function listRemote(options: ReachOptions, kv: KvClient, expected: ClusterConfig): Promise<Reached> {
  options.record.phase = "listing";
  const listedAtMs = options.clock.nowMs();
  const ranges = rangesOf(options.name, expected);
  const listing = await list(kv, ranges, options);
  const configBytes = listing.ranges[CONFIG_RANGE]?.[0]?.value;
  const config = acceptConfig(options, configBytes);
  if (configBytes === undefined || config.cached !== expected.cached || config.id !== expected.id) {
    throw new RemoteNotReadyError("its cluster config changed during the listing");
  }
  return { kv, ranges, listing, config, configBytes, listedAtMs };
}

function acceptConfig({ name, refuseId }: ReachOptions, bytes: Uint8Array | undefined): ClusterConfig {
  if (bytes === undefined) {
    throw new RemoteNotReadyError(
      `its etcd has no ${clusterConfigKey(name)}: is its exporter running, and is ${name} its name?`,
    );
  }
  const judged = judgeClusterConfig(clusterConfigKey(name), bytes);
  if (!judged.ok) throw new RemoteRefusedError(`${judged.rejection.key}: ${judged.rejection.detail}`);
  const refusal = refuseId(judged.value.id);
  if (refusal !== undefined) throw new RemoteRefusedError(refusal);
  return judged.value;
}

/** A remote that mirrors others itself shows its own state in cache form. */
function rangesOf(name: string, { cached }: ClusterConfig): readonly KeyRange[] {
  return [
    { key: clusterConfigKey(name) },
    prefixRange(canaryPrefix(name)),
    { key: HEARTBEAT_KEY },
    ...RESOURCES.map((resource) => prefixRange(cached ? resource.cachePrefix(name) : resource.statePrefix(name))),
  ];
}

/** The key that says that all of `kind` was written at the remote. */
export function remoteCanary(name: string, kind: Resource, { cached }: ClusterConfig): string {
  return canaryKey(name, cached ? kind.cacheCanary : kind.stateCanary);
}

/** Says of itself that it writes none: then there is no canary to wait for. */
function writesNone({ kind }: Resource, { endpointSlicesExportMode }: ClusterConfig): boolean {
  return kind === "services" && endpointSlicesExportMode === "endpointslices-only";
}

/** Kinds of which a listing with these canaries is known to be complete: only of these may anything be pruned. */
export function completeKinds(
  name: string,
  config: ClusterConfig,
  canaries: ReadonlyMap<string, Uint8Array>,
): ReadonlySet<ResourceKind> {
  const complete = RESOURCES.filter(
    (kind) => !config.syncedCanaries || writesNone(kind, config) || canaries.has(remoteCanary(name, kind, config)),
  );
  return new Set(complete.map(({ kind }) => kind));
}
