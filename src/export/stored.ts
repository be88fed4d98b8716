/** What the own etcd holds from earlier terms: numbers given out, and which pod holds which address. */

import type { ListOptions } from "../follow/list.ts";
import { list, prefixRange } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import { Slices } from "../runtime/clock.ts";
import { labelString } from "../wire/identity.ts";
import { LOCAL_IDENTITIES_PREFIX, LOCAL_IPS_PREFIX } from "../wire/keys.ts";
import { judge, resource } from "../wire/resources.ts";
import type { Scope, StoredIdentity, Used } from "./identities.ts";

export interface Stored {
  readonly identities: readonly StoredIdentity[];
  /** Canonical address -> `namespace/name`. */
  readonly owners: ReadonlyMap<string, string>;
}

/** Who has which address; the shared side last, which wins. */
function addressSources(cluster: Cluster): readonly Source[] {
  return [
    { scope: "local", kind: "ip", prefix: LOCAL_IPS_PREFIX },
    { scope: "shared", kind: "ip", prefix: resource("ip").statePrefix(cluster.name) },
  ];
}

/** The numbers behind all addresses; undefined when a value cannot be read: who knows which it is. Rejects with a KvError. */
export async function readUsed(kv: KvClient, cluster: Cluster, options: ListOptions): Promise<Used | undefined> {
  const used = { shared: new Set<number>(), local: new Set<number>() };
  const slices = new Slices(options.clock);
  for (const { scope, prefix } of addressSources(cluster)) {
    const { ranges } = await list(kv, [prefixRange(prefix)], options);
    for (const { key, value } of ranges[0] ?? []) {
      const judged = judge("ip", cluster, key.slice(prefix.length), value);
      if (!judged.ok) return undefined;
      used[scope].add(judged.value.identity);
      await slices.rest();
    }
  }
  return used;
}

/** Reads under leadership: nobody else gives out numbers meanwhile. Rejects with a KvError. */
export async function readStored(kv: KvClient, cluster: Cluster, options: ListOptions): Promise<Stored> {
  const sources: readonly Source[] = [
    { scope: "shared", kind: "identities", prefix: resource("identities").statePrefix(cluster.name) },
    { scope: "local", kind: "identities", prefix: LOCAL_IDENTITIES_PREFIX },
    ...addressSources(cluster),
  ];
  const { ranges } = await list(
    kv,
    sources.map(({ prefix }) => prefixRange(prefix)),
    options,
  );
  const slices = new Slices(options.clock);
  const identities: StoredIdentity[] = [];
  const owners = new Map<string, string>();
  for (const [index, { scope, kind, prefix }] of sources.entries()) {
    for (const { key, value } of ranges[index] ?? []) {
      const suffix = key.slice(prefix.length);
      if (kind === "identities") identities.push(...storedIdentity(cluster, suffix, value, scope));
      else noteOwner(owners, cluster, suffix, value);
      await slices.rest();
    }
  }
  return { identities, owners };
}

interface Source {
  readonly scope: Scope;
  readonly kind: "identities" | "ip";
  readonly prefix: string;
}

function noteOwner(owners: Map<string, string>, cluster: Cluster, suffix: string, value: Uint8Array): void {
  const judged = judge("ip", cluster, suffix, value);
  if (judged.ok) owners.set(judged.value.address, `${judged.value.namespace}/${judged.value.podName}`);
}

/** None when the key is no number. */
function storedIdentity(cluster: Cluster, suffix: string, value: Uint8Array, scope: Scope): readonly StoredIdentity[] {
  const judged = judge("identities", cluster, suffix, value);
  if (judged.ok) return [{ id: judged.value.id, labels: labelString(judged.value.labels), scope }];
  const id = Number(suffix);
  return Number.isSafeInteger(id) ? [{ id, scope }] : [];
}
