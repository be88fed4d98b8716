/** `bulkhead policy explain`: the question, and what one agent answers to it. */
import { canonicalAddress } from "./address.ts";
import type { Enforcement } from "./endpoint.ts";
import type { DropReason, Verdict } from "./flow.ts";
import type { Direction } from "./policy.ts";
import type { Protocol } from "./resource.ts";

export const EXPLAIN_PATH = "/v1/policy/explain";

/** A pod, or any address. */
export type ExplainEnd =
  | { readonly kind: "pod"; readonly cluster: string; readonly namespace: string; readonly name: string }
  | { readonly kind: "address"; readonly address: string };

export interface ExplainPort {
  readonly protocol: Protocol | "ICMP" | "ICMPv6";
  /** 0 to 65535; for ICMP the message's type, 0 to 255. */
  readonly port: number;
}

export interface ExplainQuestion {
  readonly from: ExplainEnd;
  readonly to: ExplainEnd;
  readonly port: ExplainPort;
}

/** One end as an agent knows it. */
export interface ExplainedPeer {
  /** All of the pod's, or the one asked for. */
  readonly addresses: readonly string[];
  /** 0 when unknown. */
  readonly identity: number;
  /** As in FlowPeer. */
  readonly labels: readonly string[];
  /** "" when it is no cluster's. */
  readonly cluster: string;
  /** `namespace/pod`, "" when it is none. */
  readonly pod: string;
}

export interface ExplainedDecision {
  readonly verdict: Verdict;
  readonly reason: DropReason;
  /** As in Flow; absent when no rule decided. */
  readonly rule?: string;
}

export interface MatchingRule {
  readonly verdict: "allow" | "deny";
  readonly rule: string;
}

/** What one endpoint of the answering node does with such a packet. */
export interface ExplainedDirection {
  readonly direction: Direction;
  /** `namespace/pod`. */
  readonly endpoint: string;
  readonly device: string;
  readonly enforcement: Enforcement;
  /** The other end. */
  readonly peer: ExplainedPeer;
  /** From the entries that this agent compiled. */
  readonly compiled: ExplainedDecision;
  /** From the kernel's own maps; absent when they could not be read. */
  readonly kernel?: ExplainedDecision;
  /** Why `kernel` is absent. */
  readonly kernelFault?: string;
  /** Every rule of the selecting policies that names this peer and port, the deciding one among them. */
  readonly matching: readonly MatchingRule[];
}

export interface ExplainAnswer {
  readonly cluster: string;
  readonly node: string;
  /** Absent when this agent knows no such pod. */
  readonly from?: ExplainedPeer;
  readonly to?: ExplainedPeer;
  /** `namespace/name` of the service of the own cluster of which `to` is an address: packets go to its backends, and these are judged. */
  readonly service?: string;
  /** Egress when `from` lives on this node, ingress when `to` does. None of a service. */
  readonly directions: readonly ExplainedDirection[];
}

/** `namespace/pod` (of `cluster`), `cluster/namespace/pod` or an address; undefined when it is neither. */
export function parseExplainEnd(text: string, cluster = ""): ExplainEnd | undefined {
  const address = canonicalAddress(text);
  if (address !== undefined) return { kind: "address", address };
  const parts = text.split("/");
  if (parts.length < 2 || parts.length > 3 || parts.includes("")) return undefined;
  const [name = "", namespace = "", named = cluster] = parts.toReversed();
  return { kind: "pod", cluster: named, namespace, name };
}

export function formatExplainEnd(end: ExplainEnd): string {
  if (end.kind === "address") return end.address;
  const pod = `${end.namespace}/${end.name}`;
  return end.cluster === "" ? pod : `${end.cluster}/${pod}`;
}

const PROTOCOLS = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6"] as const;

/** `8080`, `53/udp`, `8/icmp` (the message's type); TCP when not said. Undefined when it is no such thing. */
export function parseExplainPort(text: string): ExplainPort | undefined {
  const [digits = "", named = "TCP", ...rest] = text.split("/");
  const protocol = PROTOCOLS.find((one) => one.toLowerCase() === named.toLowerCase());
  if (protocol === undefined || rest.length > 0 || !/^[0-9]{1,5}$/.test(digits)) return undefined;
  const port = Number(digits);
  return port <= (protocol.startsWith("ICMP") ? 255 : 65_535) ? { protocol, port } : undefined;
}

export function formatExplainPort({ protocol, port }: ExplainPort): string {
  return `${port}/${protocol}`;
}

/** The query of EXPLAIN_PATH. */
export function explainQuery({ from, to, port }: ExplainQuestion): Readonly<Record<string, string>> {
  return { from: formatExplainEnd(from), to: formatExplainEnd(to), port: formatExplainPort(port) };
}

/** The question of a query, pods without a cluster taken as `cluster`'s; undefined when it is not one. */
export function parseExplainQuery(query: ReadonlyMap<string, string>, cluster: string): ExplainQuestion | undefined {
  const from = parseExplainEnd(query.get("from") ?? "", cluster);
  const to = parseExplainEnd(query.get("to") ?? "", cluster);
  const port = parseExplainPort(query.get("port") ?? "");
  return from && to && port && { from, to, port };
}
