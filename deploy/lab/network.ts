/**
 * The lab's network: a namespace per node and per pod, a bridge of pods in each node, and all nodes on one wan bridge in a namespace of
 * its own. No namespace has a default route or a device of the host: no packet can leave the lab.
 */
import { command, inNetns } from "./command.ts";
import { type LabPlan, NODE_CIDRS, type NodePlan, type Pair } from "./plan.ts";

/** Before the first device is made: addresses usable at once, packets forwarded. */
const PREPARE = [
  "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad",
  "echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad",
  "echo 1 > /proc/sys/net/ipv4/ip_forward",
  "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
  "ip link set lo up",
];

/** A shell script per namespace, run inside it, in this order. */
export interface NetworkScript {
  readonly netns: string;
  readonly lines: readonly string[];
}

export function networkScripts(lab: LabPlan): readonly NetworkScript[] {
  const nodes = lab.clusters.flatMap((cluster) => cluster.nodes);
  return [
    { netns: lab.wanNetns, lines: [...PREPARE, "ip link add wan type bridge", "ip link set wan up"] },
    ...nodes.map((node) => ({ netns: node.netns, lines: nodeLines(lab, node) })),
  ];
}

function nodeLines(lab: LabPlan, node: NodePlan): readonly string[] {
  const others = lab.clusters.flatMap((cluster) => cluster.nodes).filter((other) => other !== node);
  const wanPort = `ip -n ${lab.wanNetns} link set ${node.name}`;
  return [
    ...PREPARE,
    `ip link add eth0 type veth peer name ${node.name} netns ${lab.wanNetns}`,
    `${wanPort} master wan`,
    `${wanPort} up`,
    "ip link set eth0 up",
    `ip addr add ${node.addresses[0]}/16 dev eth0`,
    `ip addr add ${node.addresses[1]}/64 dev eth0`,
    // Of its own accord a bridge takes the lowest address of its ports, and changes it as pods come and go.
    `ip link add pods address ${macOf(node.podGateways[0])} type bridge`,
    "ip link set pods up",
    `ip addr add ${node.podGateways[0]}/24 dev pods`,
    `ip addr add ${node.podGateways[1]}/64 dev pods`,
    ...others.flatMap((other) =>
      pairwise((side) => `ip route add ${other.podCidrs[side]} via ${other.addresses[side]}`),
    ),
    ...unreachable(lab.clusters.flatMap((cluster) => [...cluster.serviceCidrs, ...cluster.paperCidrs])),
  ];
}

/** What makes a pod's namespace: run inside the node's. `port` names the host side of the veth. */
export function podLines(
  lab: LabPlan,
  node: NodePlan,
  pod: { netns: string; port: string; addresses: Pair },
): readonly string[] {
  const inside = `ip -n ${pod.netns}`;
  return [
    `ip link add ${pod.port} type veth peer name eth0 address ${macOf(pod.addresses[0])} netns ${pod.netns}`,
    `ip link set ${pod.port} master pods`,
    `ip link set ${pod.port} up`,
    `${inside} link set lo up`,
    `${inside} link set eth0 up`,
    `${inside} addr add ${pod.addresses[0]}/24 dev eth0`,
    `${inside} addr add ${pod.addresses[1]}/64 dev eth0 nodad`,
    ...[NODE_CIDRS, ...lab.clusters.map((cluster) => cluster.podCidrs)].flatMap((cidrs) =>
      pairwise((side) => `${inside} route add ${cidrs[side]} via ${node.podGateways[side]}`),
    ),
    ...unreachable(lab.clusters.flatMap((cluster) => cluster.serviceCidrs)).map((line) => line.replace(/^ip/, inside)),
  ];
}

/** By its address: whoever gets the address of an earlier pod is not looked for at the earlier one's. */
function macOf(v4: string): string {
  return ["0a", "58", ...v4.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"))].join(":");
}

function pairwise(line: (side: 0 | 1) => string): readonly string[] {
  return [line(0), line(1)];
}

function unreachable(cidrs: readonly string[]): readonly string[] {
  return cidrs.map((cidr) => `ip route add unreachable ${cidr}`);
}

export async function addNetns(names: readonly string[]): Promise<void> {
  await command(["ip", "-batch", "-"], { input: names.map((name) => `netns add ${name}\n`).join("") });
}

export async function runScript(script: NetworkScript): Promise<void> {
  await command(inNetns(script.netns, ["sh", "-e"]), { input: `${script.lines.join("\n")}\n` });
}

export async function buildNetwork(lab: LabPlan): Promise<void> {
  const scripts = networkScripts(lab);
  await addNetns(scripts.map((script) => script.netns));
  for (const script of scripts) await runScript(script);
}
