/** What `bulkhead status` prints. */
import type {
  AgentStatus,
  DrilldStatus,
  ExporterStatus,
  MirrorStatus,
  ProgramStatus,
  RemoteStatus,
} from "../model/status.ts";
import { rampText } from "./drain.ts";
import { healthLines } from "./health.ts";
import { peersLine } from "./peers.ts";
import { cachedKeys } from "./remotes.ts";
import { duration, safeText, table } from "./text.ts";

function age(ageMs: number | undefined): string {
  return ageMs === undefined ? "unproven" : duration(ageMs);
}

const yesNo = (value: boolean): string => (value ? "yes" : "no");

function remoteRow(remote: RemoteStatus): readonly string[] {
  return [
    remote.name,
    remote.phase,
    yesNo(remote.connected),
    yesNo(remote.synced && remote.ageMs !== undefined),
    String(cachedKeys(remote) ?? "unknown"),
    `${age(remote.ageMs)} (${remote.grade})`,
    remote.breaker,
    String(remote.rejected),
    remote.lastError ?? "",
  ];
}

function mirrorLines(mirror: MirrorStatus): string {
  const role = mirror.leader ? "leader" : "standby";
  const head = `kvstoremesh: ${role}, ${mirror.queued} writes waiting, up ${duration(mirror.uptimeMs)}`;
  if (mirror.remotes.length === 0) return `${head}\n  no remote is configured`;
  const columns = ["REMOTE", "PHASE", "CONNECTED", "SYNCED", "ENTRIES", "AGE", "BREAKER", "REJECTED", "ERROR"];
  return `${head}\n${indent(table(columns, mirror.remotes.map(remoteRow)))}`;
}

function exporterLines(exporter: ExporterStatus): string {
  const kinds = Object.entries(exporter.entries).map(([kind, count]) => `${count} ${kind}`);
  const role = exporter.leader ? "leader" : "standby";
  const state = [role, exporter.synced ? "synced" : "not synced", ...kinds, `up ${duration(exporter.uptimeMs)}`];
  return [`exporter: ${state.join(", ")}`, ...(exporter.drains ?? []).map((drain) => `  ${rampText(drain)}`)].join(
    "\n",
  );
}

function drilldLines({ targets, lasting }: DrilldStatus): string {
  const lasts = lasting.map(({ run, what }) => `${what} (run ${run})`).join(", ");
  return `drilld: may do faults to ${Object.keys(targets).join(", ") || "nothing"}; ${lasts || "nothing"} lasts now`;
}

function agentRow(agent: AgentStatus): readonly string[] {
  const maps = agent.maps.map((map) => `${map.name} ${map.entries}/${map.maxEntries}`);
  return [
    agent.node,
    yesNo(agent.connected),
    yesNo(agent.synced),
    age(agent.ageMs),
    String(agent.adopted),
    String(agent.written),
    String(agent.removed),
    maps.join(", "),
  ];
}

function agentLines(agents: readonly AgentStatus[]): string {
  const columns = ["NODE", "CONNECTED", "SYNCED", "AGE", "ADOPTED", "WRITTEN", "REMOVED", "MAPS"];
  return [table(columns, agents.map(agentRow)), ...agents.flatMap(nodeLines)].join("\n");
}

const counted = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`;

function nodeLines(agent: AgentStatus): readonly string[] {
  const drains = (agent.drains ?? []).map((drain) => `${safeText(agent.node)}: ${rampText(drain)}`);
  const { ready, detail } = agent.readiness;
  const state = ready ? detail : `not ready: ${detail}`;
  const unusual = ready && agent.synced && agent.connected ? [] : [`${safeText(agent.node)}: ${safeText(state)}`];
  const lines = [peersLine(agent.peers), ...healthLines(agent.health)];
  return [...unusual, policyLine(agent), ...lines.map((line) => `${safeText(agent.node)}: ${line}`), ...drains];
}

/** `n1: 3 endpoints (2 known, 1 unknown, 1 denied), 2 policies, drops: policy-denied 12`. */
function policyLine({ node, endpoints, policies, drops, audited, flowsLost }: AgentStatus): string {
  const known = endpoints.filter(({ pod }) => pod !== undefined).length;
  const denied = endpoints.filter(({ ingress, egress }) => ingress === "denied" || egress === "denied").length;
  const states = `${known} known, ${endpoints.length - known} unknown, ${denied} denied`;
  const dropped = Object.entries(drops).filter(([, count]) => count > 0);
  const reasons = dropped.map(([reason, count]) => `${reason} ${count}`).join(", ") || "none";
  const passed = audited === 0 ? "" : `, audited: ${audited}`;
  const lost = flowsLost === 0 ? "" : `, ${flowsLost} flow events lost`;
  return `${safeText(node)}: ${counted(endpoints.length, "endpoint", "endpoints")} (${states}), ${counted(policies.length, "policy", "policies")}, drops: ${safeText(reasons)}${passed}${lost}`;
}

const indent = (text: string): string => text.replace(/^/gm, "  ");

function isAgent(status: ProgramStatus): status is AgentStatus {
  return status.program === "agent";
}

const who = (status: ProgramStatus): string => (isAgent(status) ? `agent ${status.node}` : status.program);

/** A line where events do not get through, or did not. */
function eventLines(status: ProgramStatus): readonly string[] {
  const { connected, waiting, lost, error } = status.events ?? { connected: true, waiting: 0, lost: 0 };
  if (connected && lost === 0) return [];
  const state = connected ? "events are told again" : `${counted(waiting, "event waits", "events wait")} for NATS`;
  const gone = lost === 0 ? "" : `, ${lost} lost since the start`;
  return [`! ${who(status)}: ${state}${gone}${error === undefined ? "" : `: ${safeText(error)}`}`];
}

/** The first to end, of programs that use any. */
function certificateLines(status: ProgramStatus): readonly string[] {
  if (!status.certificate) return [];
  const { file, until, leftMs } = status.certificate;
  const left = leftMs < 0 ? "it has ended" : duration(leftMs);
  return [`certificates of ${who(status)}: the first ends on ${until} (${left}), ${safeText(file)}`];
}

function clusterLines(cluster: string, statuses: readonly ProgramStatus[]): string {
  const parts: string[] = [];
  for (const status of statuses) {
    if (status.program === "kvstoremesh") parts.push(mirrorLines(status));
    if (status.program === "exporter") parts.push(exporterLines(status));
    if (status.program === "drilld") parts.push(drilldLines(status));
  }
  const agents = statuses.filter(isAgent);
  if (agents.length > 0) parts.push(agentLines(agents));
  for (const status of statuses) parts.push(...eventLines(status));
  for (const status of statuses) parts.push(...certificateLines(status));
  for (const status of statuses) {
    for (const problem of status.problems) parts.push(`! ${who(status)}: ${safeText(problem)}`);
  }
  return `${safeText(cluster)}\n${indent(parts.join("\n"))}`;
}

/** Statuses grouped by cluster, clusters and nodes in order of their names. */
export function statusText(statuses: readonly ProgramStatus[]): string {
  const key = (status: ProgramStatus): string =>
    `${status.cluster}/${status.program}/${isAgent(status) ? status.node : ""}`;
  const sorted = [...statuses].sort((left, right) => (key(left) < key(right) ? -1 : 1));
  const clusters = Map.groupBy(sorted, (status) => status.cluster);
  return [...clusters].map(([cluster, members]) => clusterLines(cluster, members)).join("\n\n");
}
