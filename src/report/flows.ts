/** What `bulkhead flows` prints: a line a flow. */
import type { Flow, FlowPeer } from "../model/flow.ts";
import { endName, identityText } from "./ends.ts";
import { safeText } from "./text.ts";

const isIcmp = (protocol: string): boolean => protocol === "ICMP" || protocol === "ICMPv6";

function addressText({ address, port }: FlowPeer, protocol: string): string {
  if (isIcmp(protocol)) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function endText(peer: FlowPeer, protocol: string): string {
  const parts = [endName(peer), addressText(peer, protocol), identityText(peer)];
  return parts.filter((part) => part !== "").join(" ");
}

/** Time, verdict, reason, direction, both ends with identity, protocol, where it was judged, the rule. */
export function flowText(flow: Flow): string {
  const { time, verdict, reason, direction, protocol, source, destination, rule } = flow;
  const what = verdict === "allowed" ? verdict : `${verdict} ${reason}`;
  const message = isIcmp(protocol) ? `${protocol} type ${destination.port}` : protocol;
  const ends = `${endText(source, protocol)} -> ${endText(destination, protocol)}`;
  const place = `${direction} of ${flow.endpoint} on ${flow.cluster}/${flow.node}`;
  return safeText(`${time} ${what}: ${ends} ${message}, ${place}${rule === undefined ? "" : `, by ${rule}`}`);
}
