// Random policy documents over everything that is enforced; each of them must be taken by the parser.
import type { Raw } from "../reference/documents.ts";
import { holds } from "../reference/world.ts";
import type { Choose } from "./choose.ts";
import {
  ACCOUNTS,
  APPS,
  CLUSTERS,
  ENVS,
  NAMESPACES,
  PORT_NAMES,
  PORTS,
  PROTOCOLS,
  TIERS,
  V4_RANGES,
  V6_RANGES,
} from "./vocabulary.ts";

type Vocabulary = readonly (readonly [key: string, values: readonly string[], weight: number])[];

const POD_KEYS: Vocabulary = [
  ["app", APPS, 60],
  ["tier", TIERS, 30],
];
const NAMESPACE_KEYS: Vocabulary = [
  ["env", ENVS, 60],
  ["kubernetes.io/metadata.name", NAMESPACES, 30],
];
const CLUSTER_KEYS: Vocabulary = [["io.cilium.k8s.policy.cluster", CLUSTERS, 25]];
const CILIUM_POD_KEYS: Vocabulary = [...POD_KEYS, ["k8s:app", APPS, 20], ["any:tier", TIERS, 10]];
const CILIUM_PEER_KEYS: Vocabulary = [
  ...CILIUM_POD_KEYS,
  ["k8s:io.kubernetes.pod.namespace", NAMESPACES, 20],
  ["io.kubernetes.pod.namespace", NAMESPACES, 10],
  ["any:io.cilium.k8s.namespace.labels.env", ENVS, 15],
  ["k8s:io.cilium.k8s.policy.cluster", CLUSTERS, 25],
  ["io.cilium.k8s.policy.cluster", CLUSTERS, 10],
  ["io.cilium.k8s.policy.serviceaccount", ACCOUNTS, 15],
];
const RESERVED = ["host", "remote-node", "health", "ingress"] as const;
const ENTITIES = [
  "all",
  "world",
  "world-ipv4",
  "world-ipv6",
  "cluster",
  "host",
  "remote-node",
  "health",
  "ingress",
  "init",
  "unmanaged",
  "none",
] as const;

/** Up to `most` requirements over different keys. */
function selector(choose: Choose, vocabulary: Vocabulary, most: number): Raw {
  const matchLabels: Record<string, string> = {};
  const matchExpressions: Raw[] = [];
  const weights = Object.fromEntries(vocabulary.map(([key, , weight]) => [key, weight]));
  const keys = new Set(choose.list(0, most, () => choose.weighted(weights)));
  for (const key of keys) {
    const values = vocabulary.find(([name]) => name === key)?.[1] ?? [];
    const operator = choose.weighted({ equal: 60, In: 15, NotIn: 10, Exists: 10, DoesNotExist: 5 });
    if (operator === "equal") matchLabels[key] = choose.one(values);
    else {
      const listed = operator === "In" || operator === "NotIn";
      matchExpressions.push({ key, operator, ...(listed ? { values: choose.some(values, 2) } : {}) });
    }
  }
  return {
    ...(Object.keys(matchLabels).length > 0 ? { matchLabels } : {}),
    ...(matchExpressions.length > 0 ? { matchExpressions } : {}),
  };
}

function peerSelector(choose: Choose): Raw {
  if (!choose.chance(6)) return selector(choose, CILIUM_PEER_KEYS, 3);
  const key = `reserved:${choose.one(RESERVED)}`;
  return choose.chance(50) ? { matchLabels: { [key]: "" } } : { matchExpressions: [{ key, operator: "Exists" }] };
}

function bits(range: string): number {
  return Number(range.split("/")[1]);
}

function range(choose: Choose): string {
  return choose.chance(55) ? choose.one<string>(V4_RANGES) : choose.one<string>(V6_RANGES);
}

function rangeWithHoles(choose: Choose): Raw {
  const cidr = range(choose);
  const inside = [...V4_RANGES, ...V6_RANGES].filter((hole) => {
    return bits(hole) > bits(cidr) && holds(cidr, hole.split("/")[0] ?? "");
  });
  return inside.length > 0 && choose.chance(70) ? { cidr, except: choose.some(inside, 3) } : { cidr };
}

function kubernetesPeer(choose: Choose): Raw {
  const form = choose.weighted({ pods: 35, namespaces: 20, both: 25, block: 20 });
  if (form === "block") return { ipBlock: rangeWithHoles(choose) };
  const podSelector = selector(choose, [...POD_KEYS, ...CLUSTER_KEYS], 2);
  if (form === "pods") return { podSelector };
  const namespaceSelector = selector(choose, NAMESPACE_KEYS, 2);
  return form === "namespaces" ? { namespaceSelector } : { podSelector, namespaceSelector };
}

/** First and last: a single port half of the time. */
function span(choose: Choose): readonly [number, number] {
  const first = choose.one(PORTS);
  const last = choose.chance(50) ? first : choose.one(PORTS);
  return first <= last ? [first, last] : [last, first];
}

function kubernetesPort(choose: Choose): Raw {
  const protocol = choose.chance(30) ? {} : { protocol: choose.one(PROTOCOLS) };
  const form = choose.weighted({ numbers: 60, name: 30, protocol: 10 });
  if (form === "name") return { ...protocol, port: choose.one(PORT_NAMES) };
  if (form === "protocol") return protocol;
  const [port, endPort] = span(choose);
  return { ...protocol, port, ...(endPort > port ? { endPort } : {}) };
}

function kubernetesRule(choose: Choose, side: "from" | "to"): Raw {
  return {
    ...(choose.chance(75) ? { [side]: choose.list(0, 3, () => kubernetesPeer(choose)) } : {}),
    ...(choose.chance(65) ? { ports: choose.list(0, 3, () => kubernetesPort(choose)) } : {}),
  };
}

function networkPolicySpec(choose: Choose): Raw {
  const types = choose.weighted({ absent: 25, Ingress: 25, Egress: 25, both: 25 });
  const rules = (side: "from" | "to") => choose.list(0, 3, () => kubernetesRule(choose, side));
  const ingress = choose.chance(80) && types !== "Egress" ? { ingress: rules("from") } : {};
  const egress = choose.chance(80) && types !== "Ingress" && types !== "absent" ? { egress: rules("to") } : {};
  const late = types === "absent" && choose.chance(30) ? { egress: rules("to") } : {};
  const policyTypes = types === "both" ? ["Ingress", "Egress"] : [types];
  const said = types === "absent" ? {} : { policyTypes };
  return { podSelector: selector(choose, POD_KEYS, 1), ...said, ...ingress, ...egress, ...late };
}

function ciliumPort(choose: Choose): Raw {
  const protocol = choose.chance(30) ? {} : { protocol: choose.one([...PROTOCOLS, "ANY"]) };
  const form = choose.weighted({ numbers: 60, name: 30, zero: 10 });
  if (form === "name") return { ...protocol, port: choose.one(PORT_NAMES) };
  if (form === "zero") return { ...protocol, port: "0" };
  const [port, endPort] = span(choose);
  return { ...protocol, port: String(port), ...(endPort > port ? { endPort } : {}) };
}

function message(choose: Choose): Raw {
  return choose.one<Raw>([
    { type: 8 },
    { type: "EchoRequest", family: "IPv4" },
    { type: 128, family: "IPv6" },
    { type: "EchoRequest", family: "IPv6" },
    { type: 13 },
    { type: 8, family: "IPv6" },
  ]);
}

function ciliumPorts(choose: Choose): Raw {
  const form = choose.weighted({ none: 30, ports: 60, messages: 10 });
  if (form === "messages") return { icmps: [{ fields: choose.list(1, 2, () => message(choose)) }] };
  if (form === "none") return {};
  return {
    toPorts: choose.list(1, 2, () => (choose.chance(4) ? {} : { ports: choose.list(1, 3, () => ciliumPort(choose)) })),
  };
}

function ciliumRule(choose: Choose, side: "from" | "to"): Raw {
  if (choose.chance(4)) return {};
  const rule: Record<string, unknown> = ciliumPorts(choose);
  if (choose.chance(50))
    rule[`${side}Endpoints`] = choose.list(choose.chance(90) ? 1 : 0, 2, () => peerSelector(choose));
  if (choose.chance(20)) rule[`${side}Entities`] = choose.some(ENTITIES, 2);
  if (choose.chance(12)) rule[`${side}CIDR`] = choose.list(1, 2, () => range(choose));
  if (choose.chance(15)) rule[`${side}CIDRSet`] = choose.list(1, 2, () => rangeWithHoles(choose));
  return rule;
}

const LISTS = ["ingress", "egress", "ingressDeny", "egressDeny"] as const;

/** With at least one rule: a spec without any says nothing, and is refused. */
function ciliumSpec(choose: Choose): Raw {
  const first = choose.weighted({ ingress: 40, egress: 40, ingressDeny: 10, egressDeny: 10 });
  const spec: Record<string, unknown> = { endpointSelector: selector(choose, CILIUM_POD_KEYS, 1) };
  if (choose.chance(15)) spec["enableDefaultDeny"] = { ingress: choose.chance(40), egress: choose.chance(40) };
  for (const list of LISTS) {
    const deny = list.endsWith("Deny");
    if (list !== first && !choose.chance(deny ? 20 : 55)) continue;
    const side = list.startsWith("ingress") ? "from" : "to";
    spec[list] = choose.list(list === first ? 1 : 0, deny ? 2 : 3, () => ciliumRule(choose, side));
  }
  return spec;
}

function body(choose: Choose, kind: string): Raw {
  if (kind === "NetworkPolicy") return { spec: networkPolicySpec(choose) };
  const form = choose.weighted({ spec: 75, specs: 20, both: 5 });
  return {
    ...(form === "specs" ? {} : { spec: ciliumSpec(choose) }),
    ...(form === "spec" ? {} : { specs: choose.list(1, 3, () => ciliumSpec(choose)) }),
  };
}

export function randomPolicy(choose: Choose, name: string): Raw {
  const kind = choose.weighted({ NetworkPolicy: 35, CiliumNetworkPolicy: 45, CiliumClusterwideNetworkPolicy: 20 });
  return {
    apiVersion: kind === "NetworkPolicy" ? "networking.k8s.io/v1" : "cilium.io/v2",
    kind,
    metadata: {
      name,
      ...(kind === "CiliumClusterwideNetworkPolicy" ? {} : { namespace: choose.one(NAMESPACES) }),
      ...(choose.chance(10) ? { annotations: { "policy.bulkhead.io/audit": "true" } } : {}),
    },
    ...body(choose, kind),
  };
}
