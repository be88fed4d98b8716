/** The lab with what the policy cases need: more pods, senders outside of the pods, a wide world, policies, and the agents' word on packets. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { command, inNetns } from "../deploy/lab/command.ts";
import { Lab, waitFor } from "../deploy/lab/lab.ts";
import { inputPod, publishObject, publishText, withdrawObject } from "../deploy/lab/manifests.ts";
import { runScript } from "../deploy/lab/network.ts";
import { type ClusterPlan, clusterPlan, type LabPlan, type NodePlan } from "../deploy/lab/plan.ts";
import { startPod } from "../deploy/lab/pods.ts";
import { agentStatus } from "../deploy/lab/programs.ts";
import { askClient } from "../deploy/lab/workload/ask.ts";
import { FLOWS_PATH } from "../src/flows/flows.ts";
import { EXPLAIN_PATH, type ExplainAnswer, type ExplainedDirection, explainQuery } from "../src/model/explain.ts";
import type { Flow } from "../src/model/flow.ts";
import type { AgentStatus } from "../src/model/status.ts";
import { askSocket, followSocket } from "../src/serve/ask.ts";
import { morePods, WORLD_ADDRESSES } from "../test/policy/cases/lab-world.ts";
import type { Tuple } from "../test/policy/reference/world.ts";

const PEER = fileURLToPath(new URL("policy-peer.ts", import.meta.url));
const ANSWER_TIMEOUT_MS = 5_000;
export const WITHIN_MS = 20_000;
/** Outside of the clusters; only the first of each family leads anywhere. */
const OUTSIDE = [
  ["203.0.113.0/24", "198.51.100.0/24"],
  ["2001:db8::/32", "2001:db9::/32"],
] as const;

/** Whoever can send: a client pod, a node, the wide world. */
export interface Sender {
  readonly netns: string;
  readonly controlSocket: string;
}

export interface Ends {
  readonly from: string;
  readonly to: string;
}

/** Where a tuple's packet comes from and goes to. */
export function endsOf({ direction, address, peer }: Tuple): Ends {
  return direction === "ingress" ? { from: peer, to: address } : { from: address, to: peer };
}

export class PolicyLab {
  readonly lab: Lab;
  readonly #senders = new Map<string, Sender>();
  #policyFiles: readonly { readonly cluster: ClusterPlan; readonly file: string }[] = [];

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  /** Adds to a lab that is up. */
  static async extend(plan: LabPlan): Promise<PolicyLab> {
    const scene = new PolicyLab(Lab.open(plan, "up"));
    for (const cluster of plan.clusters) await scene.#startPods(cluster);
    await scene.#openWorld();
    const nodes = plan.clusters.flatMap((cluster) => cluster.nodes);
    for (const node of nodes) scene.#startPeer(node.name, node.netns, [...node.addresses, ...node.podGateways]);
    scene.#startPeer("world", plan.wanNetns, WORLD_ADDRESSES);
    for (const pod of scene.lab.pods) for (const address of pod.addresses) scene.#senders.set(address, pod);
    // The tour's: every scenario brings all of its policies itself.
    withdrawObject(scene.cluster("osaka"), { kind: "CiliumNetworkPolicy", namespace: "demo", name: "ledger" });
    await scene.setPolicies("osaka", []);
    await scene.#waitForEndpoints();
    return scene;
  }

  cluster(name: string): ClusterPlan {
    return clusterPlan(this.lab.plan, name);
  }

  node(name: string): { readonly cluster: ClusterPlan; readonly node: NodePlan } {
    for (const cluster of this.lab.plan.clusters) {
      const node = cluster.nodes.find((candidate) => candidate.name === name);
      if (node !== undefined) return { cluster, node };
    }
    throw new RangeError(`the lab has no node ${name}`);
  }

  async status(node: string): Promise<AgentStatus | undefined> {
    const at = this.node(node);
    return await agentStatus(at.cluster, at.node);
  }

  /** These and no other policies in the whole lab, as every agent says. */
  async setPolicies(clusterName: string, policies: readonly string[]): Promise<void> {
    const cluster = this.cluster(clusterName);
    const files = policies.map((text, index) => ({ cluster, text, file: `policy-${index}.yaml` }));
    // A file that stays is never gone in between: without its policies a cluster is open.
    for (const { file, text } of files) publishText(cluster, file, text);
    for (const before of this.#policyFiles) {
      const stays = files.some(({ file }) => file === before.file && cluster === before.cluster);
      if (!stays) rmSync(join(before.cluster.manifests, before.file), { force: true });
    }
    this.#policyFiles = files;
    for (const { name, nodes } of this.lab.plan.clusters) {
      const wanted = name === clusterName ? policies.length : 0;
      for (const node of nodes) {
        await waitFor(`${node.name} has ${wanted} policies`, WITHIN_MS, async () =>
          (await this.status(node.name))?.policies.length === wanted ? true : undefined,
        );
      }
    }
  }

  /** What the agent of an endpoint's node says of a packet, compiled and in the kernel; undefined: not (yet) that endpoint's agent. */
  async explain(nodeName: string, tuple: Tuple): Promise<ExplainedDirection | undefined> {
    const { from, to } = endsOf(tuple);
    const question = explainQuery({
      from: { kind: "address", address: from },
      to: { kind: "address", address: to },
      port: { protocol: tuple.protocol as "TCP", port: tuple.port },
    });
    const answer = (await this.#ask(nodeName, EXPLAIN_PATH, question)) as ExplainAnswer;
    return answer.directions.find(({ direction }) => direction === tuple.direction);
  }

  #socket(nodeName: string): string {
    return join(this.node(nodeName).cluster.directory, `agent-${nodeName}.sock`);
  }

  #ask(nodeName: string, path: string, query: Readonly<Record<string, string>>): Promise<unknown> {
    return askSocket(this.#socket(nodeName), path, ANSWER_TIMEOUT_MS, query);
  }

  /** Everything that the node's agent keeps of flows since a moment. */
  async flows(nodeName: string, sinceMs: number): Promise<readonly Flow[]> {
    const since = new Date(sinceMs).toISOString();
    const found: Flow[] = [];
    const lines = followSocket(this.#socket(nodeName), FLOWS_PATH, ANSWER_TIMEOUT_MS, {}, new AbortController().signal);
    for await (const flow of lines) if ((flow as Flow).time >= since) found.push(flow as Flow);
    return found;
  }

  sender(address: string): Sender {
    const sender = this.#senders.get(address);
    if (sender === undefined) throw new RangeError(`nobody of the lab has ${address}`);
    return sender;
  }

  /** One real packet or connection: who answered (for a ping, anybody), or undefined when nobody did. */
  async send(tuple: Tuple): Promise<string | undefined> {
    const { from, to } = endsOf(tuple);
    const { netns, controlSocket } = this.sender(from);
    if (tuple.protocol.startsWith("ICMP")) return await ping(netns, to);
    const protocol = tuple.protocol === "TCP" ? "tcp" : "udp";
    const target = { address: to, port: tuple.port, protocol } as const;
    const { answers } = await askClient(controlSocket, { kind: "burst", target, count: 1, concurrency: 1 });
    return Object.keys(answers)[0];
  }

  async #startPods(cluster: ClusterPlan): Promise<void> {
    for (const object of morePods(cluster.name)) {
      if (object.kind === "Pod") await startPod(this.lab, cluster, inputPod(object));
      else publishObject(cluster, object, object.body);
    }
  }

  #startPeer(name: string, netns: string, addresses: readonly string[]): void {
    const controlSocket = join(this.lab.plan.runDirectory, `${name}.control`);
    this.lab.start({
      id: `peer/${name}`,
      netns,
      cgroup: join(this.lab.plan.cgroup, "programs"),
      argv: [process.execPath, PEER],
      env: { CONTROL_SOCKET: controlSocket, POD_CLUSTER: "peer", POD_NAME: name },
    });
    for (const address of addresses) this.#senders.set(address, { netns, controlSocket });
  }

  /** An address of no cluster on the wan, the nodes' ways there, and every pod's to its node. */
  async #openWorld(): Promise<void> {
    const { plan } = this.lab;
    const nodes = plan.clusters.flatMap((cluster) => cluster.nodes);
    const [v4, v6] = WORLD_ADDRESSES;
    const backs = nodes.flatMap(({ addresses, podCidrs }) =>
      ([0, 1] as const).map((side) => `ip route add ${podCidrs[side]} via ${addresses[side]} dev wan`),
    );
    const wan = [`ip addr add ${v4}/32 dev wan`, `ip addr add ${v6}/128 dev wan nodad`];
    const links = ["ip route add 172.16.0.0/16 dev wan", "ip route add fd6c:6162::/64 dev wan"];
    await runScript({ netns: plan.wanNetns, lines: [...wan, ...links, ...backs] });
    for (const { netns } of nodes) {
      await runScript({ netns, lines: OUTSIDE.map(([cidr]) => `ip route add ${cidr} dev eth0`) });
    }
    for (const pod of this.lab.pods) await this.openWorldTo(pod.netns, this.node(pod.node).node);
  }

  async openWorldTo(netns: string, { podGateways }: NodePlan): Promise<void> {
    const lines = OUTSIDE.flatMap((cidrs, side) =>
      cidrs.map((cidr) => `ip route replace ${cidr} via ${podGateways[side]}`),
    );
    await runScript({ netns, lines });
  }

  async #waitForEndpoints(): Promise<void> {
    for (const { nodes } of this.lab.plan.clusters) {
      for (const { name } of nodes) {
        const pods = this.lab.pods.filter(({ node }) => node === name).length;
        await waitFor(`${name} knows its ${pods} endpoints`, WITHIN_MS, async () =>
          (await this.status(name))?.endpoints.filter(({ pod }) => pod !== undefined).length === pods
            ? true
            : undefined,
        );
      }
    }
  }
}

/** "echo", or undefined. */
export async function ping(netns: string, address: string, more: readonly string[] = []): Promise<string | undefined> {
  const argv = inNetns(netns, ["ping", "-n", "-c1", "-W1", ...more, address]);
  return / 1 received/.test(await command(argv, { codes: [0, 1] })) ? "echo" : undefined;
}
