/** Which flows `bulkhead flows` shows. */
import { type Cidr, canonicalAddress, cidrContains, parseAddress, parseCidr } from "../model/address.ts";
import type { Flow, FlowPeer } from "../model/flow.ts";

type PeerTest = (peer: FlowPeer) => boolean;

/** Every given one must hold. */
export interface FlowFilter {
  readonly verdict?: string;
  readonly reason?: string;
  readonly from?: PeerTest;
  readonly to?: PeerTest;
  /** Of the destination. */
  readonly port?: number;
  /** In any case. */
  readonly protocol?: string;
  /** Where the flow was judged. */
  readonly node?: string;
  readonly cluster?: string;
}

function addressTest(text: string): PeerTest | undefined {
  const address = canonicalAddress(text);
  if (address !== undefined) return (peer) => peer.address === address;
  const cidr = parseCidr(text);
  return cidr && ((peer) => insideOf(cidr, peer.address));
}

function insideOf(cidr: Cidr, address: string): boolean {
  const bytes = parseAddress(address);
  return bytes !== undefined && cidrContains(cidr, bytes);
}

function podTest(text: string): PeerTest | undefined {
  const parts = text.split("/");
  const startsWithAddress = canonicalAddress(parts[0] ?? "") !== undefined;
  if (parts.length < 2 || parts.length > 3 || parts.includes("") || startsWithAddress) return undefined;
  const pod = parts.slice(-2).join("/");
  const cluster = parts.length === 3 ? parts[0] : undefined;
  return (peer) => peer.pod === pod && (cluster === undefined || peer.cluster === cluster);
}

function labelTest(text: string): PeerTest {
  return ({ labels }) => labels.some((label) => label === text || label.slice(label.indexOf(":") + 1) === text);
}

function clusterTest(name: string): PeerTest | undefined {
  return name === "" ? undefined : (peer) => peer.cluster === name;
}

/**
 * `namespace/pod`, `cluster/namespace/pod`, an address, a CIDR, `cluster:NAME`, or a label: `app=web`, `k8s:app=web`, `reserved:world`.
 * Undefined when the text is none of these.
 */
export function parsePeerTest(text: string): PeerTest | undefined {
  const byAddress = addressTest(text);
  if (byAddress) return byAddress;
  if (text.startsWith("cluster:")) return clusterTest(text.slice("cluster:".length));
  if (text.includes("=") || /^[a-z0-9]+:[^:]/.test(text)) return labelTest(text);
  return podTest(text);
}

export function flowMatches(filter: FlowFilter, flow: Flow): boolean {
  const { verdict, reason, from, to, port, protocol, node, cluster } = filter;
  const equal = <T>(wanted: T | undefined, found: T): boolean => wanted === undefined || wanted === found;
  return (
    equal(verdict, flow.verdict) &&
    equal(reason, flow.reason) &&
    equal(port, flow.destination.port) &&
    equal(protocol?.toLowerCase(), flow.protocol.toLowerCase()) &&
    equal(node, flow.node) &&
    equal(cluster, flow.cluster) &&
    (from === undefined || from(flow.source)) &&
    (to === undefined || to(flow.destination))
  );
}
