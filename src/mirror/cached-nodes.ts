/** Nodes of remotes in the local etcd's cache, where they are the claims of those remotes. */
import { list, prefixRange } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Node } from "../model/resource.ts";
import type { Clock } from "../runtime/clock.ts";
import { canaryKey } from "../wire/keys.ts";
import { judge, resource } from "../wire/resources.ts";

export interface NodeReading {
  readonly local: KvClient;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly pageSize: number;
}

/** Values that cannot be read are left out. Rejects with a KvError. */
export async function nodesBelow(prefix: string, cluster: Cluster, options: NodeReading): Promise<readonly Node[]> {
  const { ranges } = await list(options.local, [prefixRange(prefix)], options);
  return (ranges[0] ?? []).flatMap(({ key, value }) => {
    const judged = judge("nodes", cluster, key.slice(prefix.length), value);
    return judged.ok ? [judged.value] : [];
  });
}

export interface CachedNodes {
  readonly nodes: readonly Node[];
  /** Whoever wrote them had written all. */
  readonly complete: boolean;
}

export async function cachedNodes(remote: Cluster, options: NodeReading): Promise<CachedNodes> {
  const { cachePrefix, cacheCanary } = resource("nodes");
  const nodes = await nodesBelow(cachePrefix(remote.name), remote, options);
  return { nodes, complete: await stands(options.local, canaryKey(remote.name, cacheCanary)) };
}

/** Asked for after what the key vouches for was read, so that what was lost meanwhile is not taken for complete. */
export async function stands(local: KvClient, key: string): Promise<boolean> {
  return (await local.range({ key, countOnly: true })).count > 0;
}
