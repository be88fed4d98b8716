/** What compilers read of an agent's tables, and what they are told when something changed. `AgentTables` is the only body. */
import type { Cluster } from "../model/cluster.ts";
import type { EndpointDevice } from "../model/endpoint.ts";
import type { Policy } from "../model/policy.ts";
import type { Identity, IpEntry, LocalService, NamedPort, Node, OfferedService } from "../model/resource.ts";

/** What every cluster says. Own `services` are LocalServices, other clusters' are ClusterServices. */
export const SHARED_KINDS = ["services", "nodes", "identities", "ip"] as const;
/** What only the own cluster says, to its own agents. */
export const LOCAL_KINDS = ["policies", "local-identities", "local-ip", "endpoints"] as const;

export type SourceKind = (typeof SHARED_KINDS)[number] | (typeof LOCAL_KINDS)[number];

/** `namespace/name`. */
export type ServiceName = string;

export function serviceName(service: { readonly namespace: string; readonly name: string }): ServiceName {
  return `${service.namespace}/${service.name}`;
}

/** What the tables keep of an IP entry. */
export type IpSubject = Pick<IpEntry, "identity" | "namespace" | "podName" | "namedPorts" | "hostAddress">;

/** One cluster's word about an address. */
export interface IpClaim extends IpSubject {
  readonly clusterId: number;
}

/** What agents need of a single pod beyond its addresses. */
export interface PodSettings {
  readonly namespace: string;
  readonly name: string;
  readonly audit: boolean;
}

/** What this node sees of its own network. */
export interface NodeNetwork {
  readonly devices: readonly EndpointDevice[];
  /** Canonical. */
  readonly ownAddresses: readonly string[];
}

/** What changed since the last take. */
export interface ChangeSet {
  readonly revision: number;
  readonly services: ReadonlySet<ServiceName>;
  /** Addresses, and CIDRs as `address/bits`. */
  readonly addresses: ReadonlySet<string>;
  /** Identities that came, went, or have other labels. */
  readonly identities: ReadonlySet<number>;
  /** Identities whose named ports may be others. */
  readonly namedPorts: ReadonlySet<number>;
  /** `policyName()`. */
  readonly policies: ReadonlySet<string>;
  readonly nodes: boolean;
  /** Devices, addresses of this node, or which pods are audited. */
  readonly devices: boolean;
  /** Whether some source became complete, or ceased to be known as such; or the set of clusters changed. */
  readonly sources: boolean;
}

export interface TablesView {
  readonly own: Cluster;
  localServices(): IterableIterator<ServiceName>;
  localService(name: ServiceName): LocalService | undefined;
  /** What part of its usual share of new connections a cluster's backends of the service get, 0 to FULL_WEIGHT. */
  weight(cluster: string, service: ServiceName): number;
  /** By cluster id. */
  clusterServices(name: ServiceName): readonly OfferedService[];
  /** Addresses and CIDRs that somebody claims. */
  addresses(): IterableIterator<string>;
  /** At most one per cluster; own cluster first, then by cluster id. */
  ipClaims(address: string): readonly IpClaim[];
  /** undefined also while its number belongs to a cluster that is not known. */
  identity(id: number): Identity | undefined;
  identities(): IterableIterator<Identity>;
  /** Distinct, over all addresses of the identity, sorted by name, protocol and number. */
  namedPorts(identity: number): readonly NamedPort[];
  /** Of all clusters. */
  nodes(): IterableIterator<Node>;
  policies(): IterableIterator<Policy>;
  /** @param name `policyName()`. */
  policy(name: string): Policy | undefined;
  /** Own cluster first. */
  clusters(): IterableIterator<Cluster>;
  /** undefined for 0 and for ids nobody has. */
  clusterName(id: number): string | undefined;
  devices(): readonly EndpointDevice[];
  /** Canonical; empty until the network was read. */
  ownAddresses(): readonly string[];
  /** @param pod `namespace/name`. */
  isAudited(pod: string): boolean;
  /**
   * Whether everything that the cluster says of this kind was in the tables when changes were last taken: only then absence means anything. A compile
   * rests, and rows may come and be complete meanwhile; what it read before then must not look like absence.
   */
  isSynced(kind: SourceKind, clusterId: number): boolean;
  /** Whether it is now: for who looks at rows at other times than a compile. */
  isSyncedNow(kind: SourceKind, clusterId: number): boolean;
}
