/** What `bulkhead services` prints: a row a service, or each backend of the services asked for. */
import type { AgentStatus, BackendStatus, ProgramStatus, ServiceStatus } from "../model/status.ts";
import { safeText, table } from "./text.ts";

/** A service as the nodes of one cluster program it; nodes that differ have entries of their own. */
interface Entry {
  readonly cluster: string;
  readonly nodes: string[];
  readonly service: ServiceStatus;
}

const nameOf = ({ namespace, name }: ServiceStatus): string => `${namespace}/${name}`;

/** Services of all agents in order of cluster and name, nodes that agree together. */
function entries(statuses: readonly ProgramStatus[], wanted: readonly string[]): readonly Entry[] {
  const known = new Map<string, Entry>();
  const agents = statuses.filter((status): status is AgentStatus => status.program === "agent");
  for (const { cluster, node, services } of agents) {
    for (const service of services) {
      if (wanted.length > 0 && !wanted.includes(nameOf(service))) continue;
      const key = `${cluster}\u0000${nameOf(service)}\u0000${JSON.stringify(service)}`;
      const entry = known.get(key) ?? { cluster, nodes: [], service };
      entry.nodes.push(node);
      known.set(key, entry);
    }
  }
  const sorted = [...known].sort(([left], [right]) => (left < right ? -1 : 1));
  return sorted.map(([, entry]) => ({ ...entry, nodes: entry.nodes.sort() }));
}

/** `a:80/TCP`, `a:80/UDP` -> `a:80/TCP+UDP`. */
function joinProtocols(addresses: readonly string[]): readonly string[] {
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

function summaryRow({ cluster, nodes, service }: Entry): readonly string[] {
  const { backends, affinity, global } = service;
  return [
    cluster,
    nameOf(service),
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
  return table(columns, entries(statuses, []).map(summaryRow));
}

function backendRows({ backends }: ServiceStatus): readonly (readonly string[])[] {
  const same = Map.groupBy(backends, ({ cluster, used, why }) => JSON.stringify([cluster, used ? "yes" : "no", why]));
  const rows = [...same].flatMap(([key, all]) => {
    const [cluster, used, why] = JSON.parse(key) as [string, string, string];
    return joinProtocols(all.map(({ address }) => address)).map((address) => [address, cluster, used, why]);
  });
  return rows.sort((left, right) => (left.join() < right.join() ? -1 : 1));
}

function detail({ cluster, nodes, service }: Entry): string {
  const kind = service.global ? `global, affinity ${service.affinity}` : "not global";
  const head = `${safeText(cluster)} ${safeText(nameOf(service))}: ${kind}, on ${nodes.map(safeText).join(", ")}`;
  const frontends = joinProtocols(service.frontends).map(safeText).join(" ") || "no frontend";
  const backends = table(["BACKEND", "FROM", "USED", "WHY"], backendRows(service));
  return `${head}\n  ${frontends}\n${backends.replace(/^/gm, "  ")}`;
}

/** Each backend of the services named `namespace/name`, by cluster, and why it is used or not. */
export function serviceDetailText(statuses: readonly ProgramStatus[], wanted: readonly string[]): string {
  const found = entries(statuses, wanted);
  const missing = wanted.filter((name) => !found.some(({ service }) => nameOf(service) === name));
  const lines = missing.map((name) => `! no node programs a service ${safeText(name)}`);
  return [...found.map(detail), ...lines].join("\n\n");
}
