/** Bulkhead's own programs as the lab runs them, and asking them how they are. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { MeshEvent } from "../../src/model/event.ts";
import type { Flow } from "../../src/model/flow.ts";
import type { AgentStatus, DrilldStatus, ExporterStatus, MirrorStatus, ProgramStatus } from "../../src/model/status.ts";
import type { Explanation } from "../../src/report/explain.ts";
import { askSocket } from "../../src/serve/ask.ts";
import { makeCgroup } from "./cgroups.ts";
import { BULKHEAD, command } from "./command.ts";
import { etcdArgv } from "./etcd.ts";
import type { Lab } from "./lab.ts";
import { NATS_ID, natsArgv, natsNode } from "./nats.ts";
import { type ClusterPlan, etcdNode, type LabPlan, type NodePlan } from "./plan.ts";
import { argvOf } from "./processes.ts";
import { agentSettings, exporterSettings, flags, mirrorSettings, standbySettings } from "./settings.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ANSWER_TIMEOUT_MS = 2_000;

type Arguments = readonly string[];

export interface AgentVariant {
  readonly settings?: Parameters<typeof flags>[0];
  readonly bulkhead?: Arguments;
}

/** The ids of a cluster's programs, in the order in which they start. */
export function programIds(cluster: ClusterPlan): readonly string[] {
  const agents = cluster.nodes.map((node) => agentId(cluster, node));
  return [etcdId(cluster), exporterId(cluster), mirrorId(cluster), ...agents];
}

export const etcdId = (cluster: ClusterPlan): string => `${cluster.name}/etcd`;
export const exporterId = (cluster: ClusterPlan): string => `${cluster.name}/exporter`;
export const mirrorId = (cluster: ClusterPlan): string => `${cluster.name}/kvstoremesh`;
export const drilldId = (cluster: ClusterPlan): string => `${cluster.name}/drilld`;
/** A second mirror, which only drills start. */
export const standbyId = (cluster: ClusterPlan): string => `${cluster.name}/standby`;
export const agentId = (cluster: ClusterPlan, node: NodePlan): string => `${cluster.name}/agent-${node.name}`;

/** Starts the program of this id. Programs share a cgroup beside the nodes': nothing they send is translated. */
export function startProgram(lab: Lab, cluster: ClusterPlan, id: string): void {
  const agent = cluster.nodes.find((node) => agentId(cluster, node) === id);
  start(lab, agent ?? etcdNode(cluster), id, programArgv(lab, cluster, id, agent));
}

/** Starts the node's agent otherwise than the lab does: with other settings, as another version of `bulkhead`. */
export function startAgent(
  lab: Lab,
  cluster: ClusterPlan,
  node: NodePlan,
  { settings = {}, bulkhead = BULKHEAD }: AgentVariant = {},
): void {
  const all = { ...agentSettings(lab.plan, cluster, node), ...settings };
  start(lab, node, agentId(cluster, node), [...bulkhead, "agent", ...flags(all)]);
}

/** Starts the NATS of all clusters, unless it runs. */
export function startNats(lab: Lab): void {
  if (!lab.isRunning(NATS_ID)) start(lab, natsNode(lab.plan), NATS_ID, natsArgv(lab.plan, lab.dataDirectory));
}

/** How drilld starts it again after a drill killed it: as the lab does, its output in the same log. */
export function startArgv(lab: Lab, cluster: ClusterPlan, id: string): Arguments {
  const agent = cluster.nodes.find((node) => agentId(cluster, node) === id);
  const spec = specOf(lab, agent ?? etcdNode(cluster), id, programArgv(lab, cluster, id, agent));
  const env = Object.entries(spec.env).map(([name, value]) => `${name}=${value}`);
  return ["sh", "-c", 'exec >>"$0" 2>&1; exec "$@"', lab.logFile(id), "env", ...env, ...argvOf(spec)];
}

/** Starts the cluster's drilld, unless it runs. It is none of the cluster's programs: nothing waits for it. */
export function startDrilld(lab: Lab, cluster: ClusterPlan, settings: Parameters<typeof flags>[0]): void {
  const id = drilldId(cluster);
  if (!lab.isRunning(id)) start(lab, etcdNode(cluster), id, [...BULKHEAD, "drilld", ...flags(settings)]);
}

function start(lab: Lab, node: NodePlan, id: string, argv: Arguments): void {
  const spec = specOf(lab, node, id, argv);
  makeCgroup(spec.cgroup);
  lab.start(spec);
}

function specOf(lab: Lab, { netns }: NodePlan, id: string, argv: Arguments) {
  const cgroup = join(lab.plan.cgroup, "programs");
  // Twelve programs share their compiled code instead of compiling it twelve times; those of the tests with that of all labs.
  const env = { NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? join(lab.dataDirectory, "compiled") };
  return { id, netns, cgroup, argv, cwd: ROOT, env };
}

function programArgv(lab: Lab, cluster: ClusterPlan, id: string, agent: NodePlan | undefined): Arguments {
  const bulkhead = (program: string, settings: Parameters<typeof flags>[0]): Arguments => [
    ...[...BULKHEAD, program],
    ...flags(settings),
  ];
  if (agent !== undefined) return bulkhead("agent", agentSettings(lab.plan, cluster, agent));
  if (id === etcdId(cluster)) return etcdArgv(cluster, lab.dataDirectory);
  if (id === exporterId(cluster)) return bulkhead("exporter", exporterSettings(lab.plan, cluster));
  if (id === mirrorId(cluster)) return bulkhead("kvstoremesh", mirrorSettings(lab.plan, cluster));
  if (id === standbyId(cluster)) return bulkhead("kvstoremesh", standbySettings(lab.plan, cluster));
  throw new RangeError(`no program ${id}`);
}

/** What `bulkhead status` prints for this lab. */
export async function statusText(lab: LabPlan): Promise<string> {
  return await command([...BULKHEAD, "status", "--run-dir", lab.runDirectory]);
}

async function cli(lab: LabPlan, ...words: readonly string[]): Promise<string> {
  return await command([...BULKHEAD, ...words, "--run-dir", lab.runDirectory, "--json"], {
    codes: [0, 3],
  });
}

const records = <T>(lines: string): readonly T[] =>
  lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);

/** What `bulkhead flows` reports of packets dropped on the way from one address to another, newest last. */
export async function droppedFlows(lab: LabPlan, from: string, to: string): Promise<readonly Flow[]> {
  return records(await cli(lab, "flows", "--last", "1000", "--verdict", "dropped", "--from", from, "--to", to));
}

/** What `bulkhead events` says of the last hour, in all clusters. */
export async function meshEvents(lab: LabPlan): Promise<readonly MeshEvent[]> {
  return records(await cli(lab, "events", "--since", "1h"));
}

/** What `bulkhead policy explain` says of a connection over TCP. */
export async function explain(lab: LabPlan, from: string, to: string, port: number): Promise<Explanation> {
  const said = await cli(lab, "policy", "explain", "--from", from, "--to", to, "--port", String(port));
  return JSON.parse(said) as Explanation;
}

async function ask(socket: string): Promise<ProgramStatus | undefined> {
  try {
    return (await askSocket(socket, "/v1/status", ANSWER_TIMEOUT_MS)) as ProgramStatus;
  } catch {
    return undefined;
  }
}

export async function exporterStatus(cluster: ClusterPlan): Promise<ExporterStatus | undefined> {
  const status = await ask(join(cluster.directory, "exporter.sock"));
  return status?.program === "exporter" ? status : undefined;
}

export async function mirrorStatus(cluster: ClusterPlan): Promise<MirrorStatus | undefined> {
  const status = await ask(join(cluster.directory, "kvstoremesh.sock"));
  return status?.program === "kvstoremesh" ? status : undefined;
}

export async function agentStatus(cluster: ClusterPlan, node: NodePlan): Promise<AgentStatus | undefined> {
  const status = await ask(join(cluster.directory, `agent-${node.name}.sock`));
  return status?.program === "agent" ? status : undefined;
}

export async function drilldStatus(cluster: ClusterPlan): Promise<DrilldStatus | undefined> {
  const status = await ask(join(cluster.directory, "drilld.sock"));
  return status?.program === "drilld" ? status : undefined;
}
