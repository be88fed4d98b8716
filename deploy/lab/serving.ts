/** Who serves the tour's services: the pods that run, against what every node's kernel holds. */

import type { Lab } from "./lab.ts";
import { waitFor } from "./lab.ts";
import { kernelBackends } from "./maps.ts";
import type { NodePlan } from "./plan.ts";
import type { PodRecord } from "./state.ts";

const PORT = 8080;
const AGREE_WITHIN_MS = 60_000;

/** The pod as the maps have it. */
export function backendOf(pod: PodRecord): string {
  return `${pod.addresses[0]}:${PORT}`;
}

/** One of the tour's; other pods may serve too, or not. */
function isServer(pod: PodRecord): boolean {
  return pod.name.startsWith("hello-");
}

/** Backends of ours that the node lacks, or has although their pod is gone; in words, empty when it agrees. */
export async function disagreements(lab: Lab, node: NodePlan): Promise<readonly string[]> {
  const held = await kernelBackends(node);
  const wanted = new Map(lab.pods.filter(isServer).map((pod) => [backendOf(pod), `${pod.cluster}/${pod.name}`]));
  const running = new Set(lab.pods.flatMap(({ addresses }) => addresses));
  const isStale = (backend: string): boolean => !running.has(backend.slice(0, backend.lastIndexOf(":")));
  const stale = [...held].filter((backend) => isRealPod(lab, backend) && isStale(backend));
  const missing = [...wanted].filter(([backend]) => !held.has(backend));
  return [
    ...missing.map(([backend, pod]) => `${node.name} lacks ${pod} (${backend})`),
    ...stale.map((backend) => `${node.name} still has ${backend}`),
  ];
}

/** Whether the backend is, or was, a pod with a process: generated ones live in CIDRs of their own. */
function isRealPod(lab: Lab, backend: string): boolean {
  const prefixes = lab.plan.clusters.flatMap(({ nodes }) =>
    nodes.map(({ podCidrs }) => podCidrs[0].replace(/0\/24$/, "")),
  );
  return prefixes.some((prefix) => backend.startsWith(prefix));
}

/** Waits until every node of the lab has exactly the pods that run. */
export async function waitForServing(lab: Lab): Promise<void> {
  let found: readonly string[] = [];
  const nodes = lab.plan.clusters.flatMap((cluster) => cluster.nodes);
  await waitFor(
    "every node's maps have the pods that run",
    AGREE_WITHIN_MS,
    async () => {
      found = (await Promise.all(nodes.map((node) => disagreements(lab, node)))).flat();
      return found.length === 0 ? true : undefined;
    },
    () => `(${found.join("; ")})`,
  );
}
