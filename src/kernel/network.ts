/** The network's real body: links and addresses through netlink, at the workloads' ends too, without entering their namespaces. */
import { formatAddress, parseAddress } from "../model/address.ts";
import type { EndpointDevice } from "../model/endpoint.ts";
import { KernelError, type Network, type NetworkState } from "./door.ts";
import { ERRNO } from "./errno.ts";
import { attribute, NETLINK_OPTION, NetlinkSocket, parseAttributes } from "./netlink.ts";

const GET_LINK = 18;
const GET_ADDRESS = 22;
const LINK_HEADER_BYTES = 16;
const ADDRESS_HEADER_BYTES = 8;
const LINK = { name: 3, peer: 5, info: 18, peerNamespace: 37 } as const;
const LINK_ATTRIBUTES = Object.values(LINK);
const KIND_OF_INFO = 1;
const NOTHING = Buffer.alloc(0);
const ADDRESS = { address: 1, local: 2, targetNamespace: 10 } as const;
const FAMILIES = [2, 10] as const;
/** Groups link, IPv4 address, IPv6 address. */
const CHANGES = 0x1 | 0x10 | 0x100;
/** How the kernel says that a namespace is no more, and that it knows no such family. */
const NO_NAMESPACE: ReadonlySet<number> = new Set([ERRNO.EINVAL, ERRNO.ENODEV]);
const NO_FAMILY: ReadonlySet<number> = new Set([ERRNO.EOPNOTSUPP, ERRNO.EAFNOSUPPORT]);

/** Of this thread's network namespace. Needs NET_ADMIN and, to hear the far ends, NET_BROADCAST. */
export function openNetwork(): Network {
  const monitor = new NetlinkSocket(CHANGES);
  monitor.enable(NETLINK_OPTION.listenAllNamespaces);
  const asking = new NetlinkSocket();
  asking.enable(NETLINK_OPTION.strictCheck);
  return {
    read: () => readNetwork(asking),
    changed: () => monitor.heard(),
    close() {
      monitor.close();
      asking.close();
    },
  };
}

export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** "" for hardware. */
  readonly kind: string;
  /** The other end, when it is in another namespace. */
  readonly peer?: { readonly ifindex: number; readonly namespace: number };
}

/** Every device of this thread's network namespace. */
export function readLinks(): readonly Link[] {
  const socket = new NetlinkSocket();
  try {
    return links(socket);
  } finally {
    socket.close();
  }
}

function links(socket: NetlinkSocket): readonly Link[] {
  return socket.dump(GET_LINK, Buffer.alloc(LINK_HEADER_BYTES)).flatMap((body) => parseLink(body) ?? []);
}

export function parseLink(body: Buffer): Link | undefined {
  if (body.length < LINK_HEADER_BYTES) return undefined;
  const attributes = parseAttributes(body.subarray(LINK_HEADER_BYTES), ...LINK_ATTRIBUTES);
  const peer = numberOf(attributes.get(LINK.peer));
  // Negative while the other namespace goes away.
  const namespace = numberOf(attributes.get(LINK.peerNamespace));
  return {
    ifindex: body.readInt32LE(4),
    name: textOf(attributes.get(LINK.name)),
    kind: textOf(parseAttributes(attributes.get(LINK.info) ?? NOTHING, KIND_OF_INFO).get(KIND_OF_INFO)),
    ...(peer === undefined || namespace === undefined || namespace < 0 ? {} : { peer: { ifindex: peer, namespace } }),
  };
}

function numberOf(bytes: Buffer | undefined): number | undefined {
  return bytes?.length === 4 ? bytes.readInt32LE(0) : undefined;
}

function textOf(bytes: Buffer | undefined): string {
  return bytes?.toString("utf8").replace(/\0.*$/s, "") ?? "";
}

function readNetwork(socket: NetlinkSocket): NetworkState {
  /** By namespace, then by device. */
  const byNamespace = new Map<number, ReadonlyMap<number, readonly string[]> | undefined>();
  const devices: EndpointDevice[] = [];
  for (const { ifindex, name, kind, peer } of links(socket)) {
    if (kind !== "veth" || peer === undefined) continue;
    const { namespace } = peer;
    if (!byNamespace.has(namespace)) byNamespace.set(namespace, addresses(socket, namespace));
    const found = byNamespace.get(namespace);
    if (found !== undefined) devices.push({ ifindex, name, addresses: [...(found.get(peer.ifindex) ?? [])].sort() });
  }
  const own = addresses(socket) ?? new Map<number, readonly string[]>();
  return { devices, ownAddresses: [...new Set([...own.values()].flat())].sort() };
}

/** Addresses by device; undefined when the namespace went away meanwhile. */
function addresses(socket: NetlinkSocket, namespace?: number): ReadonlyMap<number, readonly string[]> | undefined {
  const byDevice = new Map<number, string[]>();
  for (const family of FAMILIES) {
    const bodies = addressDump(socket, family, namespace);
    if (bodies === undefined) return undefined;
    for (const body of bodies) {
      const found = parseInterfaceAddress(body);
      if (found === undefined || isOfNoUse(found.address)) continue;
      const held = byDevice.get(found.ifindex);
      if (held === undefined) byDevice.set(found.ifindex, [found.address]);
      else held.push(found.address);
    }
  }
  return byDevice;
}

function addressDump(socket: NetlinkSocket, family: number, namespace?: number): readonly Buffer[] | undefined {
  try {
    return socket.dump(GET_ADDRESS, addressRequest(family, namespace));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (NO_FAMILY.has(error.errno)) return [];
    if (namespace !== undefined && NO_NAMESPACE.has(error.errno)) return undefined;
    throw error;
  }
}

function addressRequest(family: number, namespace: number | undefined): Buffer {
  const header = Buffer.alloc(ADDRESS_HEADER_BYTES);
  header.writeUInt8(family, 0);
  if (namespace === undefined) return header;
  return Buffer.concat([header, attribute(ADDRESS.targetNamespace, namespace)]);
}

/** `address` is canonical. */
export function parseInterfaceAddress(body: Buffer): { ifindex: number; address: string } | undefined {
  if (body.length < ADDRESS_HEADER_BYTES) return undefined;
  const attributes = parseAttributes(body.subarray(ADDRESS_HEADER_BYTES), ADDRESS.address, ADDRESS.local);
  // A point-to-point device's ADDRESS is the other end's.
  const bytes = attributes.get(ADDRESS.local) ?? attributes.get(ADDRESS.address);
  if (bytes?.length !== 4 && bytes?.length !== 16) return undefined;
  const address = bytes.length === 4 ? bytes.join(".") : formatAddress(bytes);
  return { ifindex: body.readUInt32LE(4), address };
}

/** Loopback and link-local addresses: the same in every namespace. */
function isOfNoUse(text: string): boolean {
  const bytes = parseAddress(text);
  if (bytes === undefined || text === "::1") return true;
  if (!text.includes(":")) return text.startsWith("127.") || text.startsWith("169.254.");
  return bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}
