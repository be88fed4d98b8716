/** Nodes of remotes in the local etcd's cache, where they are the claims of those remotes. */
import { list, prefixRange } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Node } from "../model/resource.ts";
import type { Clock } from "../runtime/clock.ts";
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

export function cachedNodes(remote: Cluster, options: NodeReading): Promise<readonly Node[]> {
  return nodesBelow(resource("nodes").cachePrefix(remote.name), remote, options);
}
