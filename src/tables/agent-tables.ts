/**
 * What an agent knows, as its local etcd says it: the own cluster's services and IPs, and those of every other cluster. One writer (`ingest`);
 * compilers read through `TablesView`. Values arrive judged.
 */
import type { Cluster } from "../model/cluster.ts";
import type { ClusterService, LocalService } from "../model/resource.ts";
import { SourceTable } from "./source-table.ts";

/** Own `services` are LocalServices, other clusters' are ClusterServices. */
export type SourceKind = "services" | "ip";

/** `namespace/name`. */
export type ServiceName = string;

export function serviceName(service: { readonly namespace: string; readonly name: string }): ServiceName {
  return `${service.namespace}/${service.name}`;
}

export interface IpClaim {
  readonly clusterId: number;
  readonly identity: number;
}

/** What changed since the last take. */
export interface ChangeSet {
  readonly revision: number;
  readonly services: ReadonlySet<ServiceName>;
  /** Addresses, and CIDRs as `address/bits`. */
  readonly addresses: ReadonlySet<string>;
  /** Whether some source became complete, or ceased to be known as such. */
  readonly sources: boolean;
}

export interface TablesView {
  readonly own: Cluster;
  localServices(): IterableIterator<ServiceName>;
  localService(name: ServiceName): LocalService | undefined;
  /** By cluster id. */
  clusterServices(name: ServiceName): readonly ClusterService[];
  /** Own cluster first, then by cluster id. */
  ipClaims(address: string): readonly IpClaim[];
  /** Whether everything that the cluster says of this kind is in the tables: only then absence means anything. */
  isSynced(kind: SourceKind, clusterId: number): boolean;
}

/** What one other cluster said. Each row carries the id that its cluster had when it was judged. */
interface RemoteRows {
  readonly services: SourceTable<ClusterService>;
  readonly ip: SourceTable<IpClaim>;
}

interface Pending {
  services: Set<ServiceName>;
  addresses: Set<string>;
  sources: boolean;
}

function nothing(): Pending {
  return { services: new Set(), addresses: new Set(), sources: false };
}

export class AgentTables implements TablesView {
  readonly own: Cluster;
  readonly #services = new SourceTable<LocalService>();
  readonly #ip = new SourceTable<IpClaim>();
  readonly #remotes = new Map<string, RemoteRows>();
  /** By address, as `ipClaims` says: to ask every cluster about every address takes too long. */
  readonly #claims = new Map<string, readonly IpClaim[]>();
  readonly #synced = new Set<string>();
  #pending = nothing();
  #revision = 0;

  constructor(own: Cluster) {
    this.own = own;
  }

  get revision(): number {
    return this.#revision;
  }

  putLocalService(service: LocalService): void {
    const name = serviceName(service);
    this.#services.put(name, service);
    this.#change("services", name);
  }

  putClusterService(cluster: Cluster, service: ClusterService): void {
    const name = serviceName(service);
    this.#remote(cluster.name).services.put(name, service);
    this.#change("services", name);
  }

  /** @param key address, or `address/bits`. */
  putIp(cluster: Cluster, key: string, identity: number): void {
    const rows = cluster.name === this.own.name ? this.#ip : this.#remote(cluster.name).ip;
    const known = rows.get(key);
    const same = known?.identity === identity && known.clusterId === cluster.id;
    const claim = same ? known : { clusterId: cluster.id, identity };
    rows.put(key, claim);
    if (same) return;
    this.#claim(key, known, claim);
    this.#change("ip", key);
  }

  /** The value at `key` was refused: the last good one stays, also through a listing. */
  touch(cluster: string, kind: SourceKind, key: string): void {
    this.#rows(cluster, kind)?.touch(key);
  }

  remove(cluster: string, kind: SourceKind, key: string): void {
    const row = this.#rows(cluster, kind)?.delete(key);
    if (row !== undefined) this.#gone(kind, key, row);
  }

  /** A listing begins: rows it will not show are swept once their source is complete. */
  mark(): void {
    this.#services.mark();
    this.#ip.mark();
    for (const remote of this.#remotes.values()) {
      remote.services.mark();
      remote.ip.mark();
    }
  }

  /** Everything the source holds was put since `mark`. */
  sweep(cluster: Cluster, kind: SourceKind): void {
    for (const [key, row] of this.#rows(cluster.name, kind)?.sweep() ?? []) this.#gone(kind, key, row);
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
    const taken = { revision: this.#revision, ...this.#pending };
    this.#pending = nothing();
    return taken;
  }

  localServices(): IterableIterator<ServiceName> {
    return this.#services.keys();
  }

  localService(name: ServiceName): LocalService | undefined {
    return this.#services.get(name);
  }

  clusterServices(name: ServiceName): readonly ClusterService[] {
    const found = [...this.#remotes.values()].map(({ services }) => services.get(name));
    return found.filter((service) => service !== undefined).sort((left, right) => left.clusterId - right.clusterId);
  }

  ipClaims(address: string): readonly IpClaim[] {
    return this.#claims.get(address) ?? [];
  }

  isSynced(kind: SourceKind, clusterId: number): boolean {
    return this.#synced.has(`${kind}/${clusterId}`);
  }

  /** Rows of a source, and those of them that are only held. */
  count(cluster: string, kind: SourceKind): { readonly rows: number; readonly held: number } {
    const table = this.#rows(cluster, kind);
    return { rows: table?.size ?? 0, held: table?.held ?? 0 };
  }

  #rows(cluster: string, kind: SourceKind): SourceTable<unknown> | undefined {
    if (cluster === this.own.name) return kind === "ip" ? this.#ip : this.#services;
    return this.#remotes.get(cluster)?.[kind];
  }

  #remote(cluster: string): RemoteRows {
    const known = this.#remotes.get(cluster);
    if (known !== undefined) return known;
    const remote = { services: new SourceTable<ClusterService>(), ip: new SourceTable<IpClaim>() };
    this.#remotes.set(cluster, remote);
    return remote;
  }

  #gone(kind: SourceKind, key: string, row: unknown): void {
    if (kind === "ip") this.#claim(key, row as IpClaim, undefined);
    this.#change(kind, key);
  }

  #claim(address: string, before: IpClaim | undefined, after: IpClaim | undefined): void {
    const others = this.#claims.get(address)?.filter((claim) => claim !== before) ?? [];
    const claims = after === undefined ? others : others.length === 0 ? [after] : [...others, after];
    if (claims.length === 0) this.#claims.delete(address);
    else this.#claims.set(address, claims.length === 1 ? claims : claims.sort(this.#precedence));
  }

  /** Own cluster first, then by cluster id. */
  readonly #precedence = (left: IpClaim, right: IpClaim): number => this.#rank(left) - this.#rank(right);

  #rank({ clusterId }: IpClaim): number {
    return clusterId === this.own.id ? 0 : clusterId;
  }

  #change(kind: SourceKind, key: string): void {
    this.#pending[kind === "ip" ? "addresses" : "services"].add(key);
    this.#revision++;
  }
}
