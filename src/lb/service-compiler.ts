/**
 * Tables to `services` and `backends`. Deterministic: the same tables and the same kernel give the same bytes. Incremental: only frontends of
 * services that changed are compiled again, with the result a full compile gives. A frontend that two services claim belongs to the lower name.
 */

import type { FrontendChoice } from "../maps/service-map.ts";
import { protocolNumber } from "../maps/service-map.ts";
import type { BackendStatus, ServiceStatus, TableStatus } from "../model/status.ts";
import type { ChangeSet, ServiceName, TablesView } from "../tables/tables-view.ts";
import { backendKey, type Candidate, type EndpointKey, endpointText } from "./backend.ts";
import { type Entry, type KernelFrontend, readKernelServices } from "./kernel-services.ts";
import { DEFAULT_LOAD_BALANCING, type LoadBalancingOptions, lookupTable, tableHash } from "./maglev.ts";
import { Retained } from "./retained.ts";
import {
  candidates,
  type Demotions,
  frontends,
  type NamedFrontend,
  NO_DEMOTIONS,
  type Selection,
  sameClusters,
  select,
} from "./select.ts";
import { ServiceEntries } from "./service-entries.ts";
import { type Basis, Standing } from "./standing.ts";

interface Offer extends Selection {
  /** Every candidate, in order of precedence. */
  readonly offered: readonly Candidate[];
  /** Those of them that only the kernel knows. */
  readonly kept: readonly Candidate[];
}

const NO_SELECTION: Selection = { fitting: [], used: [], weightOf: () => 0, slots: [], refusals: [], remarks: [] };
const NO_OFFER: Offer = { ...NO_SELECTION, offered: [], kept: [] };

export class ServiceCompiler {
  readonly entries = new ServiceEntries();
  readonly #view: TablesView;
  readonly #retained: Retained;
  readonly #options: LoadBalancingOptions;
  readonly #claims = new Map<EndpointKey, Set<ServiceName>>();
  readonly #frontendsOf = new Map<ServiceName, readonly NamedFrontend[]>();
  /** What was placed, where single backends can be exchanged. */
  readonly #standing = new Map<EndpointKey, { readonly owner: ServiceName; readonly standing: Standing }>();
  /** Of lookup tables, as they were placed. */
  readonly #tables = new Map<EndpointKey, Omit<TableStatus, "frontend">>();
  #demotions = NO_DEMOTIONS;

  constructor(view: TablesView, options = DEFAULT_LOAD_BALANCING) {
    this.#view = view;
    this.#options = options;
    this.#retained = new Retained(view);
  }

  /** Takes over what the kernel holds; before the first `update`. */
  adopt(services: Iterable<Entry>, backends: Iterable<Entry>): void {
    const kernel = readKernelServices(services, backends, this.#view.own.id, (id) => `cluster id ${id}`);
    for (const [id, backend] of kernel.backends) this.entries.ids.adopt(backendKey(backend), id);
    this.entries.ids.startAfter(kernel.lastId);
    this.#retained.adopt(kernel.frontends);
    for (const frontend of kernel.frontends.values()) this.#keep(frontend);
    this.entries.ids.forgetUnused();
  }

  update(changes: Pick<ChangeSet, "services" | "sources">, demotions: Demotions = NO_DEMOTIONS): void {
    const affected = new Set<EndpointKey>(changes.sources ? this.#retained.keys() : []);
    if (!sameClusters(demotions, this.#demotions)) for (const key of this.#claims.keys()) affected.add(key);
    this.#demotions = demotions;
    for (const name of [...changes.services].sort()) {
      for (const frontend of this.#frontendsOf.get(name) ?? []) affected.add(endpointText(frontend));
      this.#claim(name);
      for (const frontend of this.#frontendsOf.get(name) ?? []) affected.add(endpointText(frontend));
    }
    for (const key of [...affected].sort()) this.#compile(key);
  }

  /** Every local service with each backend of any cluster, and why it is used or not; by name. */
  status(): ServiceStatus[] {
    return [...this.#view.localServices()].sort().map((name) => this.#describe(name));
  }

  /** Ids of clusters whose backends stay only because the kernel had them. */
  retainedClusters(): ReadonlySet<number> {
    return this.#retained.clusters();
  }

  #claim(name: ServiceName): void {
    for (const frontend of this.#frontendsOf.get(name) ?? []) {
      const key = endpointText(frontend);
      const names = this.#claims.get(key);
      names?.delete(name);
      if (names?.size === 0) this.#claims.delete(key);
    }
    const service = this.#view.localService(name);
    if (service === undefined) {
      this.#frontendsOf.delete(name);
      return;
    }
    const programmed = frontends(service).filter(({ protocol }) => protocolNumber(protocol) !== undefined);
    this.#frontendsOf.set(name, programmed);
    for (const frontend of programmed) {
      const key = endpointText(frontend);
      const names = this.#claims.get(key) ?? new Set();
      this.#claims.set(key, names.add(name));
    }
  }

  #owner(key: EndpointKey): ServiceName | undefined {
    return [...(this.#claims.get(key) ?? [])].sort()[0];
  }

  #compile(key: EndpointKey): void {
    const owner = this.#owner(key);
    const frontend = this.#frontendsOf.get(owner ?? "")?.find((candidate) => endpointText(candidate) === key);
    if (owner !== undefined && frontend !== undefined) {
      this.#serve(key, owner, frontend);
      return;
    }
    this.#standing.delete(key);
    this.#tables.delete(key);
    const kept = this.#retained.unclaimed(key);
    if (kept !== undefined) this.#keep(kept);
    else this.entries.remove(key);
  }

  #keep({ endpoint, backends, choice }: KernelFrontend): void {
    this.entries.place(endpoint, backends, choice);
  }

  #choice(owner: ServiceName): FrontendChoice {
    const { sessionAffinitySeconds = 0, algorithm = this.#options.algorithm } = this.#view.localService(owner) ?? {};
    return { affinitySeconds: sessionAffinitySeconds, algorithm };
  }

  #serve(key: EndpointKey, owner: ServiceName, frontend: NamedFrontend): void {
    const basis = this.#basis(owner, frontend);
    const known = this.#standing.get(key);
    const exchange = known?.owner === owner && basis !== undefined ? known.standing.exchange(basis) : undefined;
    if (exchange !== undefined) {
      this.entries.exchange(key, exchange);
      return;
    }
    const selection = this.#select(owner, frontend);
    this.#retained.claim(key, selection.kept);
    const choice = this.#choice(owner);
    const isTable = choice.algorithm === "maglev";
    this.entries.place(frontend, isTable ? this.#table(key, selection) : selection.slots, choice);
    if (!isTable) this.#tables.delete(key);
    const standing = basis && !isTable && selection.kept.length === 0 ? Standing.of(basis, selection) : undefined;
    if (standing === undefined) this.#standing.delete(key);
    else this.#standing.set(key, { owner, standing });
  }

  #table(key: EndpointKey, { used, weightOf }: Selection): readonly Candidate[] {
    const table = lookupTable(used, weightOf, this.#options.tableSize);
    this.#tables.set(key, { slots: table.length, hash: tableHash(table) });
    return table;
  }

  #basis(name: ServiceName, frontend: NamedFrontend): Basis | undefined {
    const { own } = this.#view;
    const service = this.#view.localService(name);
    if (service === undefined) return undefined;
    const remotes = this.#view.clusterServices(name);
    const ids = [own.id, ...remotes.map(({ clusterId }) => clusterId)];
    const said = [own.name, ...remotes.map(({ cluster }) => cluster)];
    const weights = ids.map((id, index) => this.#view.weight(this.#view.clusterName(id) ?? said[index] ?? "", name));
    return { own, frontend, service, remotes, weights, demotions: this.#demotions };
  }

  #select(name: ServiceName, frontend: NamedFrontend): Offer {
    const service = this.#view.localService(name);
    if (service === undefined) return NO_OFFER;
    const remotes = this.#view.clusterServices(name);
    const spoken = (clusterId: number): boolean => remotes.some((remote) => remote.clusterId === clusterId);
    const key = endpointText(frontend);
    const kept = this.#owner(key) === name ? this.#retained.claimed(key, spoken) : [];
    const named = kept.map((one) => ({ ...one, cluster: this.#view.clusterName(one.clusterId) ?? one.cluster }));
    const said = candidates(this.#view.own, service, remotes);
    // Where two clusters claim an address, the one that has not spoken again keeps its precedence.
    const offered = named.length === 0 ? said : [...said, ...named].sort((left, right) => rank(left) - rank(right));
    const weightOf = ({ cluster }: Candidate): number => this.#view.weight(cluster, name);
    return { ...select(service, frontend, offered, weightOf, this.#demotions), offered, kept };
  }

  #describe(name: ServiceName): ServiceStatus {
    const service = this.#view.localService(name);
    const rows = new Map<string, BackendStatus>();
    const own = this.#frontendsOf.get(name) ?? [];
    for (const frontend of own) {
      const { offered, refusals, remarks } = this.#select(name, frontend);
      const owner = this.#owner(endpointText(frontend));
      for (const [index, candidate] of offered.entries()) {
        const lost = owner === name ? undefined : `frontend belongs to ${owner}`;
        addRow(rows, candidate, lost ?? refusals[index], remarks[index], this.#demotions.get(candidate.clusterId));
      }
    }
    const seconds = service?.sessionAffinitySeconds;
    const tables = own.map(endpointText).flatMap((frontend): TableStatus[] => {
      const table = this.#owner(frontend) === name ? this.#tables.get(frontend) : undefined;
      return table === undefined ? [] : [{ frontend, ...table }];
    });
    return {
      namespace: service?.namespace ?? "",
      name: service?.name ?? "",
      frontends: own.map(endpointText),
      affinity: service?.affinity ?? "none",
      global: service?.global ?? false,
      ...(seconds === undefined ? {} : { sessionAffinitySeconds: seconds }),
      ...(tables.length === 0 ? {} : { tables }),
      backends: [...rows.values()],
    };
  }
}

/** Of the own cluster first, then by cluster id. */
function rank({ own, clusterId }: Candidate): number {
  return own ? 0 : clusterId;
}

/** One row a backend: used by any frontend counts, else the first reason that is not about another port's name. */
function addRow(
  rows: Map<string, BackendStatus>,
  candidate: Candidate,
  refusal: string | undefined,
  remark: string | undefined,
  demoted: string | undefined,
): void {
  const key = `${candidate.cluster}|${endpointText(candidate)}`;
  const known = rows.get(key);
  const used = refusal === undefined;
  if (known?.used || (known !== undefined && !used && refusal.startsWith("no "))) return;
  const why = refusal ?? usedWhy(candidate, remark, demoted);
  const mark = demoted !== undefined && (used || refusal === demoted) ? { demoted: true as const } : {};
  rows.set(key, { cluster: candidate.cluster, address: endpointText(candidate), used, why, ...mark });
}

function usedWhy({ portName }: Candidate, remark: string | undefined, demoted: string | undefined): string {
  if (portName === undefined) return "kept from the kernel until its cluster is synced";
  if (demoted === undefined) return remark ?? "used";
  return `${remark ?? "used"}, there are no others; ${demoted}`;
}
