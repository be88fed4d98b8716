/** Where a cluster's addresses lie, as its own etcd says: what a peer may read. */
import { list, prefixRange } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import type { Clock } from "../runtime/clock.ts";
import { judgeClusterConfig } from "../wire/cluster-config.ts";
import { clusterConfigKey } from "../wire/keys.ts";
import { judge, resource } from "../wire/resources.ts";
import { fewest } from "./ranges.ts";

const PAGE_SIZE = 5_000;

/** The fewest CIDRs that hold its nodes, their ranges of pods, and the pods that lie elsewhere. Undefined without a cluster config. Rejects with a KvError. */
export async function territory(kv: KvClient, name: string, clock: Clock): Promise<readonly string[] | undefined> {
  const key = clusterConfigKey(name);
  const [value] = (await kv.range({ key })).kvs;
  const config = value && judgeClusterConfig(key, value.value);
  if (!config?.ok) return undefined;
  const prefixes = [resource("nodes").statePrefix(name), resource("ip").statePrefix(name)] as const;
  const options = { pageSize: PAGE_SIZE, clock, signal: new AbortController().signal };
  const { ranges } = await list(kv, prefixes.map(prefixRange), options);
  const cluster = { name, id: config.value.id };
  const nodes = (ranges[0] ?? []).flatMap((kv) => {
    const judged = judge("nodes", cluster, kv.key.slice(prefixes[0].length), kv.value);
    if (!judged.ok) return [];
    const { addresses, podCidrs, reservedAddresses } = judged.value;
    return [...addresses.map(({ address }) => address), ...podCidrs, ...reservedAddresses];
  });
  return fewest([...nodes, ...(ranges[1] ?? []).map((kv) => kv.key.slice(prefixes[1].length))]);
}
