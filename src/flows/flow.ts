/** One record of the kernel's ring as a flow with names. */
import type { FlowEvent } from "../maps/flow-map.ts";
import { formatAddress } from "../model/address.ts";
import { DROP_REASONS, EVENT_KINDS, type Flow, type FlowPeer, VERDICTS } from "../model/flow.ts";
import type { Names } from "./names.ts";

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, "ICMP"],
  [6, "TCP"],
  [17, "UDP"],
  [58, "ICMPv6"],
  [132, "SCTP"],
]);

/** Where the flow was seen. */
export interface Place {
  readonly cluster: string;
  readonly node: string;
}

function peer(names: Names, bytes: Uint8Array, port: number, identity: number): FlowPeer {
  const address = formatAddress(bytes);
  const { cluster, pod } = names.owner(address) ?? { cluster: "", pod: "" };
  return { address, port, identity, labels: names.labels(identity), cluster, pod };
}

/** @param wallMs wall clock milliseconds of the event, since 1970. */
export function nameFlow(event: FlowEvent, wallMs: number, place: Place, names: Names): Flow {
  const { flow } = event;
  const rule =
    event.rule === 0 ? undefined : (names.rule(event.rule) ?? `rule ${event.rule}, whose policy is not known now`);
  return {
    time: new Date(wallMs).toISOString(),
    kind: EVENT_KINDS[event.kind] ?? "new",
    node: place.node,
    cluster: place.cluster,
    direction: flow.direction === 0 ? "ingress" : "egress",
    endpoint: names.endpoint(flow.ifindex) ?? `device ${flow.ifindex}`,
    protocol: PROTOCOLS.get(flow.protocol) ?? String(flow.protocol),
    source: peer(names, flow.source, flow.sourcePort, event.sourceIdentity),
    destination: peer(names, flow.destination, flow.destinationPort, event.destinationIdentity),
    verdict: VERDICTS[event.verdict] ?? "none",
    reason: DROP_REASONS[event.reason] ?? "forwarded",
    ...(rule !== undefined && { rule }),
    bytes: event.bytes,
  };
}

/** The address whose identity the kernel did not know: the far end, seen from the endpoint. */
export function unknownAddress(flow: Flow): string | undefined {
  if (flow.reason !== "identity-unknown") return undefined;
  return (flow.direction === "ingress" ? flow.source : flow.destination).address;
}
