// The lab's pods as a world of the suite: placed and addressed by the lab's own rules, labelled by its own manifests.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { type InputObject, parseInput, readInput } from "../../../deploy/lab/manifests.ts";
import { type ClusterPlan, type NodePlan, planLab, podAddresses } from "../../../deploy/lab/plan.ts";
import { place } from "../../../deploy/lab/pods.ts";
import type { PodRecord } from "../../../deploy/lab/state.ts";
import type { Node, Pod, World } from "../reference/world.ts";
import type { Mesh } from "./case.ts";

export const LAB_NAME = "e2e-policy";
/** Names and addresses only: none of the paths is used. */
const PAPER = planLab(LAB_NAME, "");
const AUDIT = "policy.bulkhead.io/audit";

export const WORLD_ADDRESSES = ["203.0.113.7", "2001:db8::7"] as const;

interface PodBody {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly serviceAccountName?: string;
    readonly containers?: readonly {
      readonly ports?: readonly { readonly name: string; readonly containerPort: number; readonly protocol?: string }[];
    }[];
  };
}

/** What the cases need of a cluster beside what the lab starts by itself. */
export function morePods(cluster: string): readonly InputObject[] {
  const file = fileURLToPath(new URL(`../../../e2e/policy-pods/${cluster}.yaml`, import.meta.url));
  return parseInput(file, readFileSync(file, "utf8"));
}

function podOf(input: InputObject, where: PodRecord, namespaceLabels: Readonly<Record<string, string>>): Pod {
  const { metadata, spec } = input.body as PodBody;
  const ports = spec?.containers?.flatMap((container) => container.ports ?? []) ?? [];
  return {
    cluster: where.cluster,
    namespace: where.namespace,
    name: where.name,
    node: where.node,
    addresses: where.addresses,
    serviceAccount: spec?.serviceAccountName ?? "default",
    labels: metadata?.labels ?? {},
    namespaceLabels,
    namedPorts: ports.map(({ name, containerPort, protocol = "TCP" }) => ({ name, port: containerPort, protocol })),
    audit: metadata?.annotations?.[AUDIT] === "true",
  };
}

function podsOf(cluster: ClusterPlan): readonly Pod[] {
  const objects = [...readInput(cluster.name), ...morePods(cluster.name)];
  const labelsOf = (namespace: string): Readonly<Record<string, string>> => {
    const found = objects.find(({ kind, name }) => kind === "Namespace" && name === namespace);
    return (found?.body as PodBody | undefined)?.metadata?.labels ?? {};
  };
  const placed: PodRecord[] = [];
  return objects
    .filter(({ kind }) => kind === "Pod")
    .map((input) => {
      const { node, host } = place(cluster, placed);
      const addresses = podAddresses(node, host);
      const { name, namespace } = input;
      const nowhere = { netns: "", cgroup: "", controlSocket: "" };
      const record = { ...nowhere, name, namespace, cluster: cluster.name, node: node.name, addresses };
      placed.push(record);
      return podOf(input, record, labelsOf(namespace));
    });
}

const PODS = PAPER.clusters.flatMap(podsOf);

/** A node's own bridge is an address of the node, and only this node's agent knows it. */
function nodeOf(cluster: ClusterPlan, node: NodePlan, isHere: boolean): Node {
  return {
    cluster: cluster.name,
    name: node.name,
    addresses: isHere ? [...node.addresses, ...node.podGateways] : node.addresses,
    podCidrs: node.podCidrs,
  };
}

/** The lab as the agent of a node sees it. */
export function labMesh(node: string): Mesh {
  const own = PAPER.clusters.find(({ nodes }) => nodes.some(({ name }) => name === node));
  const here = own?.nodes.find(({ name }) => name === node);
  const other = own?.nodes.find(({ name }) => name !== node);
  const far = PAPER.clusters.find((cluster) => cluster !== own && cluster.name !== "amsterdam");
  if (own === undefined || here === undefined || other === undefined || far === undefined) throw new RangeError(node);
  const world: World = {
    own: own.name,
    thisNode: node,
    defaultLocalCluster: true,
    unknownEndpoints: "deny",
    clusters: PAPER.clusters.map(({ name, id }) => ({ name, id })),
    pods: PODS,
    nodes: PAPER.clusters.flatMap((cluster) => cluster.nodes.map((one) => nodeOf(cluster, one, one.name === node))),
    lies: [],
    strangers: [],
    policies: [],
  };
  const unknownAt = (at: NodePlan): readonly [string, string] => [
    at.podCidrs[0].replace(/0\/24$/, "77"),
    at.podCidrs[1].replace(/\/64$/, "77"),
  ];
  const places = {
    host: here.podGateways,
    "remote-node": other.addresses,
    "far-node": (far.nodes[0] as NodePlan).addresses,
    world: WORLD_ADDRESSES,
    hole: ["203.0.113.70", "2001:db8:bad::7"] as const,
    elsewhere: ["198.51.100.7", "2001:db9::7"] as const,
    unknown: unknownAt(other),
    "far-unknown": unknownAt(far.nodes[0] as NodePlan),
  };
  return { world, places };
}

/** The policies of a cluster's own manifests, each as one text. */
export function labPolicies(cluster: string): readonly string[] {
  return readInput(cluster)
    .filter(({ kind }) => kind.endsWith("NetworkPolicy"))
    .map(({ body }) => stringify(body));
}
