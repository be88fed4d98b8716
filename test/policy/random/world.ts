// A random mesh: three clusters, some thirty pods, of which ten are behind devices of the node we stand on.
import type { Node, Pod, World } from "../reference/world.ts";
import type { Choose } from "./choose.ts";
import { randomPolicy } from "./policies.ts";
import { ACCOUNTS, APPS, CLUSTERS, ENVS, NAMESPACES, PORT_NAMES, PORTS, PROTOCOLS, TIERS } from "./vocabulary.ts";

/** Where a node's pods are: cluster 1 to 3, node 0 or 1. */
interface Place {
  readonly cluster: number;
  readonly node: number;
  readonly pods: number;
}

const HERE: Place = { cluster: 1, node: 0, pods: 10 };
const PLACES: readonly Place[] = [
  HERE,
  { cluster: 1, node: 1, pods: 6 },
  { cluster: 2, node: 0, pods: 7 },
  { cluster: 3, node: 0, pods: 7 },
];
const LIES: World["lies"] = [
  { cluster: "osaka", address: "203.0.113.7" },
  { cluster: "virginia", address: "2001:db8::7" },
  { cluster: "osaka", podCidr: "10.1.0.0/16" },
  { cluster: "osaka", podCidr: "fd00:1::/80" },
  { cluster: "virginia", podCidr: "0.0.0.0/0" },
  { cluster: "virginia", podCidr: "2000::/15" },
];
const FIRST_HOST = 11;
const STRANGER = 250;

const nameOf = ({ cluster, node }: Place): string => `node-${cluster}-${node}`;
const v4Of = ({ cluster, node }: Place, host: number): string => `10.${cluster}.${node}.${host}`;
/** `host` in decimal digits: hexadecimal to the address, and as good. */
const v6Of = ({ cluster, node }: Place, host: number): string =>
  node === 0 ? `fd00:${cluster}::${host}` : `fd00:${cluster}:0:${node}::${host}`;

/** Addresses in the place's pod CIDRs that nobody has. */
export function unknownAddresses(): readonly string[] {
  return PLACES.flatMap((place) => [v4Of(place, 200), v6Of(place, 200)]);
}

function nodeAt(place: Place): Node {
  const { cluster, node } = place;
  return {
    cluster: CLUSTERS[cluster - 1] ?? "",
    name: nameOf(place),
    addresses: [`192.168.${cluster}.${node + 1}`, `fd01:${cluster}::${node + 1}`],
    podCidrs: [v4Of(place, 0), v6Of(place, 0).replace(/0$/, "")].map((address) =>
      address.includes(":") ? `${address}/64` : `${address}/24`,
    ),
    health: [v4Of(place, 240), v6Of(place, 240)],
    ingress: [v4Of(place, 241), v6Of(place, 241)],
  };
}

export function podLabels(choose: Choose): Record<string, string> {
  return {
    ...(choose.chance(85) ? { app: choose.one(APPS) } : {}),
    ...(choose.chance(50) ? { tier: choose.one(TIERS) } : {}),
    // Forged: nobody may believe these.
    ...(choose.chance(5) ? { "io.cilium.k8s.policy.cluster": choose.one(CLUSTERS) } : {}),
    ...(choose.chance(5) ? { "io.kubernetes.pod.namespace": choose.one(NAMESPACES) } : {}),
  };
}

export function namedPorts(choose: Choose): Pod["namedPorts"] {
  const names = choose.chance(60) ? choose.some(PORT_NAMES, 3) : [];
  return names.map((name) => ({ name, port: choose.one(PORTS), protocol: choose.one(PROTOCOLS) }));
}

function podsAt(choose: Choose, place: Place, environments: Readonly<Record<string, Record<string, string>>>): Pod[] {
  const cluster = CLUSTERS[place.cluster - 1] ?? "";
  return Array.from({ length: place.pods }, (_, index): Pod => {
    const namespace = choose.one(NAMESPACES);
    return {
      cluster,
      namespace,
      name: `pod-${place.cluster}-${place.node}-${index}`,
      node: nameOf(place),
      serviceAccount: choose.one(ACCOUNTS),
      labels: podLabels(choose),
      namespaceLabels: environments[`${cluster} ${namespace}`] ?? {},
      addresses: [v4Of(place, FIRST_HOST + index), v6Of(place, FIRST_HOST + index)],
      namedPorts: namedPorts(choose),
      audit: choose.chance(8),
      unlabelled: place !== HERE && choose.chance(4),
    };
  });
}

/** One document, named as its file. JSON is YAML. */
export function policyFile(choose: Choose, file: string): World["policies"][number] {
  return { file, text: JSON.stringify(randomPolicy(choose, file)) };
}

export function randomWorld(choose: Choose): World {
  const environments: Record<string, Record<string, string>> = {};
  for (const cluster of CLUSTERS) {
    for (const namespace of NAMESPACES) {
      environments[`${cluster} ${namespace}`] = choose.chance(80) ? { env: choose.one(ENVS) } : {};
    }
  }
  return {
    own: "amsterdam",
    thisNode: nameOf(HERE),
    defaultLocalCluster: choose.chance(60),
    unknownEndpoints: choose.chance(80) ? "deny" : "allow",
    clusters: CLUSTERS.map((name, index) => ({ name, id: index + 1 })),
    pods: PLACES.flatMap((place) => podsAt(choose, place, environments)),
    nodes: PLACES.map(nodeAt),
    lies: LIES.filter(() => choose.chance(50)),
    strangers: [[v4Of(HERE, STRANGER), v6Of(HERE, STRANGER)]],
    policies: choose.list(5, 12, (index) => policyFile(choose, `policy-${index}`)),
  };
}
