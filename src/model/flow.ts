/** What the kernel reports of packets at endpoints, with names. */
import type { Direction } from "./policy.ts";

/** In the order of `enum verdict` in bpf/lib/verdict.h. */
export const VERDICTS = ["none", "allowed", "dropped", "audited"] as const;
/** `audited`: would have been dropped, and was let through. */
export type Verdict = (typeof VERDICTS)[number];

/** In the order of `enum drop_reason` in bpf/lib/verdict.h; new ones go last. */
export const DROP_REASONS = [
  "forwarded",
  /** Policy is enforced and no rule allows it. */
  "policy-denied",
  /** A deny rule names it. */
  "policy-deny-rule",
  /** The workload sent with an address that is not its own. */
  "spoofed-source",
  /** The peer's address belongs to a cluster, and its identity is not known. */
  "identity-unknown",
  /** The workload behind the device is not known yet. */
  "endpoint-unknown",
  /** A later fragment whose first one was not seen. */
  "fragment-unknown",
  /** Shorter than its headers say. */
  "malformed",
  /** Neither IP nor ARP. */
  "unsupported-protocol",
  /** A service without a usable backend. */
  "no-backend",
  /** The service address could not be translated. */
  "translation-failed",
  /** The endpoint's policy map is not in its place. */
  "policy-missing",
  /** A workload may not announce itself as router. */
  "router-advertisement",
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** In the order of `enum event_kind` in bpf/lib/event.h. */
export const EVENT_KINDS = ["new", "dropped", "changed"] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** One end of a flow. */
export interface FlowPeer {
  readonly address: string;
  readonly port: number;
  readonly identity: number;
  /** `source:key=value`, sorted; `reserved:world` and the like for reserved identities, `cidr:10.0.0.0/8` for CIDRs. */
  readonly labels: readonly string[];
  /** "" when it is no cluster's. */
  readonly cluster: string;
  /** `namespace/pod`, "" when unknown. */
  readonly pod: string;
}

export interface Flow {
  /** ISO 8601, by the node's clock. */
  readonly time: string;
  readonly kind: EventKind;
  readonly node: string;
  readonly cluster: string;
  /** Seen from the endpoint at which it was judged. */
  readonly direction: Direction;
  /** `namespace/pod` of that endpoint, or its device. */
  readonly endpoint: string;
  /** `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, or the IP protocol's number. */
  readonly protocol: string;
  readonly source: FlowPeer;
  /** For ICMP the port is the message's type. */
  readonly destination: FlowPeer;
  readonly verdict: Verdict;
  readonly reason: DropReason;
  /** The rule that decided: `kind/namespace/name ingress[0] (file:line)`; absent when no rule did. */
  readonly rule?: string;
  readonly bytes: number;
}
