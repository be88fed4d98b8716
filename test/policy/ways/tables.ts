// A world as an agent's tables would hold it: every policy through the product's parser, every pod with a numeric identity.
import assert from "node:assert/strict";
import { identityLabels } from "../../../src/export/labels.ts";
import { type Cluster, identityRange } from "../../../src/model/cluster.ts";
import type { EndpointDevice } from "../../../src/model/endpoint.ts";
import { RESERVED_IDENTITIES } from "../../../src/model/identity.ts";
import { type Policy, policyName } from "../../../src/model/policy.ts";
import type { Identity, NamedPort } from "../../../src/model/resource.ts";
import { AgentTables } from "../../../src/tables/agent-tables.ts";
import { LOCAL_KINDS, SHARED_KINDS, type SourceKind } from "../../../src/tables/tables-view.ts";
import { parseManifests } from "../../../src/wire/parse-manifests.ts";
import type { Lie, Node, Pod, World } from "../reference/world.ts";

const FIRST_IFINDEX = 100;

export interface PlacedDevice extends EndpointDevice {
  /** `namespace/pod`, or `stranger`. */
  readonly endpoint: string;
}

/** One device for each pod of this node and each stranger. */
export function devicesOf(world: World): readonly PlacedDevice[] {
  const here = world.pods.filter((pod) => pod.cluster === world.own && pod.node === world.thisNode);
  const ends = [
    ...here.map((pod) => ({ endpoint: `${pod.namespace}/${pod.name}`, addresses: [...pod.addresses].sort() })),
    ...world.strangers.map((addresses) => ({ endpoint: "stranger", addresses: [...addresses].sort() })),
  ];
  return ends.map((end, index) => ({ ...end, ifindex: FIRST_IFINDEX + index, name: `veth${index}` }));
}

const parsed = new WeakMap<World["policies"][number], readonly Policy[]>();

/** Every document must be one that the product takes. */
function policiesOfFile(file: World["policies"][number]): readonly Policy[] {
  const known = parsed.get(file);
  if (known !== undefined) return known;
  const { objects, problems, foreign } = parseManifests(file.file, file.text);
  assert.deepEqual([...problems, ...foreign], [], file.text);
  const policies = objects.map((object) => {
    assert(object.kind === "Policy");
    return object.policy;
  });
  parsed.set(file, policies);
  return policies;
}

export function policiesOf(world: World): readonly Policy[] {
  const policies = world.policies.flatMap(policiesOfFile);
  assert.equal(new Set(policies.map(policyName)).size, policies.length, "each policy once");
  return policies;
}

/** Numbers for label sets, in order of arrival, from the range of the cluster. Never given twice. */
export class IdentityNumbers {
  readonly #known = new Map<string, Identity>();
  readonly #next = new Map<number, number>();

  of(cluster: Cluster, pod: Pod): Identity {
    const labels = identityLabels(
      cluster.name,
      { namespace: pod.namespace, serviceAccount: pod.serviceAccount, labels: new Map(Object.entries(pod.labels)) },
      new Map(Object.entries(pod.namespaceLabels)),
    );
    const key = `${pod.unlabelled === true ? pod.name : ""} ${labels.map(({ key, value }) => `${key}=${value}`).join(";")}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const id = this.#next.get(cluster.id) ?? identityRange(cluster.id).first;
    this.#next.set(cluster.id, id + 1);
    const identity = { id, labels };
    this.#known.set(key, identity);
    return identity;
  }
}

function putPod(tables: AgentTables, cluster: Cluster, pod: Pod, numbers: IdentityNumbers): void {
  const identity = numbers.of(cluster, pod);
  if (pod.unlabelled !== true) tables.putIdentity(cluster, identity);
  const namedPorts = pod.namedPorts as readonly NamedPort[];
  const subject = { identity: identity.id, namespace: pod.namespace, podName: pod.name, namedPorts, hostAddress: "" };
  for (const address of pod.addresses) tables.putIp(cluster, address, subject);
  if (pod.audit === true) tables.putEndpoint({ namespace: pod.namespace, name: pod.name, audit: true });
}

function putNode(tables: AgentTables, cluster: Cluster, node: Node): void {
  const reserved = { health: node.health ?? [], ingress: node.ingress ?? [] };
  for (const [name, addresses] of Object.entries(reserved)) {
    const identity = RESERVED_IDENTITIES[name as "health" | "ingress"];
    for (const address of addresses) {
      tables.putIp(cluster, address, { identity, namespace: "", podName: "", namedPorts: [], hostAddress: "" });
    }
  }
  tables.putNode(cluster, {
    cluster: cluster.name,
    clusterId: cluster.id,
    name: node.name,
    addresses: node.addresses.map((address) => ({ type: "InternalIP", address })),
    podCidrs: node.podCidrs,
    reservedAddresses: [...reserved.health, ...reserved.ingress],
    labels: new Map(),
  });
}

function putLie(tables: AgentTables, cluster: Cluster, { address, podCidr }: Lie, index: number): void {
  const identity = RESERVED_IDENTITIES.health;
  if (address !== undefined)
    tables.putIp(cluster, address, { identity, namespace: "", podName: "", namedPorts: [], hostAddress: "" });
  const podCidrs = podCidr === undefined ? [] : [podCidr];
  putNode(tables, cluster, { cluster: cluster.name, name: `liar-${index}`, addresses: [], podCidrs });
}

/**
 * Lists the world into the tables: what is new or other is put, what is gone is swept, as after a listing of every source.
 * @param policies as `policiesOf`, or spoilt ones.
 */
export function listInto(
  tables: AgentTables,
  world: World,
  policies: readonly Policy[],
  numbers: IdentityNumbers,
): void {
  const clusters = new Map(world.clusters.map((cluster) => [cluster.name, cluster]));
  const clusterOf = (name: string): Cluster => {
    const cluster = clusters.get(name);
    assert(cluster !== undefined, `${name} is a cluster`);
    return cluster;
  };
  tables.mark();
  for (const pod of world.pods) putPod(tables, clusterOf(pod.cluster), pod, numbers);
  for (const node of world.nodes) putNode(tables, clusterOf(node.cluster), node);
  for (const [index, lie] of world.lies.entries()) putLie(tables, clusterOf(lie.cluster), lie, index);
  for (const policy of policies) tables.putPolicy(policy);
  const sweep = (cluster: Cluster, kind: SourceKind): void => {
    tables.sweep(cluster, kind);
    tables.setSynced(cluster.id, kind, true);
  };
  for (const cluster of world.clusters) for (const kind of SHARED_KINDS) sweep(cluster, kind);
  for (const kind of LOCAL_KINDS) sweep(clusterOf(world.own), kind);
  const here = world.nodes.find((node) => node.cluster === world.own && node.name === world.thisNode);
  const devices = devicesOf(world).map(({ ifindex, name, addresses }) => ({ ifindex, name, addresses }));
  tables.setNetwork({ devices, ownAddresses: [...(here?.addresses ?? [])].sort() });
}

export function emptyTables(world: World): AgentTables {
  const own = world.clusters.find(({ name }) => name === world.own);
  assert(own !== undefined, "the own cluster is among the clusters");
  const tables = new AgentTables(own);
  tables.setClusters(world.clusters);
  return tables;
}
