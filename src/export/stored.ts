/** What the own etcd holds from earlier terms: numbers given out, and which pod holds which address. */

import type { ListOptions } from "../follow/list.ts";
import { list, prefixRange } from "../follow/list.ts";
import type { KeyValue, KvClient } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import { Slices } from "../runtime/clock.ts";
import { labelString } from "../wire/identity.ts";
import { judge, resource } from "../wire/resources.ts";
import type { StoredIdentity } from "./identities.ts";

export interface Stored {
  readonly identities: readonly StoredIdentity[];
  /** Canonical address -> `namespace/name`. */
  readonly owners: ReadonlyMap<string, string>;
}

/** Reads under leadership: nobody else gives out numbers meanwhile. Rejects with a KvError. */
export async function readStored(kv: KvClient, cluster: Cluster, options: ListOptions): Promise<Stored> {
  const prefixes = [resource("identities").statePrefix(cluster.name), resource("ip").statePrefix(cluster.name)];
  const { ranges } = await list(kv, prefixes.map(prefixRange), options);
  const slices = new Slices(options.clock);
  const identities: StoredIdentity[] = [];
  const owners = new Map<string, string>();
  const [identityPrefix = "", ipPrefix = ""] = prefixes;
  for (const found of ranges[0] ?? []) {
    const identity = storedIdentity(cluster, found, identityPrefix);
    if (identity) identities.push(identity);
    await slices.rest();
  }
  for (const found of ranges[1] ?? []) {
    const judged = judge("ip", cluster, found.key.slice(ipPrefix.length), found.value);
    if (judged.ok) owners.set(judged.value.address, `${judged.value.namespace}/${judged.value.podName}`);
    await slices.rest();
  }
  return { identities, owners };
}

function storedIdentity(cluster: Cluster, found: KeyValue, prefix: string): StoredIdentity | undefined {
  const suffix = found.key.slice(prefix.length);
  const judged = judge("identities", cluster, suffix, found.value);
  if (judged.ok) return { id: judged.value.id, labels: labelString(judged.value.labels) };
  const id = Number(suffix);
  return Number.isSafeInteger(id) ? { id } : undefined;
}
