/** The services on the status page: a row a service, and how each cluster programs it. */
import type { BackendStatus, ProgramStatus } from "../model/status.ts";
import { firstRows, type PageRows } from "./page.ts";
import { joinBackends, joinProtocols, type ServiceEntry, serviceEntries, serviceName } from "./services.ts";

const MOST_SERVICES = 500;
const MOST_BACKENDS = 100;

/** A service as the nodes of one cluster program it; nodes that differ have views of their own. */
export interface PageView {
  readonly cluster: string;
  readonly nodes: readonly string[];
  readonly affinity: string;
  readonly frontends: readonly string[];
  readonly backends: PageRows<BackendStatus>;
}

export interface PageService {
  /** `namespace/name`. */
  readonly name: string;
  readonly global: boolean;
  /** All backends, in any view, by the cluster that they are in: how many, and how many of them somebody uses. */
  readonly clusters: readonly { readonly cluster: string; readonly used: number; readonly all: number }[];
  readonly views: readonly PageView[];
}

export type PageServices = PageRows<PageService>;

function viewOf({ cluster, nodes, service }: ServiceEntry): PageView {
  const { affinity, frontends, backends } = service;
  const joined = firstRows(joinBackends(backends), MOST_BACKENDS);
  return { cluster, nodes, affinity, frontends: joinProtocols(frontends), backends: joined };
}

function countsOf(entries: readonly ServiceEntry[]): PageService["clusters"] {
  const backends = entries.flatMap(({ service }) => joinBackends(service.backends));
  const clusters = [...Map.groupBy(backends, ({ cluster }) => cluster)].sort(([left], [right]) =>
    left < right ? -1 : 1,
  );
  const distinct = (some: readonly BackendStatus[]): number => new Set(some.map(({ address }) => address)).size;
  return clusters.map(([cluster, all]) => {
    return { cluster, used: distinct(all.filter(({ used }) => used)), all: distinct(all) };
  });
}

/** Global ones first, those of most clusters first among them, then by name: what a mesh is about is above what a cluster has for itself. */
export function pageServices(statuses: readonly ProgramStatus[]): PageServices {
  const same = Map.groupBy(serviceEntries(statuses), ({ service }) => serviceName(service));
  const services = [...same].map(([name, entries]): PageService => {
    const global = entries.some(({ service }) => service.global);
    return { name, global, clusters: countsOf(entries), views: entries.map(viewOf) };
  });
  const rank = ({ global, clusters }: PageService): number => (global ? clusters.length : 0);
  services.sort((left, right) => rank(right) - rank(left) || (left.name < right.name ? -1 : 1));
  return firstRows(services, MOST_SERVICES);
}
