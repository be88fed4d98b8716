/**
 * The lab on paper (pure): which clusters, nodes, addresses, names and paths. Everything that is built, and everything that `down`
 * looks for after a crash, follows from the lab's name.
 */
import { join } from "node:path";

/** A lab's name starts the name of everything it makes; no dot, so that no name is the beginning of another's. */
const LAB_NAME = /^[a-z][a-z0-9-]{0,19}$/;
const NODES_PER_CLUSTER = 2;
const CLUSTERS = ["amsterdam", "osaka", "virginia"] as const;
const PKI = "pki";
const RUN_ROOT = "/run/bulkhead";
/** fd + "lab": unique local addresses. */
const V6 = "fd6c:6162";

export const ETCD_PORT = 2379;
/** Host part of the first pod of a node; below it are the gateway and room to grow. */
export const FIRST_POD_HOST = 10;
/** What every route covers: node addresses of all clusters, the whole of IPv6 here. */
export const NODE_CIDRS = ["172.16.0.0/16", `${V6}::/64`] as const;

export interface NodePlan {
  /** Kubernetes name: `amsterdam-1`. */
  readonly name: string;
  readonly number: number;
  readonly netns: string;
  /** v4, then v6; the same order in every pair below. */
  readonly addresses: Pair;
  readonly podCidrs: Pair;
  readonly podGateways: Pair;
  readonly cgroup: string;
  readonly bpfDirectory: string;
}

export type Pair = readonly [v4: string, v6: string];

export interface ClusterPlan {
  readonly name: string;
  readonly id: number;
  readonly nodes: readonly NodePlan[];
  readonly serviceCidrs: Pair;
  /** All pods of the cluster, generated ones too. */
  readonly podCidrs: Pair;
  /** Addresses of generated pods: no process behind them. */
  readonly paperCidrs: Pair;
  readonly directory: string;
  readonly manifests: string;
  readonly remotes: string;
  /** How to reach its etcd, where that asks for no certificate. */
  readonly etcdConfig: string;
  /** Its certificates, and client files with them; there only in a lab with `--secure`. */
  readonly credentials: string;
}

export interface LabPlan {
  readonly name: string;
  readonly clusters: readonly ClusterPlan[];
  /** `--run-dir` of every program: sockets, manifests, configs, logs, bpffs. */
  readonly runDirectory: string;
  readonly stateFile: string;
  readonly bpfDirectory: string;
  /** Of a lab with `--secure`: the mesh's authority, and a folder a cluster. */
  readonly pki: string;
  readonly logs: string;
  /** Of each process a file with its pid. */
  readonly pids: string;
  readonly cgroup: string;
  readonly wanNetns: string;
  readonly netnsPrefix: string;
  /** Name of the folder with the etcds' data, below /dev/shm or a temporary folder. */
  readonly dataFolder: string;
}

/** Why `name` cannot name a lab, or undefined when it can. */
export function labNameFault(name: string): string | undefined {
  return LAB_NAME.test(name) ? undefined : "must be 1 to 20 of a-z, 0-9 and '-', a letter first";
}

/** @param cgroupRoot where cgroup2 is mounted. */
export function planLab(name: string, cgroupRoot: string): LabPlan {
  const runDirectory = join(RUN_ROOT, name);
  const base = { name, runDirectory, cgroup: join(cgroupRoot, `bulkhead-lab-${name}`), netnsPrefix: `${name}.` };
  return {
    ...base,
    clusters: CLUSTERS.map((cluster, index) => planCluster(base, cluster, index + 1)),
    stateFile: join(runDirectory, "state.json"),
    bpfDirectory: join(runDirectory, "bpf"),
    pki: join(runDirectory, PKI),
    logs: join(runDirectory, "logs"),
    pids: join(runDirectory, "pids"),
    wanNetns: `${name}.wan`,
    dataFolder: `bulkhead-lab-${name}`,
  };
}

type Base = Pick<LabPlan, "name" | "runDirectory" | "cgroup" | "netnsPrefix">;

function planCluster(lab: Base, name: string, id: number): ClusterPlan {
  const directory = join(lab.runDirectory, name);
  const numbers = Array.from({ length: NODES_PER_CLUSTER }, (_, index) => index + 1);
  return {
    name,
    id,
    nodes: numbers.map((number) => planNode(lab, name, id, number)),
    serviceCidrs: [`10.${100 + id}.0.0/16`, `${V6}:f00${id}::/64`],
    podCidrs: [`10.${id}.0.0/16`, `${V6}:${id}::/48`],
    paperCidrs: [`10.${id}.128.0/17`, `${V6}:${id}:ff::/64`],
    directory,
    manifests: join(directory, "manifests"),
    remotes: join(directory, "remotes"),
    etcdConfig: join(directory, "etcd.yaml"),
    credentials: join(lab.runDirectory, PKI, name),
  };
}

function planNode(lab: Base, cluster: string, id: number, number: number): NodePlan {
  const name = `${cluster}-${number}`;
  return {
    name,
    number,
    netns: `${lab.netnsPrefix}${name}`,
    addresses: [`172.16.${id}.${number}`, `${V6}::${id}:${number}`],
    podCidrs: [`10.${id}.${number}.0/24`, `${V6}:${id}:${number}::/64`],
    podGateways: [`10.${id}.${number}.1`, `${V6}:${id}:${number}::1`],
    cgroup: join(lab.cgroup, cluster, name),
    bpfDirectory: join(lab.runDirectory, "bpf", cluster, name),
  };
}

/** Addresses of the pod with this host part (decimal digits in both families, so that a person sees they belong together). */
export function podAddresses(node: NodePlan, host: number): Pair {
  const [v4, v6] = node.podCidrs;
  return [v4.replace(/0\/24$/, String(host)), v6.replace(/\/64$/, String(host))];
}

/** Addresses of the generated pod number `index`, from 0 to 32,000. */
export function paperAddresses(cluster: ClusterPlan, index: number): Pair {
  const high = 128 + Math.floor(index / 250);
  const low = 1 + (index % 250);
  return [`10.${cluster.id}.${high}.${low}`, `${V6}:${cluster.id}:ff::${(index + 1).toString(16)}`];
}

export function podNetns(lab: Pick<LabPlan, "netnsPrefix">, cluster: string, pod: string): string {
  return `${lab.netnsPrefix}${cluster}.${pod}`;
}

/** The node on which the cluster's etcd, exporter and kvstoremesh run. */
export function etcdNode(cluster: ClusterPlan): NodePlan {
  const node = cluster.nodes[0];
  if (node === undefined) throw new RangeError(`cluster ${cluster.name} has no node`);
  return node;
}

export function clusterPlan(lab: LabPlan, name: string): ClusterPlan {
  const cluster = lab.clusters.find((candidate) => candidate.name === name);
  if (cluster === undefined) throw new RangeError(`the lab has no cluster ${name}`);
  return cluster;
}
