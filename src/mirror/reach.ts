/** From an address to a listing of a remote that has begun, or to where a watch may go on: connect, handshake, first ranges. This is what the breaker guards. */
import { type KeyRange, type Listing, ListingTooLargeError, list, prefixRange, type Witness } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import { monotonicKv } from "../kv/monotonic.ts";
import type { ClusterConfig } from "../model/resource.ts";
import type { Clock } from "../runtime/clock.ts";
import { judgeClusterConfig } from "../wire/cluster-config.ts";
import { cachedDrainKey, canaryKey, canaryPrefix, clusterConfigKey, drainKey, HEARTBEAT_KEY } from "../wire/keys.ts";
import { RESOURCES, type Resource, type ResourceKind } from "../wire/resources.ts";
import { type Checkpoint, judgeWorld, type ResumePoint, seenTo, type World } from "./checkpoint.ts";
import type { ListGate } from "./list-gate.ts";
import type { RemoteRecord } from "./record.ts";

/** Where things are in the ranges of `Reached`; the kinds that the remote offers follow in the order of RESOURCES. */
export const CONFIG_RANGE = 0;
export const CANARY_RANGE = 1;
export const HEARTBEAT_RANGE = 2;
export const DRAIN_RANGE = 3;
export const FIRST_KIND_RANGE = 4;

/** A watch is taken up again rather than listed when fewer revisions than this, or than a quarter of the remote's keys, are missing. */
const MAX_RESUMED_REVISIONS = 20_000;
const RESUMED_SHARE = 4;

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

/** A listing that has begun. */
export interface BegunListing {
  /** The ranges before `FIRST_KIND_RANGE`; those of the kinds are to be read at its revision. */
  readonly listing: Listing;
  readonly listedAtMs: number;
  /** To be called once all is read, or given up. */
  readonly leaveGate: () => void;
}

export interface Reached {
  readonly kv: KvClient;
  readonly ranges: readonly KeyRange[];
  /** What the remote offers, in the order of the ranges. */
  readonly kinds: readonly Resource[];
  readonly config: ClusterConfig;
  /** The config as the remote wrote it. */
  readonly configBytes: Uint8Array;
  /** Whether its etcd is the one that was followed before, and up to which revision (0: not, or never). */
  readonly world: World;
  readonly followedTo: number;
  /** Facts of that same etcd, known before. */
  readonly known: readonly Witness[];
  readonly from: BegunListing | { readonly resume: ResumePoint };
}

export interface ReachOptions {
  readonly name: string;
  readonly record: RemoteRecord;
  readonly connect: () => Promise<KvClient>;
  /** Says in one line why a remote with this id is refused. */
  readonly refuseId: (id: number) => string | undefined;
  /** How far the remote was followed before, also by a process before this one. */
  readonly checkpoint: Checkpoint | undefined;
  /** From where a watch may go on: only while nobody else wrote into the cache. */
  readonly resume: ResumePoint | undefined;
  /** What to take an answer of such a world for. */
  readonly met: (world: World) => World;
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
  const kv = monotonicKv(await options.connect());
  const close = (): void => kv.close();
  try {
    options.signal.throwIfAborted();
    options.signal.addEventListener("abort", close, { once: true });
    options.record.phase = "handshake";
    const { kvs, clusterId, revision } = await kv.range({ key: clusterConfigKey(options.name) });
    const config = acceptConfig(options, kvs[0]?.value);
    options.record.connected = true;
    const { checkpoint, resume } = options;
    const world = options.met(checkpoint ? await judgeWorld(kv, clusterId, checkpoint) : "unknown");
    if (world === "past")
      throw new RemoteNotReadyError("its etcd answers from before what was seen of it: asked again");
    const followedTo = world === "same" ? (checkpoint?.revision ?? 0) : 0;
    const known = world === "same" ? (checkpoint?.witnesses ?? []) : [];
    if (
      world === "same" &&
      resume &&
      isNear(options, resume, revision) &&
      sameBytes(kvs[0]?.value, resume.configBytes)
    ) {
      const { configBytes } = resume;
      return { ...frameOf(options.name, config), kv, config, configBytes, world, followedTo, known, from: { resume } };
    }
    return { ...(await beginListing(options, kv, config, world)), world, followedTo, known };
  } catch (error) {
    options.record.connected = false;
    kv.close();
    throw error;
  } finally {
    options.signal.removeEventListener("abort", close);
  }
}

function isNear({ record }: ReachOptions, { revision }: ResumePoint, head: number): boolean {
  return head - revision < Math.min(MAX_RESUMED_REVISIONS, record.size / RESUMED_SHARE);
}

function sameBytes(left: Uint8Array | undefined, right: Uint8Array): boolean {
  return left !== undefined && Buffer.compare(left, right) === 0;
}

type Begun = Pick<Reached, "kv" | "ranges" | "kinds" | "config" | "configBytes"> & { readonly from: BegunListing };

/** Waits for its turn. What it begins is all of one revision, config and canaries included: so a canary in it vouches for the keys that are read later. */
async function beginListing(
  options: ReachOptions,
  kv: KvClient,
  expected: ClusterConfig,
  world: World,
): Promise<Begun> {
  const leaveGate = await options.gate.enter();
  try {
    options.record.phase = "listing";
    const listedAtMs = options.clock.nowMs();
    const frame = frameOf(options.name, expected);
    const listing = await list(kv, frame.ranges.slice(0, FIRST_KIND_RANGE), options);
    const configBytes = listing.ranges[CONFIG_RANGE]?.[0]?.value;
    const config = acceptConfig(options, configBytes);
    if (configBytes === undefined || !sameFrame(config, expected)) {
      throw new RemoteNotReadyError("its cluster config changed during the listing");
    }
    if (world === "same" && options.checkpoint && listing.revision < seenTo(options.checkpoint)) {
      throw new RemoteNotReadyError("a member of its etcd answered from the past");
    }
    await refuseTooMany(kv, frame.ranges.slice(FIRST_KIND_RANGE), listing, options.maxKeys);
    return { ...frame, kv, config, configBytes, from: { listing, listedAtMs, leaveGate } };
  } catch (error) {
    leaveGate();
    throw error;
  }
}

/** Nothing is mirrored of a remote that is known to be too large before it is read. */
async function refuseTooMany(
  kv: KvClient,
  ranges: readonly KeyRange[],
  { revision }: Listing,
  maxKeys: number,
): Promise<void> {
  let keys = 0;
  for (const range of ranges) keys += (await kv.range({ ...range, revision, countOnly: true })).count;
  if (keys > maxKeys) throw new ListingTooLargeError(`its etcd holds more than ${maxKeys} keys`);
}

function sameFrame(left: ClusterConfig, right: ClusterConfig): boolean {
  const offered = (config: ClusterConfig): string =>
    offeredKinds(config)
      .map(({ kind }) => kind)
      .join();
  return left.cached === right.cached && left.id === right.id && offered(left) === offered(right);
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

function offeredKinds(config: ClusterConfig): readonly Resource[] {
  return RESOURCES.filter((kind) => kind.offers(config));
}

/** What to follow. A remote that mirrors others itself shows its own state in cache form. */
function frameOf(name: string, config: ClusterConfig): Pick<Reached, "ranges" | "kinds"> {
  const kinds = offeredKinds(config);
  const { cached } = config;
  const ranges = [
    { key: clusterConfigKey(name) },
    prefixRange(canaryPrefix(name)),
    { key: HEARTBEAT_KEY },
    { key: cached ? cachedDrainKey(name) : drainKey(name) },
    ...kinds.map((kind) => prefixRange(cached ? kind.cachePrefix(name) : kind.statePrefix(name))),
  ];
  return { ranges, kinds };
}

/** The key that says that all of `kind` was written at the remote. */
export function remoteCanary(name: string, kind: Resource, { cached }: ClusterConfig): string {
  return canaryKey(name, cached ? kind.cacheCanary : kind.stateCanary);
}

/** Kinds of which a listing with these canaries is known to be complete: only of these may anything be pruned. What is not offered is nothing. */
export function completeKinds(
  name: string,
  config: ClusterConfig,
  canaries: ReadonlyMap<string, Uint8Array>,
): ReadonlySet<ResourceKind> {
  const complete = RESOURCES.filter(
    (kind) => !config.syncedCanaries || !kind.offers(config) || canaries.has(remoteCanary(name, kind, config)),
  );
  return new Set(complete.map(({ kind }) => kind));
}
