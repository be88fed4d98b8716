/** The lab's scheduler and kubelet: a pod is a process in a network namespace and a cgroup of its own. */

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeCgroup, removeCgroup } from "./cgroups.ts";
import { command } from "./command.ts";
import type { Lab } from "./lab.ts";
import { type InputObject, type InputPod, placedPod, publishObject, readInput, withdrawObject } from "./manifests.ts";
import { addNetns, podLines, runScript } from "./network.ts";
import { type ClusterPlan, FIRST_POD_HOST, type NodePlan, podAddresses, podNetns } from "./plan.ts";
import type { PodRecord } from "./state.ts";

/** Containers' commands are relative to this folder. */
const WORKING_DIRECTORY = fileURLToPath(new URL(".", import.meta.url));

/** The node with the fewest pods, and the first free address on it. */
export function place(
  cluster: ClusterPlan,
  pods: readonly PodRecord[],
): { readonly node: NodePlan; readonly host: number } {
  const on = (node: NodePlan): readonly PodRecord[] => pods.filter((pod) => pod.node === node.name);
  const [node] = [...cluster.nodes].sort((left, right) => on(left).length - on(right).length);
  if (node === undefined) throw new RangeError(`cluster ${cluster.name} has no node`);
  const taken = new Set(on(node).map((pod) => pod.addresses[0]));
  let host = FIRST_POD_HOST;
  while (taken.has(podAddresses(node, host)[0])) host++;
  return { node, host };
}

export async function startPod(lab: Lab, cluster: ClusterPlan, input: InputPod): Promise<PodRecord> {
  const pod = await buildPod(lab, cluster, input);
  announcePod(cluster, input, pod);
  return pod;
}

/** A pod that runs, and of which nobody has told the cluster. */
export async function buildPod(lab: Lab, cluster: ClusterPlan, input: InputPod): Promise<PodRecord> {
  const { node, host } = place(cluster, lab.pods);
  const addresses = podAddresses(node, host);
  const netns = podNetns(lab.plan, cluster.name, input.name);
  const cgroup = join(node.cgroup, input.name);
  const controlSocket = join(cluster.directory, `${input.name}.control`);
  const pod = {
    name: input.name,
    namespace: input.namespace,
    cluster: cluster.name,
    node: node.name,
    addresses,
    netns,
    cgroup,
    controlSocket,
  };
  lab.addPod(pod);
  makeCgroup(cgroup);
  await addNetns([netns]);
  await runScript({ netns: node.netns, lines: podLines(lab.plan, node, { netns, port: `pod${host}`, addresses }) });
  lab.start({
    id: processId(pod),
    netns,
    cgroup,
    argv: input.command,
    cwd: WORKING_DIRECTORY,
    env: podEnvironment(pod),
  });
  return pod;
}

/** @param isReady whether it is a backend. */
export function announcePod(cluster: ClusterPlan, input: InputObject, pod: PodRecord, isReady = true): void {
  publishObject(cluster, input, placedPod(input, { node: nodeOf(cluster, pod), addresses: pod.addresses, isReady }));
}

/** `node` in a command is the Node that runs the lab. */
export function podEnvironment(pod: PodRecord): Readonly<Record<string, string>> {
  return {
    PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`,
    POD_CLUSTER: pod.cluster,
    POD_NAME: pod.name,
    POD_NAMESPACE: pod.namespace,
    CONTROL_SOCKET: pod.controlSocket,
  };
}

export function processId(pod: PodRecord): string {
  return `${pod.cluster}/pod/${pod.name}`;
}

/** How long connections may last that were made to a pod just before nobody made new ones. */
export const GRACE_MS = 1_000;

/** The cluster knows it no more; its process goes on. */
export function withdrawPod(cluster: ClusterPlan, { namespace, name }: PodRecord): void {
  withdrawObject(cluster, { kind: "Pod", namespace, name });
}

/** It is no backend any more, and serves on: the world is to hear of it before it ends. */
export function retirePod(cluster: ClusterPlan, pod: PodRecord): void {
  const input = readInput(cluster.name).find(({ kind, name }) => kind === "Pod" && name === pod.name);
  if (input === undefined) throw new RangeError(`${cluster.name} has no manifest of ${pod.name}`);
  announcePod(cluster, input, pod, false);
}

export function nodeOf(cluster: ClusterPlan, pod: PodRecord): NodePlan {
  const node = cluster.nodes.find(({ name }) => name === pod.node);
  if (node === undefined) throw new RangeError(`${cluster.name} has no node ${pod.node}`);
  return node;
}

/** First the world is told, then the pod ends: its address is gone at once, as when a machine takes it away. */
export async function stopPod(lab: Lab, cluster: ClusterPlan, pod: PodRecord): Promise<void> {
  withdrawPod(cluster, pod);
  await removeCgroup(pod.cgroup);
  await command(["ip", "netns", "del", pod.netns]);
  lab.removePod(pod);
}
