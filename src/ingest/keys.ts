/** Which keys of the local etcd an agent follows, what each is, and which canary proves that a source is complete. */
import { type KeyRange, prefixRange } from "../follow/list.ts";
import { LOCAL_KINDS, SHARED_KINDS, type SourceKind } from "../tables/tables-view.ts";
import {
  CACHED_DRAINS_PREFIX,
  CLUSTER_CONFIG_PREFIX,
  cachedDrainCanary,
  canaryKey,
  clusterOfCachedDrainKey,
  clusterOfConfigKey,
  drainCanary,
  drainKey,
  ENDPOINTS_PREFIX,
  EXPORTER_LOCK_PREFIX,
  KVSTOREMESH_LOCK_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_SERVICES_PREFIX,
  localCanary,
  PEER_GRADES_KEY,
  POLICIES_PREFIX,
  SYNCED_PREFIX,
} from "../wire/keys.ts";
import { parseCacheKey, resource } from "../wire/resources.ts";

/** What one key says something about. */
export type Subject =
  | { readonly what: "config"; readonly cluster: string }
  | { readonly what: "canary" }
  | { readonly what: "grades" }
  | { readonly what: "lock" }
  | { readonly what: "drain"; readonly cluster: string }
  | { readonly what: "row"; readonly cluster: string; readonly kind: SourceKind; readonly suffix: string };

/** Where the own cluster says something. */
interface OwnSource {
  readonly kind: SourceKind;
  readonly prefix: string;
  readonly canary: string;
}

/** Of those who write into the local etcd. */
const LOCK_PREFIXES = [KVSTOREMESH_LOCK_PREFIX, EXPORTER_LOCK_PREFIX].map((prefix) => `${prefix}/`);

function ownSources(own: string): readonly OwnSource[] {
  const local = (kind: SourceKind, prefix: string): OwnSource => ({ kind, prefix, canary: localCanary(own, prefix) });
  const shared = (kind: "nodes" | "identities" | "ip"): OwnSource => {
    const { statePrefix, stateCanary } = resource(kind);
    return { kind, prefix: statePrefix(own), canary: canaryKey(own, stateCanary) };
  };
  return [
    local("services", LOCAL_SERVICES_PREFIX),
    shared("nodes"),
    shared("identities"),
    local("local-identities", LOCAL_IDENTITIES_PREFIX),
    shared("ip"),
    local("local-ip", LOCAL_IPS_PREFIX),
    local("policies", POLICIES_PREFIX),
    local("endpoints", ENDPOINTS_PREFIX),
  ];
}

export class FollowedKeys {
  /** Configs, canaries and locks first: a listing needs them to judge the rest. Drains before the services that they are of. The grades of the remotes last. */
  readonly ranges: readonly KeyRange[];
  /** How many of them are no rows but what rows are judged by. */
  readonly firstRanges: number;
  /** Index of the first range of what other clusters say: those before it are the own one's. */
  readonly otherRanges: number;
  readonly #own: string;
  readonly #sources: readonly OwnSource[];
  /** What the last row said something about: in a listing most rows follow one of their own source. */
  #last: { readonly prefix: string; readonly cluster: string; readonly kind: SourceKind } | undefined;

  constructor(own: string) {
    this.#own = own;
    this.#sources = ownSources(own);
    const said = this.#sources.map(({ prefix }) => prefix);
    const caches = SHARED_KINDS.map((kind) => `${resource(kind).cacheCanary}/`);
    const first = [CLUSTER_CONFIG_PREFIX, SYNCED_PREFIX, CACHED_DRAINS_PREFIX, ...LOCK_PREFIXES].map(prefixRange);
    const rows = [...said, ...caches].map(prefixRange);
    const judging = [...first, { key: drainKey(own) }];
    this.firstRanges = judging.length;
    this.otherRanges = judging.length + said.length;
    this.ranges = [...judging, ...rows, { key: PEER_GRADES_KEY }];
  }

  /** What the cluster can be expected to say. */
  kinds(cluster: string): readonly SourceKind[] {
    return cluster === this.#own ? [...SHARED_KINDS, ...LOCAL_KINDS] : SHARED_KINDS;
  }

  /** undefined: not for us. */
  subject(key: string): Subject | undefined {
    const last = this.#last;
    if (last !== undefined && key.length > last.prefix.length && key.startsWith(last.prefix)) {
      return { what: "row", cluster: last.cluster, kind: last.kind, suffix: key.slice(last.prefix.length) };
    }
    const subject = this.#find(key);
    if (subject?.what === "row" && subject.suffix !== "") {
      const { cluster, kind, suffix } = subject;
      this.#last = { prefix: key.slice(0, -suffix.length), cluster, kind };
    }
    return subject;
  }

  #find(key: string): Subject | undefined {
    if (key.startsWith(SYNCED_PREFIX)) return { what: "canary" };
    if (key === PEER_GRADES_KEY) return { what: "grades" };
    if (LOCK_PREFIXES.some((prefix) => key.startsWith(prefix))) return { what: "lock" };
    const configured = clusterOfConfigKey(key);
    if (configured !== undefined) return { what: "config", cluster: configured };
    if (key === drainKey(this.#own)) return { what: "drain", cluster: this.#own };
    const drained = clusterOfCachedDrainKey(key);
    if (drained !== undefined && drained !== this.#own) return { what: "drain", cluster: drained };
    const said = this.#sources.find(({ prefix }) => key.startsWith(prefix));
    if (said !== undefined) {
      return { what: "row", cluster: this.#own, kind: said.kind, suffix: key.slice(said.prefix.length) };
    }
    const cached = parseCacheKey(key);
    const kind = SHARED_KINDS.find((known) => known === cached?.kind);
    if (cached === undefined || kind === undefined || cached.cluster === this.#own) return undefined;
    return { what: "row", kind, cluster: cached.cluster, suffix: cached.suffix };
  }

  /** The canary that says: a drain marker that is not there means no drain. */
  drainCanary(cluster: string): string {
    return cluster === this.#own ? drainCanary(cluster) : cachedDrainCanary(cluster);
  }

  /** The canary that says: everything of this kind of this cluster is in the local etcd. */
  canary(cluster: string, kind: SourceKind): string | undefined {
    if (cluster === this.#own) return this.#sources.find((source) => source.kind === kind)?.canary;
    const shared = SHARED_KINDS.find((known) => known === kind);
    return shared && canaryKey(cluster, resource(shared).cacheCanary);
  }
}
