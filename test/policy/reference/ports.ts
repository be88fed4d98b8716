// Whether a rule's ports include the tuple's.
import { isThere, list, type Raw } from "./documents.ts";
import type { Pod, Tuple } from "./world.ts";

/** Pods whose container ports give a name its numbers: the endpoint itself for ingress, pods of the peer's identity for egress. */
export type NamedBy = readonly Pod[];

const MESSAGES: Readonly<Record<string, readonly [v4: number | undefined, v6: number | undefined]>> = {
  EchoReply: [0, 129],
  DestinationUnreachable: [3, 1],
  EchoRequest: [8, 128],
  TimeExceeded: [11, 3],
  ParameterProblem: [12, 4],
  Timestamp: [13, undefined],
  PacketTooBig: [undefined, 2],
};

const WITH_PORTS = ["TCP", "UDP", "SCTP"];

function numbersOf(name: string, protocol: string, pods: NamedBy): readonly number[] {
  const ports = pods.flatMap(({ namedPorts }) => namedPorts);
  return ports.filter((port) => port.name === name && port.protocol === protocol).map(({ port }) => port);
}

function within(first: number, entry: Raw, port: number): boolean {
  const last = isThere(entry, "endPort") ? Number(entry["endPort"]) : first;
  return first <= port && port <= last;
}

/** `ports` of a NetworkPolicy's rule. */
export function kubernetesPortsHold(rule: Raw, { protocol, port }: Tuple, pods: NamedBy): boolean {
  const ports = list(rule, "ports");
  if (ports.length === 0) return true;
  return ports.some((entry) => {
    if (protocol !== (entry["protocol"] ?? "TCP")) return false;
    const wanted = entry["port"] ?? undefined;
    if (wanted === undefined) return true;
    if (typeof wanted === "string") return numbersOf(wanted, protocol, pods).includes(port);
    return within(Number(wanted), entry, port);
  });
}

function ciliumPortHolds(entry: Raw, { protocol, port }: Tuple, pods: NamedBy): boolean {
  const wanted = String(entry["protocol"] ?? "ANY");
  if (wanted === "ANY" ? !WITH_PORTS.includes(protocol) : wanted !== protocol) return false;
  const text = String(entry["port"]);
  if (!/^[0-9]+$/.test(text)) return numbersOf(text, protocol, pods).includes(port);
  return text === "0" || within(Number(text), entry, port);
}

function messageHolds(field: Raw, { protocol, port }: Tuple): boolean {
  const v6 = field["family"] === "IPv6";
  if (protocol !== (v6 ? "ICMPv6" : "ICMP")) return false;
  const type = field["type"];
  return port === (typeof type === "string" ? MESSAGES[type]?.[v6 ? 1 : 0] : type);
}

/** `toPorts` or `icmps` of a Cilium rule. */
export function ciliumPortsHold(rule: Raw, tuple: Tuple, pods: NamedBy): boolean {
  if (isThere(rule, "icmps")) {
    return list(rule, "icmps").some((icmp) => list(icmp, "fields").some((field) => messageHolds(field, tuple)));
  }
  const toPorts = list(rule, "toPorts");
  if (toPorts.length === 0) return true;
  return toPorts.some((element) => {
    const ports = list(element, "ports");
    return ports.length === 0 || ports.some((entry) => ciliumPortHolds(entry, tuple, pods));
  });
}
