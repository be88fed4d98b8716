/** Starting a lab: network, etcds, pods, programs, and waiting until every part knows what it should. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentStatus, ExporterStatus, MirrorStatus } from "../../src/model/status.ts";
import { makeCgroup } from "./cgroups.ts";
import { command } from "./command.ts";
import { giveRights, issueCertificates, joinClusters } from "./credentials.ts";
import { etcdAnswers, etcdClientFile } from "./etcd.ts";
import { type Lab, waitFor } from "./lab.ts";
import { inputPod, nodeManifest, publishObject, publishText, readInput } from "./manifests.ts";
import { buildNetwork } from "./network.ts";
import { paperFiles } from "./paper.ts";
import type { ClusterPlan, LabPlan } from "./plan.ts";
import { startPod } from "./pods.ts";
import {
  agentStatus,
  etcdId,
  exporterId,
  exporterStatus,
  mirrorStatus,
  programIds,
  startNats,
  startProgram,
} from "./programs.ts";
import { waitForServing } from "./serving.ts";

const ETCD_WITHIN_MS = 15_000;
const SYNCED_WITHIN_MS = 180_000;

/** @param secure the etcds ask everybody for a certificate and a right. */
export async function bringUp(lab: Lab, secure: boolean): Promise<void> {
  const { plan } = lab;
  // Read whole before anything is made: what a person wrote may be wrong.
  const input = new Map(plan.clusters.map((cluster) => [cluster, readInput(cluster.name)]));
  if (secure) await issueCertificates(plan);
  makeFolders(lab);
  await command(["mount", "-t", "bpf", "bulkhead-lab", plan.bpfDirectory]);
  for (const node of plan.clusters.flatMap((cluster) => cluster.nodes))
    mkdirSync(node.bpfDirectory, { recursive: true });
  await buildNetwork(plan);
  startNats(lab);
  await startEtcds(lab, plan.clusters);
  if (secure) await giveRights(plan.clusters);
  for (const [cluster, objects] of input) {
    for (const file of paperFiles(cluster)) publishText(cluster, file.name, file.text);
    for (const node of cluster.nodes)
      publishObject(cluster, { kind: "Node", namespace: "", name: node.name }, nodeManifest(cluster, node));
    for (const object of objects) {
      if (object.kind === "Pod") await startPod(lab, cluster, inputPod(object));
      else publishObject(cluster, object, object.body);
    }
  }
  // In the order of what they need, so that nobody starts by waiting for another.
  for (const cluster of plan.clusters) startProgram(lab, cluster, exporterId(cluster));
  for (const cluster of plan.clusters) await waitForExporter(lab, cluster);
  if (secure) await joinClusters(plan.clusters);
  else for (const cluster of plan.clusters) nameRemotes(plan, cluster);
  for (const cluster of plan.clusters) startCluster(lab, cluster);
  for (const cluster of plan.clusters) await waitForCluster(lab, cluster);
  await waitForServing(lab);
}

function makeFolders(lab: Lab): void {
  const { plan } = lab;
  mkdirSync(plan.bpfDirectory, { recursive: true });
  for (const cluster of plan.clusters) {
    mkdirSync(cluster.manifests, { recursive: true });
    mkdirSync(cluster.remotes, { recursive: true });
    writeFileSync(cluster.etcdConfig, etcdClientFile(cluster));
    for (const node of cluster.nodes) makeCgroup(node.cgroup);
  }
}

function nameRemotes({ clusters }: LabPlan, cluster: ClusterPlan): void {
  const remotes = clusters.filter((remote) => remote !== cluster);
  for (const remote of remotes) writeFileSync(join(cluster.remotes, remote.name), etcdClientFile(remote));
}

export async function startEtcds(lab: Lab, clusters: readonly ClusterPlan[]): Promise<void> {
  for (const cluster of clusters) startProgram(lab, cluster, etcdId(cluster));
  for (const cluster of clusters) {
    await waitFor(
      `etcd of ${cluster.name} answers`,
      ETCD_WITHIN_MS,
      async () => (await etcdAnswers(cluster)) || undefined,
    );
  }
}

async function waitForExporter(lab: Lab, cluster: ClusterPlan): Promise<void> {
  await waitFor(`the exporter of ${cluster.name} is synced`, SYNCED_WITHIN_MS, async () => {
    if (!lab.isRunning(exporterId(cluster))) throw new Error(`ended by itself: ${exporterId(cluster)}`);
    return (await exporterStatus(cluster))?.synced ? true : undefined;
  });
}

/** Starts whatever of the cluster's programs does not run. */
export function startCluster(lab: Lab, cluster: ClusterPlan): readonly string[] {
  const missing = programIds(cluster).filter((id) => !lab.isRunning(id));
  for (const id of missing) startProgram(lab, cluster, id);
  return missing;
}

/** Waits until every program of the cluster says that it is synced with all the others. Rejects at once when one of them ends. */
export async function waitForCluster(lab: Lab, cluster: ClusterPlan): Promise<void> {
  const remotes = lab.plan.clusters.filter((other) => other !== cluster);
  let missing = "";
  const ask = async (): Promise<true | undefined> => {
    const ended = programIds(cluster).filter((id) => !lab.isRunning(id));
    if (ended.length > 0) throw new Error(`ended by itself: ${ended.join(", ")}`);
    const exporter = await exporterStatus(cluster);
    const mirror = await mirrorStatus(cluster);
    const agents = await Promise.all(cluster.nodes.map((node) => agentStatus(cluster, node)));
    const names = [cluster, ...remotes].map(({ name }) => name);
    missing = unsynced(exporter, mirror, agents, names).join("; ");
    return missing === "" ? true : undefined;
  };
  await waitFor(`${cluster.name} is synced`, SYNCED_WITHIN_MS, ask, () => `(${missing})`);
}

/** What is not yet as it should be, in words; the first of `clusters` is the own. */
export function unsynced(
  exporter: ExporterStatus | undefined,
  mirror: MirrorStatus | undefined,
  agents: readonly (AgentStatus | undefined)[],
  clusters: readonly string[],
): readonly string[] {
  const [, ...remotes] = clusters;
  const isMirrored = (name: string): boolean =>
    mirror?.remotes.some((remote) => remote.name === name && remote.connected && remote.synced) === true;
  return [
    ...(exporter?.synced ? [] : [`exporter ${exporter === undefined ? "does not answer" : "is not synced"}`]),
    ...remotes.filter((name) => !isMirrored(name)).map((name) => `kvstoremesh has not mirrored ${name}`),
    ...agents.flatMap((agent, index) =>
      knowsAll(agent, clusters) ? [] : [`agent ${index + 1} does not know backends of all clusters`],
    ),
  ];
}

/** Whether the agent programs the tour's service with backends of every cluster. */
function knowsAll(agent: AgentStatus | undefined, clusters: readonly string[]): boolean {
  const hello = agent?.services.find((service) => service.namespace === "demo" && service.name === "hello");
  return (
    agent?.synced === true &&
    agent.connected &&
    clusters.every((name) => hello?.backends.some((backend) => backend.cluster === name && backend.used))
  );
}
