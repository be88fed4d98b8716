/**
 * What an agent knows: what its local etcd says of the own cluster and of every other one, and what the node sees of its network. Two writers,
 * `ingest` and `endpoints`; compilers read through `TablesView`. Values arrive judged.
 */
import { type Cluster, clusterOfIdentity } from "../model/cluster.ts";
import { type Drain, type DrainStatus, drainStatuses, NO_DRAIN, weightOf } from "../model/drain.ts";
import type { EndpointDevice } from "../model/endpoint.ts";
import { type Policy, policyName } from "../model/policy.ts";
import type { Identity, Label, LocalService, NamedPort, Node, OfferedService } from "../model/resource.ts";
import { Changes } from "./changes.ts";
import { Claims } from "./claims.ts";
import { ClusterIds } from "./cluster-ids.ts";
import { compact, Interned } from "./interned.ts";
import { SourceTable } from "./source-table.ts";
import {
  type ChangeSet,
  type IpClaim,
  type IpSubject,
  type NodeNetwork,
  type PodSettings,
  type ServiceName,
  type SourceKind,
  serviceName,
  type TablesView,
} from "./tables-view.ts";

/** Rows of any other cluster. Each carries the id that its cluster had when it was judged. */
function remoteRows() {
  return {
    services: new SourceTable<OfferedService>(),
    nodes: new SourceTable<Node>(),
    identities: new SourceTable<Identity>(),
    ip: new SourceTable<IpClaim>(),
  };
}

function ownRows() {
  return {
    ...remoteRows(),
    services: new SourceTable<LocalService>(),
    policies: new SourceTable<Policy>(),
    "local-identities": new SourceTable<Identity>(),
    "local-ip": new SourceTable<IpClaim>(),
    endpoints: new SourceTable<PodSettings>(),
  };
}

type RemoteRows = ReturnType<typeof remoteRows>;
const NO_PORTS: readonly NamedPort[] = [];

/** Equal for equal plain values; Maps count with their entries. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (part instanceof Map ? [...part] : part));
}

export class AgentTables implements TablesView {
  readonly own: Cluster;
  readonly #own = ownRows();
  readonly #remotes = new Map<string, RemoteRows>();
  readonly #ids: ClusterIds;
  readonly #claims = new Claims((claim) => (claim.clusterId === this.own.id ? 0 : claim.clusterId));
  /** `kind/cluster id`. */
  readonly #synced = new Set<string>();
  /** Those of them when changes were last taken. */
  #syncedThen: ReadonlySet<string> = new Set();
  readonly #texts = new Interned<string>();
  readonly #portLists = new Interned<readonly NamedPort[]>();
  readonly #labels = new Interned<Label>();
  /** By cluster, of those that say that they are drained. */
  readonly #drains = new Map<string, Drain>();
  #network: NodeNetwork | undefined;
  #pending = new Changes();
  #revision = 0;

  constructor(own: Cluster) {
    this.own = own;
    this.#ids = new ClusterIds(own);
  }

  get revision(): number {
    return this.#revision;
  }

  /** The clusters there are: of any other, no number means anything. A put makes its cluster known too. */
  setClusters(clusters: readonly Cluster[]): void {
    this.#renamed(this.#ids.set(clusters));
  }

  putLocalService(service: LocalService): void {
    const name = serviceName(service);
    this.#own.services.put(name, service);
    this.#change("services", name);
  }

  /** Keeps what is named in OfferedService, and nothing beside it. */
  putClusterService(cluster: Cluster, service: OfferedService): void {
    const said = serviceName(service);
    const { clusterId, namespace, name, frontends, backends, shared } = service;
    const offered = { cluster: service.cluster, clusterId, namespace, name, frontends, backends, shared };
    this.#remote(cluster).services.put(said, offered);
    this.#change("services", said);
  }

  /** What a cluster says of its drain; undefined: it is not drained. */
  setDrain(cluster: string, drain: Drain | undefined): void {
    const before = this.#drains.get(cluster) ?? NO_DRAIN;
    if (drain === undefined) this.#drains.delete(cluster);
    else this.#drains.set(cluster, drain);
    const after = drain ?? NO_DRAIN;
    for (const name of this.#own.services.keys()) {
      if (weightOf(before, name) !== weightOf(after, name)) this.#change("services", name);
    }
  }

  /** Clusters that said something of a drain. */
  drained(): Iterable<string> {
    return this.#drains.keys();
  }

  drains(): readonly DrainStatus[] {
    return [...this.#drains].sort().flatMap(([cluster, drain]) => drainStatuses(cluster, drain));
  }

  /** @param key address, or `address/bits`: not cut from a longer text, which would stay in memory with it. */
  putIp(cluster: Cluster, key: string, subject: IpSubject, kind: "ip" | "local-ip" = "ip"): void {
    const rows = kind === "ip" ? this.#shared(cluster).ip : this.#own[kind];
    const known = rows.get(key);
    if (known !== undefined && saysSame(known, cluster, subject)) {
      rows.put(key, known);
      return;
    }
    const isOwn = cluster.name === this.own.name;
    const claim = this.#claimOf(cluster, subject);
    const before = isOwn ? this.#effective(cluster.name, key) : known;
    rows.put(key, claim);
    this.#claim(key, before, isOwn ? this.#effective(cluster.name, key) : claim);
  }

  putIdentity(cluster: Cluster, identity: Identity, kind: "identities" | "local-identities" = "identities"): void {
    const rows = kind === "identities" ? this.#shared(cluster).identities : this.#own[kind];
    const key = String(identity.id);
    const known = rows.get(key);
    const same = known !== undefined && sameLabels(known.labels, identity.labels);
    rows.put(key, same ? known : { id: identity.id, labels: identity.labels.map((label) => this.#labels.of(label)) });
    if (!same) this.#change(kind, key);
  }

  putNode(cluster: Cluster, node: Node): void {
    this.#put("nodes", this.#shared(cluster).nodes, node.name, node);
  }

  putPolicy(policy: Policy): void {
    this.#put("policies", this.#own.policies, policyName(policy), policy);
  }

  putEndpoint(pod: PodSettings): void {
    this.#put("endpoints", this.#own.endpoints, `${pod.namespace}/${pod.name}`, pod);
  }

  /** The whole of what the node sees, each time. */
  setNetwork({ devices, ownAddresses }: NodeNetwork): void {
    const network = { devices, ownAddresses };
    if (this.#network !== undefined && textOf(network) === textOf(this.#network)) return;
    this.#network = network;
    this.#pending.devices = true;
    this.#revision++;
  }

  /** The value at `key` was refused: the last good one stays, also through a listing. */
  touch(cluster: string, kind: SourceKind, key: string): void {
    this.#rows(cluster, kind)?.touch(key);
  }

  remove(cluster: string, kind: SourceKind, key: string): void {
    const row = this.#rows(cluster, kind)?.delete(key);
    if (row !== undefined) this.#gone(cluster, kind, key, row);
  }

  /** A listing begins: rows it will not show are swept once their source is complete. */
  mark(): void {
    for (const rows of [this.#own, ...this.#remotes.values()]) {
      for (const table of Object.values<SourceTable<unknown>>(rows)) table.mark();
    }
  }

  /** Everything the source holds was put since `mark`. */
  sweep(cluster: Cluster, kind: SourceKind): void {
    for (const [key, row] of this.#rows(cluster.name, kind)?.sweep() ?? []) this.#gone(cluster.name, kind, key, row);
  }

  setSynced(clusterId: number, kind: SourceKind, synced: boolean): void {
    const source = `${kind}/${clusterId}`;
    if (this.#synced.has(source) === synced) return;
    if (synced) this.#synced.add(source);
    else this.#synced.delete(source);
    this.#pending.sources = true;
    this.#revision++;
  }

  takeChanges(): ChangeSet {
    const taken = this.#pending.asChangeSet(this.#revision);
    if (taken.sources) this.#syncedThen = new Set(this.#synced);
    this.#pending = new Changes();
    return taken;
  }

  localServices(): IterableIterator<ServiceName> {
    return this.#own.services.keys();
  }

  localService(name: ServiceName): LocalService | undefined {
    return this.#own.services.get(name);
  }

  weight(cluster: string, service: ServiceName): number {
    return weightOf(this.#drains.get(cluster) ?? NO_DRAIN, service);
  }

  clusterServices(name: ServiceName): readonly OfferedService[] {
    const found = [...this.#remotes.values()].map(({ services }) => services.get(name));
    return found.filter((service) => service !== undefined).sort((left, right) => left.clusterId - right.clusterId);
  }

  addresses(): IterableIterator<string> {
    return this.#claims.addresses();
  }

  ipClaims(address: string): readonly IpClaim[] {
    return this.#claims.of(address);
  }

  identity(id: number): Identity | undefined {
    const name = this.#ids.nameOf(clusterOfIdentity(id));
    if (name === undefined) return undefined;
    const key = String(id);
    if (name !== this.own.name) return this.#remotes.get(name)?.identities.get(key);
    return this.#own.identities.get(key) ?? this.#own["local-identities"].get(key);
  }

  *identities(): IterableIterator<Identity> {
    const tables = [...this.#remotes.values(), this.#own].map(({ identities }) => identities);
    for (const table of [...tables, this.#own["local-identities"]]) {
      for (const row of table.values()) if (this.identity(row.id) === row) yield row;
    }
  }

  namedPorts(identity: number): readonly NamedPort[] {
    return this.#claims.namedPorts(identity);
  }

  *nodes(): IterableIterator<Node> {
    for (const { nodes } of [this.#own, ...this.#remotes.values()]) yield* nodes.values();
  }

  policies(): IterableIterator<Policy> {
    return this.#own.policies.values();
  }

  policy(name: string): Policy | undefined {
    return this.#own.policies.get(name);
  }

  clusters(): IterableIterator<Cluster> {
    return this.#ids.all();
  }

  clusterName(id: number): string | undefined {
    return this.#ids.nameOf(id);
  }

  devices(): readonly EndpointDevice[] {
    return this.#network?.devices ?? [];
  }

  ownAddresses(): readonly string[] {
    return this.#network?.ownAddresses ?? [];
  }

  isAudited(pod: string): boolean {
    return this.#own.endpoints.get(pod)?.audit === true;
  }

  isSynced(kind: SourceKind, clusterId: number): boolean {
    return this.#syncedThen.has(`${kind}/${clusterId}`);
  }

  isSyncedNow(kind: SourceKind, clusterId: number): boolean {
    return this.#synced.has(`${kind}/${clusterId}`);
  }

  /** Rows of a source, and those of them that are only held. */
  count(cluster: string, kind: SourceKind): { readonly rows: number; readonly held: number } {
    const table = this.#rows(cluster, kind);
    return { rows: table?.size ?? 0, held: table?.held ?? 0 };
  }

  /** Whether rows of another cluster carry this id, which it has or had. */
  speaksAs(cluster: string, id: number): boolean {
    const { services, nodes, ip, identities } = this.#remotes.get(cluster) ?? remoteRows();
    for (const table of [services, nodes, ip]) for (const row of table.values()) if (row.clusterId === id) return true;
    for (const row of identities.values()) if (clusterOfIdentity(row.id) === id) return true;
    return false;
  }

  /** Own identities of which two sources say different labels: `identities` counts. */
  contradictions(): readonly number[] {
    const { identities, "local-identities": local } = this.#own;
    return [...local.values()]
      .filter(({ id, labels }) => !sameLabels(identities.get(String(id))?.labels ?? labels, labels))
      .map(({ id }) => id);
  }

  #put<Row>(kind: SourceKind, rows: SourceTable<Row>, key: string, row: Row): void {
    const known = rows.get(key);
    const same = known !== undefined && textOf(known) === textOf(row);
    rows.put(key, same ? known : row);
    if (!same) this.#change(kind, key);
  }

  #rows(cluster: string, kind: SourceKind): SourceTable<unknown> | undefined {
    if (cluster === this.own.name) return this.#own[kind];
    const rows: Partial<Readonly<Record<SourceKind, SourceTable<unknown>>>> = this.#remotes.get(cluster) ?? {};
    return rows[kind];
  }

  #shared(cluster: Cluster): Omit<RemoteRows, "services"> {
    return cluster.name === this.own.name ? this.#own : this.#remote(cluster);
  }

  #remote(cluster: Cluster): RemoteRows {
    this.#renamed(this.#ids.put(cluster));
    const known = this.#remotes.get(cluster.name);
    if (known !== undefined) return known;
    const remote = remoteRows();
    this.#remotes.set(cluster.name, remote);
    return remote;
  }

  /** Identities of these clusters' ranges appear or disappear with the name. */
  #renamed(clusterIds: readonly number[]): void {
    if (clusterIds.length === 0) return;
    const ids = new Set(clusterIds);
    for (const { identities } of this.#remotes.values()) {
      for (const { id } of identities.values()) if (ids.has(clusterOfIdentity(id))) this.#pending.identities.add(id);
    }
    this.#pending.sources = true;
    this.#revision++;
  }

  #claimOf({ id }: Cluster, { identity, namespace, podName, namedPorts, hostAddress }: IpSubject): IpClaim {
    return {
      clusterId: id,
      identity,
      namespace: this.#texts.of(namespace),
      podName: compact(podName),
      hostAddress: this.#texts.of(hostAddress),
      namedPorts: namedPorts.length === 0 ? NO_PORTS : this.#portLists.of(namedPorts),
    };
  }

  /** What the cluster says of an address: of the own one, what everybody may see counts first. */
  #effective(cluster: string, key: string): IpClaim | undefined {
    if (cluster !== this.own.name) return this.#remotes.get(cluster)?.ip.get(key);
    return this.#own.ip.get(key) ?? this.#own["local-ip"].get(key);
  }

  #claim(address: string, before: IpClaim | undefined, after: IpClaim | undefined): void {
    if (before === after) return;
    for (const identity of this.#claims.replace(address, before, after)) this.#pending.namedPorts.add(identity);
    this.#change("ip", address);
  }

  #gone(cluster: string, kind: SourceKind, key: string, row: unknown): void {
    if (kind === "ip") this.#claim(key, row as IpClaim, this.#effective(cluster, key));
    else if (kind !== "local-ip") this.#change(kind, key);
    else if (this.#own.ip.get(key) === undefined) this.#claim(key, row as IpClaim, undefined);
  }

  #change(kind: SourceKind, key: string): void {
    const pending = this.#pending;
    if (kind === "services") pending.services.add(key);
    else if (kind === "ip" || kind === "local-ip") pending.addresses.add(key);
    else if (kind === "identities" || kind === "local-identities") pending.identities.add(Number(key));
    else if (kind === "policies") pending.policies.add(key);
    else if (kind === "nodes") pending.nodes = true;
    else pending.devices = true;
    this.#revision++;
  }
}

function saysSame(claim: IpClaim, { id }: Cluster, subject: IpSubject): boolean {
  const { identity, namespace, podName, namedPorts, hostAddress } = subject;
  const same = claim.clusterId === id && claim.identity === identity && claim.podName === podName;
  if (!same || claim.namespace !== namespace || claim.hostAddress !== hostAddress) return false;
  if (claim.namedPorts.length !== namedPorts.length) return false;
  return namedPorts.length === 0 || textOf(claim.namedPorts) === textOf(namedPorts);
}

function sameLabels(left: readonly Label[], right: readonly Label[]): boolean {
  return left === right || (left.length === right.length && left.every((label, at) => sameLabel(label, right[at])));
}

function sameLabel(left: Label, right: Label | undefined): boolean {
  return left.source === right?.source && left.key === right.key && left.value === right.value;
}
