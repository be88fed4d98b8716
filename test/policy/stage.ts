/** A small mesh seen from one node, and what the policy compiler makes of it. */
import {
  decodeEndpointKey,
  decodeEndpointValue,
  ENDPOINT_FLAGS,
  type EndpointValue,
} from "../../src/maps/endpoint-map.ts";
import { decodePolicyKey, decodePolicyValue, VERDICT_DENIED } from "../../src/maps/policy-map.ts";
import type { Cluster } from "../../src/model/cluster.ts";
import type { EndpointDevice } from "../../src/model/endpoint.ts";
import type { Direction, Peer, Policy, PolicyRule, PolicySpec, PortRule, Requirement } from "../../src/model/policy.ts";
import type { Label, NamedPort } from "../../src/model/resource.ts";
import type { Decision } from "../../src/policy/decide.ts";
import { PolicyCompiler, type PolicyOptions } from "../../src/policy/policy-compiler.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { type DesiredMap, keyBytes } from "../../src/tables/desired-map.ts";
import { LOCAL_KINDS, SHARED_KINDS } from "../../src/tables/tables-view.ts";

export const OWN: Cluster = { name: "osaka", id: 7 };
export const AMSTERDAM: Cluster = { name: "amsterdam", id: 3 };
export const OPTIONS: PolicyOptions = { defaultLocalCluster: true, unknownEndpoints: "deny" };

export function label(key: string, value: string): Label {
  return { source: "k8s", key, value };
}

export function identityOf(cluster: Cluster, low: number): number {
  return cluster.id * 65_536 + 256 + low;
}

export function workload(cluster: Cluster, namespace: string, app: string): readonly Label[] {
  return [
    label("app", app),
    label("io.cilium.k8s.policy.cluster", cluster.name),
    label("io.kubernetes.pod.namespace", namespace),
  ];
}

export function is(key: string, ...values: readonly string[]): Requirement {
  return { source: "any", key, operator: "In", values };
}

export function endpoints(...requirements: readonly Requirement[]): Peer {
  return { kind: "endpoints", selector: { requirements }, mentionsCluster: false };
}

export function anywhere(...requirements: readonly Requirement[]): Peer {
  return { kind: "endpoints", selector: { requirements }, mentionsCluster: true };
}

export function cidr(text: string, ...except: readonly string[]): Peer {
  return { kind: "cidr", cidr: text, except };
}

export function tcp(first: number, last = first): PortRule {
  return { protocol: "TCP", first, last };
}

export function rule(
  direction: Direction,
  peers?: readonly Peer[],
  ports?: readonly PortRule[],
  verdict: "allow" | "deny" = "allow",
): Omit<PolicyRule, "path"> {
  return { direction, verdict, ...(peers && { peers }), ...(ports && { ports }) };
}

export type SpecParts = {
  readonly subject?: readonly Requirement[];
  readonly rules?: readonly Omit<PolicyRule, "path">[];
  /** Default: directions that have rules. */
  readonly defaultDeny?: PolicySpec["defaultDeny"];
};

export function policy(name: string, parts: SpecParts & { readonly audit?: boolean } = {}): Policy {
  const { subject = [], rules = [], audit = false } = parts;
  const has = (direction: Direction): boolean => rules.some((one) => one.direction === direction);
  const defaultDeny = parts.defaultDeny ?? { ingress: has("ingress"), egress: has("egress") };
  const placed = rules.map((one, index) => {
    const list = one.verdict === "deny" ? `${one.direction}Deny` : one.direction;
    return { ...one, path: `${list}[${index}]` };
  });
  return {
    kind: "CiliumNetworkPolicy",
    namespace: "demo",
    name,
    source: `${name}.yaml:1`,
    audit,
    specs: [{ subject: { requirements: subject }, defaultDeny, rules: placed }],
  };
}

export function device(ifindex: number, ...addresses: readonly string[]): EndpointDevice {
  return { ifindex, name: `veth${ifindex}`, addresses };
}

export function putPod(
  tables: AgentTables,
  cluster: Cluster,
  pod: string,
  address: string,
  identity: number,
  namedPorts: readonly NamedPort[] = [],
  hostAddress = "",
): void {
  const [namespace = "", podName = ""] = pod.split("/");
  tables.putIp(cluster, address, { identity, namespace, podName, namedPorts, hostAddress });
}

export function syncAll(tables: AgentTables): void {
  for (const kind of [...SHARED_KINDS, ...LOCAL_KINDS]) tables.setSynced(OWN.id, kind, true);
}

export const LEDGER = identityOf(OWN, 1);
export const WEB = identityOf(OWN, 2);
export const REMOTE_WEB = identityOf(AMSTERDAM, 2);
export const LEDGER_DEVICE = 11;

/** `demo/ledger-0` on this node behind LEDGER_DEVICE; `web` in both clusters. */
export function stage(): AgentTables {
  const tables = new AgentTables(OWN);
  tables.putIdentity(OWN, { id: LEDGER, labels: workload(OWN, "demo", "ledger") });
  tables.putIdentity(OWN, { id: WEB, labels: workload(OWN, "demo", "web") });
  tables.putIdentity(AMSTERDAM, { id: REMOTE_WEB, labels: workload(AMSTERDAM, "demo", "web") });
  putPod(tables, OWN, "demo/ledger-0", "10.7.0.11", LEDGER);
  tables.setNetwork({ devices: [device(LEDGER_DEVICE, "10.7.0.11")], ownAddresses: ["192.0.2.7"] });
  syncAll(tables);
  return tables;
}

export function update(compiler: PolicyCompiler, tables: AgentTables): void {
  for (const _ of compiler.update(tables.takeChanges()));
}

export function compiled(tables: AgentTables, options = OPTIONS): PolicyCompiler {
  const compiler = new PolicyCompiler(tables, options);
  update(compiler, tables);
  return compiler;
}

export function valueOfDevice(compiler: PolicyCompiler, ifindex: number): EndpointValue | undefined {
  for (const [key, value] of compiler.endpoints.entries()) {
    if (decodeEndpointKey(keyBytes(key)).ifindex === ifindex) return decodeEndpointValue(value);
  }
  return undefined;
}

/** `identity proto port/prefix verdict rule`, CIDR identities by their CIDR. */
export function policyText(compiler: PolicyCompiler, map: DesiredMap): readonly string[] {
  const cidrs = new Map([...compiler.cidrs].map(([text, identity]) => [identity, text]));
  return [...map.entries()]
    .map(([bytes, valueBytes]) => {
      const { identity, protocol, port, prefixLength } = decodePolicyKey(keyBytes(bytes));
      const { rule: number, verdict } = decodePolicyValue(valueBytes);
      const name = number === 0 ? "-" : (compiler.ruleName(number) ?? `rule ${number}`);
      const who = cidrs.get(identity) ?? identity;
      return `${who} ${protocol} ${port}/${prefixLength} ${verdict === VERDICT_DENIED ? "deny" : "allow"} ${name}`;
    })
    .sort();
}

/** Everything that a compiler wants in the kernel, free of slot numbers and CIDR identities. */
export function contents(compiler: PolicyCompiler): unknown {
  const slot = (number: number): unknown => {
    const map = compiler.policies.get(number);
    return map === undefined ? number : policyText(compiler, map);
  };
  const table = [...compiler.endpoints.entries()].map(([key, bytes]) => {
    const value = decodeEndpointValue(bytes);
    const policies = [slot(value.ingressPolicy), slot(value.egressPolicy)];
    return [decodeEndpointKey(keyBytes(key)).ifindex, value.identity, value.flags, ...policies] as const;
  });
  return {
    endpoints: table.sort(([left], [right]) => left - right),
    addresses: [...compiler.addresses.entries()].map(([key, value]) => [key, [...value]].join()).sort(),
    cidrs: [...compiler.cidrs.keys()].sort(),
    policies: [...compiler.policies.values()].map((map) => policyText(compiler, map).join("\n")).sort(),
  };
}

export function dumpOf(map: DesiredMap): readonly (readonly [Uint8Array, Uint8Array])[] {
  return [...map.entries()].map(([key, value]) => [keyBytes(key), value] as const);
}

/** What one endpoint's direction says, its flags included; identity 0: of a cluster, and not known. */
export function judge(
  compiler: PolicyCompiler,
  ifindex: number,
  direction: Direction,
  question: { readonly identity: number; readonly protocol: number; readonly port: number },
): Decision {
  const value = valueOfDevice(compiler, ifindex);
  if (value === undefined || (value.flags & ENDPOINT_FLAGS.denied) !== 0) {
    return { verdict: "dropped", reason: "endpoint-unknown", rule: 0 };
  }
  const [slot, flag] =
    direction === "ingress"
      ? [value.ingressPolicy, ENDPOINT_FLAGS.auditIngress]
      : [value.egressPolicy, ENDPOINT_FLAGS.auditEgress];
  const unknown: Decision = { verdict: "dropped", reason: "identity-unknown", rule: 0 };
  const decision = slot !== 0 && question.identity === 0 ? unknown : compiler.decide(slot, question);
  const excused = ["policy-denied", "identity-unknown"].includes(decision.reason) && (value.flags & flag) !== 0;
  return excused ? { ...decision, verdict: "audited" } : decision;
}
