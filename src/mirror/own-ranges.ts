/** What is ours, as the local etcd says: nodes with their pod ranges, and frontends of services. Other programs write it, Cilium's among them. */
import { list, prefixRange } from "../follow/list.ts";
import { KvError } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Judged, Node } from "../model/resource.ts";
import { Slices } from "../runtime/clock.ts";
import { canaryKey, LOCAL_SERVICES_PREFIX } from "../wire/keys.ts";
import { judgeLocalService } from "../wire/local-service.ts";
import { judge, type ResourceKind, resource } from "../wire/resources.ts";
import { type NodeReading, nodesBelow, stands } from "./cached-nodes.ts";

export interface OwnRanges {
  /** Undefined: we may not read them. */
  readonly nodes: readonly Node[] | undefined;
  /** Canonical addresses; undefined likewise. */
  readonly frontends: readonly string[] | undefined;
  /** The own exporter vouches for it: what is missing is not ours any more. */
  readonly complete: boolean;
  /** Something of it may not be read. */
  readonly denied: boolean;
}

/** Undefined when `read` is denied; any other KvError goes on. */
async function unlessDenied<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof KvError && error.code === "denied") return undefined;
    throw error;
  }
}

type Frontends = Judged<{ readonly frontends: ReadonlyMap<string, unknown> }>;

/** Values that cannot be read are left out. */
async function frontendsBelow(
  prefix: string,
  judged: (suffix: string, value: Uint8Array) => Frontends,
  options: NodeReading,
): Promise<readonly string[]> {
  const slices = new Slices(options.clock);
  const { ranges } = await list(options.local, [prefixRange(prefix)], options);
  const addresses = new Set<string>();
  for (const { key, value } of ranges[0] ?? []) {
    const service = judged(key.slice(prefix.length), value);
    if (service.ok) for (const address of service.value.frontends.keys()) addresses.add(address);
    await slices.rest();
  }
  return [...addresses];
}

/** Rejects with a KvError, but not when a read is denied: Cilium's roles know nothing of ours. */
export async function ownRanges(own: Cluster, options: NodeReading): Promise<OwnRanges> {
  const shared = resource("services").statePrefix(own.name);
  const nodes = await unlessDenied(nodesBelow(resource("nodes").statePrefix(own.name), own, options));
  const ofLocal = await unlessDenied(frontendsBelow(LOCAL_SERVICES_PREFIX, judgeLocalService, options));
  const ofShared = await unlessDenied(
    frontendsBelow(shared, (suffix, value) => judge("services", own, suffix, value), options),
  );
  const denied = nodes === undefined || ofLocal === undefined || ofShared === undefined;
  const frontends = ofLocal && ofShared && [...new Set([...ofLocal, ...ofShared])];
  const canary = (of: ResourceKind): Promise<boolean> =>
    stands(options.local, canaryKey(own.name, resource(of).stateCanary));
  const complete = (await unlessDenied(canary("nodes"))) === true && (await unlessDenied(canary("services"))) === true;
  return { nodes, frontends, complete, denied };
}
