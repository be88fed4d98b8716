/** Who may do what in a cluster's etcd: Cilium's users and roles as Cilium makes them, and ours. A client is who its certificate says. */
import { prefixEnd } from "../kv/client.ts";
import { MARKER_KEY } from "../model/drill.ts";
import {
  CACHE_PREFIX,
  CLUSTER_CONFIG_PREFIX,
  canaryPrefix,
  clusterConfigKey,
  ENDPOINTS_PREFIX,
  EXPORTER_LOCK_PREFIX,
  HEARTBEAT_KEY,
  KVSTOREMESH_LOCK_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_SERVICES_PREFIX,
  PEERS_PREFIX,
  POLICIES_PREFIX,
  STATE_PREFIX,
  SYNCED_PREFIX,
} from "../wire/keys.ts";

export interface Grant {
  readonly right: "read" | "readwrite";
  readonly key: string;
  /** Exclusive; absent: the one key. */
  readonly rangeEnd?: string;
}

export interface Role {
  readonly name: string;
  readonly grants: readonly Grant[];
}

export interface User {
  readonly name: string;
  readonly role: string;
}

/** What an etcd should hold of users and roles. The role `root` is etcd's own. */
export interface Rights {
  readonly roles: readonly Role[];
  readonly users: readonly User[];
}

export interface RightsOptions {
  readonly cluster: string;
  /** Clusters that may read this one, and whose state its mirror may write. */
  readonly peers: readonly string[];
  /** Also the users of Cilium's own programs in this cluster; one of them is root. */
  readonly cilium: boolean;
}

const OURS = "bulkhead/v1/";
const MIRROR_LOCKS = `${KVSTOREMESH_LOCK_PREFIX}/`;

function below(right: Grant["right"], ...prefixes: readonly string[]): readonly Grant[] {
  return prefixes.map((key) => ({ right, key, rangeEnd: prefixEnd(key) }));
}

const only = (right: Grant["right"], key: string): Grant => ({ right, key });

function remote(cluster: string): Role {
  const grants = below("read", HEARTBEAT_KEY, STATE_PREFIX, canaryPrefix(cluster));
  return { name: "remote", grants: [...grants, only("read", clusterConfigKey(cluster))] };
}

/** Cilium's agents. */
const LOCAL: Role = {
  name: "local",
  grants: below("read", HEARTBEAT_KEY, CACHE_PREFIX, CLUSTER_CONFIG_PREFIX, SYNCED_PREFIX),
};

const AGENT: Role = {
  name: "agent",
  grants: below(
    "read",
    HEARTBEAT_KEY,
    STATE_PREFIX,
    CACHE_PREFIX,
    CLUSTER_CONFIG_PREFIX,
    SYNCED_PREFIX,
    MIRROR_LOCKS,
    OURS,
  ),
};

function exporter(cluster: string): Role {
  const own = [LOCAL_SERVICES_PREFIX, POLICIES_PREFIX, ENDPOINTS_PREFIX, LOCAL_IDENTITIES_PREFIX, LOCAL_IPS_PREFIX];
  const prefixes = [HEARTBEAT_KEY, STATE_PREFIX, canaryPrefix(cluster), `${EXPORTER_LOCK_PREFIX}/`, ...own];
  return {
    name: "exporter",
    grants: [...below("readwrite", ...prefixes), only("readwrite", clusterConfigKey(cluster))],
  };
}

/** Of others' canaries and configs it writes those of its peers alone: our own are the exporter's word. */
function mirror(peers: readonly string[]): Role {
  const records = ["checkpoints", "holds", "claims"].map((kind) => `${OURS}${kind}/`);
  const written = [CACHE_PREFIX, MIRROR_LOCKS, PEERS_PREFIX, ...records, ...peers.map(canaryPrefix)];
  return {
    name: "mirror",
    grants: [
      ...below("read", HEARTBEAT_KEY, STATE_PREFIX, SYNCED_PREFIX, CLUSTER_CONFIG_PREFIX, LOCAL_SERVICES_PREFIX),
      ...below("readwrite", ...written),
      ...peers.map((peer) => only("readwrite", clusterConfigKey(peer))),
    ],
  };
}

function dns(cluster: string): Role {
  return { name: "dns", grants: below("read", LOCAL_SERVICES_PREFIX, canaryPrefix(cluster)) };
}

/** It asks whether the etcd is a lab's. To raise an alarm needs no right in etcd 3.4 and 3.5: every user may. */
const DRILLD: Role = { name: "drilld", grants: [only("read", MARKER_KEY)] };

export const rootUser = "root";

/** The user that a peer's mirror reads this cluster's etcd as. */
export const remoteUser = (peer: string): string => `remote-${peer}`;

export function rightsOf({ cluster, peers, cilium }: RightsOptions): Rights {
  const ours = ["exporter", "mirror", "agent", "dns", "drilld"].map((role) => ({ name: `${role}-${cluster}`, role }));
  const ciliums = [
    { name: `admin-${cluster}`, role: "root" },
    { name: `local-${cluster}`, role: LOCAL.name },
  ];
  return {
    roles: [remote(cluster), exporter(cluster), mirror(peers), AGENT, dns(cluster), DRILLD, ...(cilium ? [LOCAL] : [])],
    users: [
      { name: rootUser, role: "root" },
      { name: "remote", role: "remote" },
      ...peers.map((peer) => ({ name: remoteUser(peer), role: "remote" })),
      ...ours,
      ...(cilium ? ciliums : []),
    ],
  };
}
