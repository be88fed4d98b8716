// Mistakes that a compiler or a datapath could make, made on purpose: what must be noticed proves that the comparison can fail.
import { VERDICT_DENIED } from "../../../src/maps/policy-map.ts";
import type { Peer, Policy, PolicyRule } from "../../../src/model/policy.ts";
import { CLUSTER_LABEL, NAMESPACE_LABEL } from "../reference/world.ts";
import type { Match } from "./entries.ts";

export const SPOILERS = [
  "namespace forgotten",
  "cluster forgotten",
  "except ignored",
  "deny rules lost",
  "named ports lost",
  "default deny lost",
  "audit drops",
  "specs after the first ignored",
  "a range ends one early",
  "UDP is TCP",
  "allow beats deny",
  "wildcard ignored",
  "unknown is world",
] as const;
export type Spoiler = (typeof SPOILERS)[number];

function spoilPeer(peer: Peer, spoiler: Spoiler): Peer {
  if (spoiler === "except ignored" && peer.kind === "cidr") return { ...peer, except: [] };
  if (peer.kind !== "endpoints") return peer;
  const without = (key: string): Peer => {
    const requirements = peer.selector.requirements.filter((requirement) => requirement.key !== key);
    return { ...peer, selector: { requirements } };
  };
  if (spoiler === "namespace forgotten") return without(NAMESPACE_LABEL);
  if (spoiler === "cluster forgotten") return { ...without(CLUSTER_LABEL), mentionsCluster: true } as Peer;
  return peer;
}

function spoilPorts(ports: NonNullable<PolicyRule["ports"]>, spoiler: Spoiler): NonNullable<PolicyRule["ports"]> {
  return ports.map((port) => {
    if (spoiler === "named ports lost" && "name" in port) return { ...port, name: "nobody-has-it" };
    if (spoiler === "a range ends one early" && "last" in port && port.last > port.first) {
      return { ...port, last: port.last - 1 };
    }
    if (spoiler === "UDP is TCP" && port.protocol === "UDP") return { ...port, protocol: "TCP" };
    return port;
  });
}

function spoilRule(rule: PolicyRule, spoiler: Spoiler): PolicyRule {
  return {
    ...rule,
    ...(rule.peers === undefined ? {} : { peers: rule.peers.map((peer) => spoilPeer(peer, spoiler)) }),
    ...(rule.ports === undefined ? {} : { ports: spoilPorts(rule.ports, spoiler) }),
  };
}

function spoilPolicy(policy: Policy, spoiler: Spoiler): Policy {
  const specs = spoiler === "specs after the first ignored" ? policy.specs.slice(0, 1) : policy.specs;
  return {
    ...policy,
    audit: spoiler === "audit drops" ? false : policy.audit,
    specs: specs.map((spec) => ({
      ...spec,
      defaultDeny: spoiler === "default deny lost" ? { ingress: false, egress: false } : spec.defaultDeny,
      rules: spec.rules
        .filter((rule) => spoiler !== "deny rules lost" || rule.verdict === "allow")
        .map((rule) => spoilRule(rule, spoiler)),
    })),
  };
}

export function spoilPolicies(policies: readonly Policy[], spoiler?: Spoiler): readonly Policy[] {
  return spoiler === undefined ? policies : policies.map((policy) => spoilPolicy(policy, spoiler));
}

/** The match that a spoilt lookup would choose, or undefined for the right one's choice. */
export function spoilLookup(
  [own, anybody]: readonly [Match | undefined, Match | undefined],
  spoiler?: Spoiler,
): Match | undefined {
  if (spoiler === "allow beats deny" && own !== undefined && anybody !== undefined) {
    return own.verdict === VERDICT_DENIED ? anybody : own;
  }
  if (spoiler === "wildcard ignored" && own === undefined && anybody !== undefined) {
    return { ...anybody, verdict: VERDICT_DENIED };
  }
  return undefined;
}
