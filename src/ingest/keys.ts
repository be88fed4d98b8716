/** Which keys of the local etcd an agent follows, what each is, and which canary proves that a source is complete. */
import { type KeyRange, prefixRange } from "../follow/list.ts";
import type { SourceKind } from "../tables/agent-tables.ts";
import {
  CLUSTER_CONFIG_PREFIX,
  canaryKey,
  clusterOfConfigKey,
  LOCAL_SERVICES_PREFIX,
  localServicesCanary,
  SYNCED_PREFIX,
} from "../wire/keys.ts";
import { parseCacheKey, resource } from "../wire/resources.ts";

export const SOURCE_KINDS: readonly SourceKind[] = ["services", "ip"];

/** Configs and canaries first: a listing needs them to judge the rest. */
export function followedRanges(own: string): readonly KeyRange[] {
  const caches = SOURCE_KINDS.map((kind) => `${resource(kind).cacheCanary}/`);
  const prefixes = [CLUSTER_CONFIG_PREFIX, SYNCED_PREFIX, LOCAL_SERVICES_PREFIX, resource("ip").statePrefix(own)];
  return [...prefixes, ...caches].map(prefixRange);
}

/** What one key says something about. */
export type Subject =
  | { readonly what: "config"; readonly cluster: string }
  | { readonly what: "canary" }
  | { readonly what: "row"; readonly cluster: string; readonly kind: SourceKind; readonly suffix: string };

/** undefined: not for us. */
export function subjectOf(key: string, own: string): Subject | undefined {
  if (key.startsWith(SYNCED_PREFIX)) return { what: "canary" };
  const configured = clusterOfConfigKey(key);
  if (configured !== undefined) return { what: "config", cluster: configured };
  const row = (kind: SourceKind, prefix: string): Subject => {
    return { what: "row", cluster: own, kind, suffix: key.slice(prefix.length) };
  };
  if (key.startsWith(LOCAL_SERVICES_PREFIX)) return row("services", LOCAL_SERVICES_PREFIX);
  const ownIps = resource("ip").statePrefix(own);
  if (key.startsWith(ownIps)) return row("ip", ownIps);
  const cached = parseCacheKey(key);
  if (cached === undefined || cached.cluster === own) return undefined;
  const kind = SOURCE_KINDS.find((known) => known === cached.kind);
  return kind && { what: "row", cluster: cached.cluster, kind, suffix: cached.suffix };
}

/** The canary that says: everything of this kind of this cluster is in the local etcd. */
export function sourceCanary(own: string, cluster: string, kind: SourceKind): string {
  if (cluster !== own) return canaryKey(cluster, resource(kind).cacheCanary);
  return kind === "services" ? localServicesCanary(own) : canaryKey(own, resource(kind).stateCanary);
}
