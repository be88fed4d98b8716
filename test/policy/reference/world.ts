// What a tuple is judged in, in the words of an operator, and who stands behind an address. No identity numbers: equal labels are one identity.
import { BlockList } from "node:net";

export type Direction = "ingress" | "egress";

export interface Pod {
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly serviceAccount: string;
  /** As the user wrote them. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of its namespace. */
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly namedPorts: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  readonly audit?: boolean;
  /** Its address is known and the labels of its identity are not. */
  readonly unlabelled?: boolean;
}

export interface Node {
  readonly cluster: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly podCidrs: readonly string[];
  readonly health?: readonly string[];
  readonly ingress?: readonly string[];
}

/** What a cluster says without the right to: nobody may believe it. */
export interface Lie {
  readonly cluster: string;
  /** An address of which the cluster says that it is a node's health or ingress address. */
  readonly address?: string;
  /** A range of which the cluster says that its pods are there. */
  readonly podCidr?: string;
}

export interface World {
  readonly own: string;
  /** Of the own cluster: where the endpoints are. */
  readonly thisNode: string;
  readonly defaultLocalCluster: boolean;
  readonly unknownEndpoints: "deny" | "allow";
  readonly clusters: readonly { readonly name: string; readonly id: number }[];
  readonly pods: readonly Pod[];
  readonly nodes: readonly Node[];
  readonly lies: readonly Lie[];
  /** Addresses of devices on this node behind which no pod is known: one list for each device. */
  readonly strangers: readonly (readonly string[])[];
  /** YAML, each file with one or more documents. */
  readonly policies: readonly { readonly file: string; readonly text: string }[];
}

/** A packet of a connection's original direction, at an endpoint. */
export interface Tuple {
  readonly direction: Direction;
  /** One of the endpoint's addresses; for egress what the packet says it comes from. */
  readonly address: string;
  /** `namespace/pod` of the own cluster on this node, or `stranger`. */
  readonly endpoint: string;
  readonly peer: string;
  readonly protocol: "TCP" | "UDP" | "SCTP" | "ICMP" | "ICMPv6" | "GRE";
  /** Destination port; for ICMP the message's type. */
  readonly port: number;
}

export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

export type Party =
  | { readonly kind: "pod"; readonly pod: Pod }
  | { readonly kind: "reserved"; readonly name: "host" | "remote-node" | "health" | "ingress" }
  | { readonly kind: "outside"; readonly address: string }
  /** Inside a cluster's pod CIDR, and no pod of any cluster. */
  | { readonly kind: "unknown" };

export const CLUSTER_LABEL = "io.cilium.k8s.policy.cluster";
export const NAMESPACE_LABEL = "io.kubernetes.pod.namespace";
export const NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels.";
const SERVICE_ACCOUNT_LABEL = "io.cilium.k8s.policy.serviceaccount";

export function isV6(address: string): boolean {
  return address.includes(":");
}

const blocks = new Map<string, BlockList>();

/** Whether `cidr` holds `address`; a v6 CIDR holds no v4 address. */
export function holds(cidr: string, address: string): boolean {
  if (isV6(cidr) !== isV6(address)) return false;
  const family = isV6(cidr) ? "ipv6" : "ipv4";
  let block = blocks.get(cidr);
  if (block === undefined) {
    const [network = "", bits = ""] = cidr.split("/");
    block = new BlockList();
    block.addSubnet(network, Number(bits), family);
    blocks.set(cidr, block);
  }
  return block.check(address, family);
}

/** Who of a cluster has an address. Pods before nodes. */
function partyOf(world: World, cluster: string, address: string): Party | undefined {
  const pod = world.pods.find((candidate) => candidate.cluster === cluster && candidate.addresses.includes(address));
  if (pod !== undefined) return { kind: "pod", pod };
  for (const node of world.nodes) {
    if (node.cluster !== cluster) continue;
    const here = node.cluster === world.own && node.name === world.thisNode;
    if (node.addresses.includes(address)) return { kind: "reserved", name: here ? "host" : "remote-node" };
    if (node.health?.includes(address)) return { kind: "reserved", name: "health" };
    if (node.ingress?.includes(address)) return { kind: "reserved", name: "ingress" };
  }
  return undefined;
}

/** Who has an address: of several clusters that claim it the own one, else the lowest id. */
export function partyAt(world: World, address: string): Party {
  const rank = ({ name, id }: World["clusters"][number]): number => (name === world.own ? 0 : id);
  for (const { name } of world.clusters.toSorted((left, right) => rank(left) - rank(right))) {
    const party = partyOf(world, name, address);
    if (party !== undefined) return party;
  }
  const claimed = world.nodes.some((node) => node.podCidrs.some((cidr) => holds(cidr, address)));
  return claimed ? { kind: "unknown" } : { kind: "outside", address };
}

const labelsOfPods = new WeakMap<Pod, readonly Label[]>();

/** What the control plane vouches for. A pod's own labels cannot say where it runs. */
export function labelsOfPod(pod: Pod): readonly Label[] {
  const known = labelsOfPods.get(pod);
  if (known !== undefined) return known;
  const labels = new Map<string, string>();
  for (const [key, value] of Object.entries(pod.labels)) {
    if (!key.startsWith("io.cilium.k8s") && !key.startsWith("io.kubernetes")) labels.set(key, value);
  }
  for (const [key, value] of Object.entries(pod.namespaceLabels)) labels.set(NAMESPACE_LABELS + key, value);
  labels.set(`${NAMESPACE_LABELS}kubernetes.io/metadata.name`, pod.namespace);
  labels.set(NAMESPACE_LABEL, pod.namespace);
  labels.set(CLUSTER_LABEL, pod.cluster);
  labels.set(SERVICE_ACCOUNT_LABEL, pod.serviceAccount);
  const list = [...labels].map(([key, value]) => ({ source: "k8s", key, value }));
  labelsOfPods.set(pod, list);
  return list;
}

const identityTexts = new WeakMap<Pod, string>();

/** Labels that are not known may be any: such a pod is like itself only. */
function identityText(pod: Pod): string {
  const known = identityTexts.get(pod);
  if (known !== undefined) return known;
  const texts = labelsOfPod(pod).map(({ key, value }) => `${key}=${value}`);
  const text = `${pod.unlabelled === true ? pod.name : ""} ${texts.sort().join(";")}`;
  identityTexts.set(pod, text);
  return text;
}

/** Pods that no policy can tell from this one: those of its identity. */
export function podsLike(world: World, pod: Pod): readonly Pod[] {
  return world.pods.filter((other) => other.cluster === pod.cluster && identityText(other) === identityText(pod));
}
