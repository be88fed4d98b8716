/** The values clusters exchange, after judging: names follow the field, text is canonical. */

export type Protocol = "TCP" | "UDP" | "SCTP";

/** Numeric identity -> security labels, `source:key=value`, sorted by key. */
export interface Identity {
  readonly id: number;
  readonly labels: readonly Label[];
}

export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

/** One address (or CIDR, when `bits` is set) of a cluster and the identity behind it. */
export interface IpEntry {
  /** Canonical text. */
  readonly address: string;
  /** Prefix length of a CIDR entry; absent for a host. */
  readonly bits?: number;
  /** Node address; "" when unknown. */
  readonly hostAddress: string;
  readonly identity: number;
  readonly namespace: string;
  readonly podName: string;
  readonly serviceAccount: string;
  readonly namedPorts: readonly NamedPort[];
}

export interface NamedPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
}

export interface Node {
  readonly cluster: string;
  readonly clusterId: number;
  readonly name: string;
  /** Canonical node addresses, InternalIP first. */
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
  /** Canonical pod CIDRs, `address/bits`. */
  readonly podCidrs: readonly string[];
  /** Health and ingress addresses of the node, canonical. */
  readonly reservedAddresses: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
}

export interface ServicePort {
  /** "" for an unnamed port. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** address -> ports. Addresses are canonical text. */
export type AddressPorts = ReadonlyMap<string, readonly ServicePort[]>;

/** What one cluster offers to a service of others. */
export interface OfferedService {
  readonly cluster: string;
  readonly clusterId: number;
  readonly namespace: string;
  readonly name: string;
  readonly frontends: AddressPorts;
  readonly backends: AddressPorts;
  readonly shared: boolean;
}

/** All that it says of it. */
export interface ClusterService extends OfferedService {
  /** Address of a backend -> its name, and where it is; written for readers of Cilium, not read here. */
  readonly hostnames?: ReadonlyMap<string, string>;
  readonly zones?: ReadonlyMap<string, { readonly zone: string; readonly forZones: readonly string[] }>;
  readonly labels: ReadonlyMap<string, string>;
  readonly selector: ReadonlyMap<string, string>;
}

/** One EndpointSlice of a cluster, as its Kubernetes has it. */
export interface ClusterEndpointSlice {
  readonly cluster: string;
  readonly clusterId: number;
  readonly namespace: string;
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  readonly addressType: "IPv4" | "IPv6";
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly SlicePort[];
}

/** Conditions that the slice does not give are undefined; texts are "". */
export interface SliceEndpoint {
  /** Canonical. */
  readonly addresses: readonly string[];
  readonly ready: boolean | undefined;
  readonly serving: boolean | undefined;
  readonly terminating: boolean | undefined;
  readonly hostname: string;
  readonly nodeName: string;
  readonly zone: string;
  readonly forZones: readonly string[];
}

export interface SlicePort {
  readonly name: string;
  readonly protocol: Protocol;
  /** Undefined: all ports. */
  readonly port: number | undefined;
  readonly appProtocol: string;
}

/** A service that a cluster exports by the MCS-API. Words that are not known are undefined. */
export interface ServiceExport {
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly ports: readonly ExportPort[];
  readonly type: "ClusterSetIP" | "Headless" | undefined;
  readonly sessionAffinity: "ClientIP" | "None" | undefined;
  readonly timeoutSeconds: number | undefined;
  readonly ipFamilies: readonly string[];
  readonly internalTrafficPolicy: "Cluster" | "Local" | undefined;
  readonly trafficDistribution: "PreferClose" | "PreferSameZone" | "PreferSameNode" | undefined;
}

export interface ExportPort {
  readonly name: string;
  readonly protocol: string;
  readonly appProtocol: string;
  readonly port: number;
}

export type Affinity = "none" | "local" | "remote";

/** How a backend is chosen: at random, or by the connection's addresses and ports from a table that is the same on every node. */
export type LoadBalancing = "random" | "maglev";

/** A service of the own cluster as its agents need it (`bulkhead/v1/services/<namespace>/<name>`). */
export interface LocalService {
  readonly namespace: string;
  readonly name: string;
  readonly frontends: AddressPorts;
  /** Addresses from outside of the cluster's range at which it is served too, external ones and those of load balancers; absent: none. */
  readonly external?: AddressPorts;
  /** Ready local backends. */
  readonly backends: AddressPorts;
  /** Whether remote backends are used. */
  readonly global: boolean;
  /** Whether own backends are offered to others. */
  readonly shared: boolean;
  readonly affinity: Affinity;
  /** For how long a client keeps its backend, of whatever cluster; absent: each connection goes where it may. */
  readonly sessionAffinitySeconds?: number;
  /** Absent: as the agent's setting says. */
  readonly algorithm?: LoadBalancing;
  /** Its own backends are about to end: they count where there are no others. */
  readonly ending?: true;
  /** How its connections are divided beyond that; absent: by affinity alone. */
  readonly routing?: Routing;
}

/**
 * How the cluster that declares a service divides the connections of its own clients among clusters. Other clusters divide theirs as they
 * say themselves. Clusters by name.
 */
export interface Routing {
  /** The most preferred one first; those that are not named come last, together. Empty: as affinity says. */
  readonly prefer: readonly string[];
  /** What part of its usual share a backend of the cluster gets, 0 to 100; who is not named has all of it. */
  readonly weights: ReadonlyMap<string, number>;
  /** Percentage of ready own backends below which the own cluster gives up its share in proportion; 0: with the last one only. */
  readonly spillBelow: number;
  /** Own backends that should be ready and are not; 0 where nothing spills. */
  readonly unready: number;
}

/** `cilium/cluster-config/<cluster>`. Unknown fields are kept in `raw` bytes by whoever copies it. */
export interface ClusterConfig {
  readonly id: number;
  readonly syncedCanaries: boolean;
  readonly cached: boolean;
  readonly maxConnectedClusters: number;
  readonly serviceExportsEnabled?: boolean;
  readonly endpointSlicesExportMode: string;
}

/** A peer's bytes that were refused: kept out, counted and listed, never thrown. */
export interface Rejection {
  readonly key: string;
  /** One of a small set per kind, fit for a metric label: `malformed`, `foreign-cluster`, ... */
  readonly reason: string;
  /** One line for a person. */
  readonly detail: string;
}

export type Judged<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly rejection: Rejection };

export function accept<T>(value: T): Judged<T> {
  return { ok: true, value };
}

export function reject(
  key: string,
  reason: string,
  detail: string,
): { readonly ok: false; readonly rejection: Rejection } {
  return { ok: false, rejection: { key, reason, detail } };
}
