/** What `bulkhead services` prints: a row a service, or each backend of the services asked for. */
import type { HealthStatus } from "../model/health.ts";
import type { AgentStatus, BackendStatus, ProgramStatus, ServiceStatus } from "../model/status.ts";
import { duration, safeText, table } from "./text.ts";

/** A service as the nodes of one cluster program it; nodes that differ have entries of their own. */
export interface ServiceEntry {
  readonly cluster: string;
  /** Of the first of the nodes. */
  readonly health: HealthStatus;
  readonly nodes: string[];
  readonly service: ServiceStatus;
}

export const serviceName = ({ namespace, name }: ServiceStatus): string => `${namespace}/${name}`;

/** Services of all agents, or those named `namespace/name`, in order of cluster and name, nodes that agree together. */
export function serviceEntries(
  statuses: readonly ProgramStatus[],
  wanted: readonly string[] = [],
): readonly ServiceEntry[] {
  const known = new Map<string, ServiceEntry>();
  const agents = statuses.filter((status): status is AgentStatus => status.program === "agent");
  for (const { cluster, node, services, health } of agents) {
    for (const service of services) {
      if (wanted.length > 0 && !wanted.includes(serviceName(service))) continue;
      const key = `${cluster}\u0000${serviceName(service)}\u0000${JSON.stringify(service)}`;
      const entry = known.get(key) ?? { cluster, health, nodes: [], service };
      entry.nodes.push(node);
      known.set(key, entry);
    }
  }
  const sorted = [...known].sort(([left], [right]) => (left < right ? -1 : 1));
  return sorted.map(([, entry]) => ({ ...entry, nodes: entry.nodes.sort() }));
}

/** `a:80/TCP`, `a:80/UDP` -> `a:80/TCP+UDP`. */
export function joinProtocols(addresses: readonly string[]): readonly string[] {
  const protocols = Map.groupBy(addresses, (address) => address.slice(0, address.lastIndexOf("/")));
  return [...protocols].map(([address, all]) => {
    const names = all.map((one) => one.slice(one.lastIndexOf("/") + 1)).sort();
    return `${address}/${names.join("+")}`;
  });
}

/** `amsterdam 2, osaka 1`: distinct backends by cluster. */
function byCluster(backends: readonly BackendStatus[]): string {
  const clusters = Map.groupBy(backends, ({ cluster }) => cluster);
  const counts = [...clusters].map(
    ([cluster, all]) => `${cluster} ${joinProtocols(all.map((one) => one.address)).length}`,
  );
  return counts.sort().join(", ") || "none";
}

function summaryRow({ cluster, nodes, service }: ServiceEntry): readonly string[] {
  const { backends, affinity, global } = service;
  return [
    cluster,
    serviceName(service),
    joinProtocols(service.frontends).join(" "),
    global ? affinity : "not global",
    byCluster(backends.filter(({ used }) => used)),
    byCluster(backends.filter(({ used }) => !used)),
    nodes.join(","),
  ];
}

/** One row a service: which clusters serve it. */
export function servicesText(statuses: readonly ProgramStatus[]): string {
  const columns = ["CLUSTER", "SERVICE", "FRONTENDS", "AFFINITY", "USED BACKENDS", "UNUSED", "NODES"];
  return table(columns, serviceEntries(statuses).map(summaryRow));
}

/** Those of one cluster and reason together, their protocols joined, in order of address. */
export function joinBackends(backends: readonly BackendStatus[]): readonly BackendStatus[] {
  const same = Map.groupBy(backends, ({ cluster, used, why }) => JSON.stringify([cluster, used, why]));
  const joined = [...same.values()].flatMap((all) =>
    joinProtocols(all.map(({ address }) => address)).map((address) => ({ ...(all[0] as BackendStatus), address })),
  );
  const order = ({ address, cluster, why }: BackendStatus): string => [address, cluster, why].join();
  return joined.sort((left, right) => (order(left) < order(right) ? -1 : 1));
}

/** Nodes may have found it at different times: the words that they agree on do not say when. */
function whyOf({ cluster, why, demoted }: BackendStatus, { remotes }: HealthStatus): string {
  const remote = remotes.find((one) => one.cluster === cluster);
  return demoted && remote ? `${why} since ${duration(remote.sinceMs)}` : why;
}

function backendRows({ service, health }: ServiceEntry): readonly (readonly string[])[] {
  const told = service.backends.map((backend) => ({ ...backend, why: whyOf(backend, health) }));
  return joinBackends(told).map(({ address, cluster, used, why }) => [address, cluster, used ? "yes" : "no", why]);
}

function detail(entry: ServiceEntry): string {
  const { cluster, nodes, service } = entry;
  const seconds = service.sessionAffinitySeconds;
  const session = seconds === undefined ? "" : `, session affinity ${duration(seconds * 1000)}`;
  const kind = (service.global ? `global, affinity ${service.affinity}` : "not global") + session;
  const head = `${safeText(cluster)} ${safeText(serviceName(service))}: ${kind}, on ${nodes.map(safeText).join(", ")}`;
  const frontends = joinProtocols(service.frontends).map(safeText).join(" ") || "no frontend";
  const tables = (service.tables ?? []).map(
    ({ frontend, slots, hash }) => `\n  maglev ${safeText(frontend)}: ${slots} slots, table ${safeText(hash)}`,
  );
  const backends = table(["BACKEND", "FROM", "USED", "WHY"], backendRows(entry));
  return `${head}\n  ${frontends}${tables.join("")}\n${backends.replace(/^/gm, "  ")}`;
}

/** Each backend of the services named `namespace/name`, by cluster, and why it is used or not. */
export function serviceDetailText(statuses: readonly ProgramStatus[], wanted: readonly string[]): string {
  const found = serviceEntries(statuses, wanted);
  const missing = wanted.filter((name) => !found.some(({ service }) => serviceName(service) === name));
  const lines = missing.map((name) => `! no node programs a service ${safeText(name)}`);
  return [...found.map(detail), ...lines].join("\n\n");
}
