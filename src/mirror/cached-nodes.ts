/** Nodes in the local etcd: of remotes in the cache, where they are the claims of those remotes, and of the own cluster. */

import { list, prefixRange } from "../follow/list.ts";
import { type KvClient, KvError } from "../kv/client.ts";
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
async function nodesBelow(prefix: string, cluster: Cluster, options: NodeReading): Promise<readonly Node[]> {
  const { ranges } = await list(options.local, [prefixRange(prefix)], options);
  return (ranges[0] ?? []).flatMap(({ key, value }) => {
    const judged = judge("nodes", cluster, key.slice(prefix.length), value);
    return judged.ok ? [judged.value] : [];
  });
}

export function cachedNodes(remote: Cluster, options: NodeReading): Promise<readonly Node[]> {
  return nodesBelow(resource("nodes").cachePrefix(remote.name), remote, options);
}

/** Undefined when we are not allowed to read them. */
export async function ownNodes(own: Cluster, options: NodeReading): Promise<readonly Node[] | undefined> {
  try {
    return await nodesBelow(resource("nodes").statePrefix(own.name), own, options);
  } catch (error) {
    if (error instanceof KvError && error.code === "denied") return undefined;
    throw error;
  }
}
