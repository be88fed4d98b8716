/** Network policies after parsing: whom they select, what they allow or deny, and where each rule was written. */
import type { Protocol } from "./resource.ts";

export type PolicyKind = "NetworkPolicy" | "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy";

/** Seen from the selected endpoint. */
export type Direction = "ingress" | "egress";

export interface Policy {
  readonly kind: PolicyKind;
  /** "" for a clusterwide one. */
  readonly namespace: string;
  readonly name: string;
  /** `file:line` at which its document starts. */
  readonly source: string;
  /** What it would drop by default is let through, counted and shown; its explicit denies still deny. */
  readonly audit: boolean;
  readonly specs: readonly PolicySpec[];
}

export interface PolicySpec {
  /** Endpoints of the own cluster; the namespace of a namespaced policy is among the requirements. */
  readonly subject: Selector;
  /** Directions in which the selected endpoints are denied whatever no rule allows. */
  readonly defaultDeny: Readonly<Record<Direction, boolean>>;
  readonly rules: readonly PolicyRule[];
}

export interface PolicyRule {
  readonly direction: Direction;
  readonly verdict: "allow" | "deny";
  /** `ingress[0]`, `specs[1].egressDeny[2]`: the place in the document. */
  readonly path: string;
  /** Any of these; absent: anybody, known or not. Empty: nobody. */
  readonly peers?: readonly Peer[];
  /** Any of these; absent: every protocol and port. */
  readonly ports?: readonly PortRule[];
}

export type Peer =
  | {
      readonly kind: "endpoints";
      /** Requirements that the policy's namespace implies are among them. */
      readonly selector: Selector;
      /** Without a word about the cluster, only endpoints of the own cluster are meant, unless the agent is set otherwise. */
      readonly mentionsCluster: boolean;
    }
  | { readonly kind: "entity"; readonly entity: Entity }
  | {
      readonly kind: "cidr";
      /** Canonical `address/bits`. */
      readonly cidr: string;
      /** Canonical, inside `cidr`. */
      readonly except: readonly string[];
    };

export const ENTITIES = [
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

export type Entity = (typeof ENTITIES)[number];

/** All requirements hold. Without any: every endpoint. */
export interface Selector {
  readonly requirements: readonly Requirement[];
}

export interface Requirement {
  /** Label source: `k8s`, `reserved`, ...; `any` matches every source. */
  readonly source: string;
  readonly key: string;
  /** As in Kubernetes: `NotIn` and `DoesNotExist` hold for endpoints without the label too. */
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  /** One or more for In and NotIn, else none. */
  readonly values: readonly string[];
}

export type PortRule =
  | {
      readonly protocol: Protocol;
      /** Inclusive; 0 to 65535 is every port. */
      readonly first: number;
      readonly last: number;
    }
  /** A container's port: the selected endpoint's own for ingress, the peer's for egress. */
  | { readonly protocol: Protocol; readonly name: string }
  | { readonly protocol: "ICMP" | "ICMPv6"; readonly type: number };

/** `kind/namespace/name`; the key of a policy below its prefix in etcd. */
export function policyName(policy: Pick<Policy, "kind" | "namespace" | "name">): string {
  return policy.namespace === ""
    ? `${policy.kind}/${policy.name}`
    : `${policy.kind}/${policy.namespace}/${policy.name}`;
}
