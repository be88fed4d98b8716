// Frames from addresses as a person writes them, with right checksums, and frames read back.
import assert from "node:assert/strict";
import { isV4 } from "../../src/model/address.ts";
import { bytesOf } from "./entries.ts";

export const ETHER_TYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
export const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const;
export const TCP = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;

export interface Ends {
  readonly source: string;
  readonly destination: string;
}

export interface Ports extends Ends {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A piece of a packet. */
export interface Piece {
  readonly id: number;
  /** In bytes, a multiple of 8. */
  readonly offset: number;
  readonly more: boolean;
}

export interface IpOptions {
  readonly hopLimit?: number;
  readonly piece?: Piece;
  /** IPv4: options, a multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** IPv6: headers before the upper protocol's, each without its first byte (which says what follows). */
  readonly extensions?: readonly { readonly protocol: number; readonly rest: Uint8Array }[];
}

export interface Payload extends IpOptions {
  readonly payload?: Uint8Array;
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value & 0xffff);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** The Internet checksum (RFC 1071). */
export function checksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function isV4Text(address: string): boolean {
  return isV4(bytesOf(address));
}

/** As it stands in a packet: 4 or 16 bytes. */
function wireAddress(address: string): Uint8Array {
  const bytes = bytesOf(address);
  return isV4(bytes) ? bytes.subarray(12) : bytes;
}

function pseudoHeader(ends: Ends, protocol: number, length: number): Buffer {
  const addresses = [wireAddress(ends.source), wireAddress(ends.destination)];
  return isV4Text(ends.source)
    ? Buffer.concat([...addresses, u16(protocol), u16(length)])
    : Buffer.concat([...addresses, u32(length), u32(protocol)]);
}

/** `bytes` with the checksum over them (and the pseudo header) at `at`. */
function sealed(bytes: Buffer, at: number, pseudo: Uint8Array = Buffer.alloc(0)): Buffer {
  bytes.writeUInt16BE(0, at);
  bytes.writeUInt16BE(checksum(pseudo, bytes), at);
  return bytes;
}

export function ethernet(etherType: number, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("02000000000202000000000a", "hex"), u16(etherType), payload]);
}

/** The IP packet without its Ethernet header. */
export function ip(ends: Ends, protocol: number, payload: Uint8Array, more: IpOptions = {}): Buffer {
  return isV4Text(ends.source) ? ipv4(ends, protocol, payload, more) : ipv6(ends, protocol, payload, more);
}

function ipv4(ends: Ends, protocol: number, payload: Uint8Array, { hopLimit = 64, piece, options }: IpOptions): Buffer {
  const length = IPV4_BYTES + (options?.length ?? 0);
  const place = piece === undefined ? 0x4000 : (piece.more ? 0x2000 : 0) | (piece.offset / 8);
  const header = Buffer.concat([
    Buffer.from([0x40 | (length / 4), 0]),
    u16(length + payload.length),
    u16(piece?.id ?? 0),
    u16(place),
    Buffer.from([hopLimit, protocol, 0, 0]),
    wireAddress(ends.source),
    wireAddress(ends.destination),
    options ?? Buffer.alloc(0),
  ]);
  return Buffer.concat([sealed(header, 10), payload]);
}

function ipv6(ends: Ends, protocol: number, payload: Uint8Array, more: IpOptions): Buffer {
  const { hopLimit = 64, piece, extensions = [] } = more;
  const headers = [...extensions];
  if (piece !== undefined) {
    const place = Buffer.concat([Buffer.from([0]), u16(piece.offset | (piece.more ? 1 : 0)), u32(piece.id)]);
    headers.push({ protocol: 44, rest: place });
  }
  const body = headers.map(({ rest }, index) =>
    Buffer.concat([Buffer.from([headers[index + 1]?.protocol ?? protocol]), rest]),
  );
  const after = Buffer.concat([...body, payload]);
  const first = Buffer.concat([u32(0x60000000), u16(after.length), Buffer.from([headers[0]?.protocol ?? protocol])]);
  const addresses = [wireAddress(ends.source), wireAddress(ends.destination)];
  return Buffer.concat([first, Buffer.from([hopLimit]), ...addresses, after]);
}

/** Any IP packet as a frame. */
export function ipPacket(ends: Ends, protocol: number, payload: Uint8Array, more: IpOptions = {}): Buffer {
  return ethernet(isV4Text(ends.source) ? ETHER_TYPE.ipv4 : ETHER_TYPE.ipv6, ip(ends, protocol, payload, more));
}

export function tcpSegment(ports: Ports, flags: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.concat([
    u16(ports.sourcePort),
    u16(ports.destinationPort),
    u32(1),
    u32(2),
    Buffer.from([0x50, flags]),
    u16(65535),
    u32(0),
    payload,
  ]);
  return sealed(header, 16, pseudoHeader(ports, PROTOCOL.TCP, header.length));
}

export function udpDatagram(ports: Ports, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const length = 8 + payload.length;
  const bytes = Buffer.concat([u16(ports.sourcePort), u16(ports.destinationPort), u16(length), u16(0), payload]);
  return sealed(bytes, 6, pseudoHeader(ports, PROTOCOL.UDP, length));
}

export function tcpPacket(ports: Ports & Payload & { readonly flags?: number }): Buffer {
  return ipPacket(ports, PROTOCOL.TCP, tcpSegment(ports, ports.flags ?? TCP.syn, ports.payload), ports);
}

/** @param ports `checksum: false` leaves it 0, which IPv4 allows. */
export function udpPacket(ports: Ports & Payload & { readonly checksum?: boolean }): Buffer {
  const datagram = udpDatagram(ports, ports.payload ?? Buffer.from("datagram"));
  if (ports.checksum === false) datagram.writeUInt16BE(0, 6);
  return ipPacket(ports, PROTOCOL.UDP, datagram, ports);
}

/** A common header and one chunk; its checksum (CRC32c) is left 0: no program of ours looks at it. */
export function sctpPacket(ports: Ports & Payload): Buffer {
  const header = Buffer.concat([u16(ports.sourcePort), u16(ports.destinationPort), u32(7), u32(0)]);
  return ipPacket(ports, PROTOCOL.SCTP, Buffer.concat([header, Buffer.from([1, 0, 0, 4])]), ports);
}

/** @param rest what follows type, code and checksum, 4 bytes or more. */
export function icmpPacket(ends: Ends & IpOptions, type: number, rest: Uint8Array, code = 0): Buffer {
  const message = Buffer.concat([Buffer.from([type, code, 0, 0]), rest]);
  if (isV4Text(ends.source)) return ipPacket(ends, PROTOCOL.ICMP, sealed(message, 2), ends);
  const pseudo = pseudoHeader(ends, PROTOCOL.ICMPv6, message.length);
  return ipPacket(ends, PROTOCOL.ICMPv6, sealed(message, 2, pseudo), ends);
}

export function echoRequest(ends: Ends & IpOptions & { readonly id: number }): Buffer {
  return icmpPacket(ends, isV4Text(ends.source) ? 8 : 128, Buffer.concat([u16(ends.id), u16(1), Buffer.from("ping")]));
}

export function echoReply(ends: Ends & IpOptions & { readonly id: number }): Buffer {
  return icmpPacket(ends, isV4Text(ends.source) ? 0 : 129, Buffer.concat([u16(ends.id), u16(1), Buffer.from("ping")]));
}

/** "Unreachable" about a frame, of which the IP header and 8 bytes go inside. */
export function unreachable(ends: Ends & IpOptions, about: Uint8Array): Buffer {
  const v4 = isV4Text(ends.source);
  const inner = about.subarray(ETHERNET_BYTES, ETHERNET_BYTES + (v4 ? IPV4_BYTES : IPV6_BYTES) + 8);
  return icmpPacket(ends, v4 ? 3 : 1, Buffer.concat([u32(0), inner]), v4 ? 3 : 4);
}

export function arpPacket({ source, destination }: Ends, operation = 1): Buffer {
  const mac = Buffer.from("02000000000a", "hex");
  return ethernet(
    ETHER_TYPE.arp,
    Buffer.concat([
      Buffer.from("000108000604", "hex"),
      u16(operation),
      mac,
      wireAddress(source),
      Buffer.alloc(6),
      wireAddress(destination),
    ]),
  );
}

/** A neighbour solicitation (135) or advertisement (136) about `target`. */
export function neighbourPacket(ends: Ends & IpOptions, type: 135 | 136, target: string): Buffer {
  return icmpPacket({ hopLimit: 255, ...ends }, type, Buffer.concat([u32(0), wireAddress(target)]));
}

export interface ReadPacket {
  /** 4 or 16 bytes in hex. */
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Of the IPv4 header and of TCP or UDP (0 in UDP over IPv4 counts as right). */
  readonly checksumsRight: boolean;
}

/** An address as `readPacket` gives it. */
export function wireHex(address: string): string {
  return Buffer.from(wireAddress(address)).toString("hex");
}

/** Reads a TCP or UDP frame without options, extensions or pieces. */
export function readPacket(frame: Uint8Array): ReadPacket {
  const bytes = Buffer.from(frame);
  const v4 = bytes.readUInt16BE(12) === ETHER_TYPE.ipv4;
  const packet = bytes.subarray(ETHERNET_BYTES);
  const headerBytes = v4 ? IPV4_BYTES : IPV6_BYTES;
  const end = v4 ? packet.readUInt16BE(2) : IPV6_BYTES + packet.readUInt16BE(4);
  const protocol = packet.readUInt8(v4 ? 9 : 6);
  assert(protocol === PROTOCOL.TCP || protocol === PROTOCOL.UDP, `protocol ${protocol} is not read back`);
  const [from, length] = v4 ? [12, 4] : [8, 16];
  const source = packet.subarray(from, from + length);
  const destination = packet.subarray(from + length, from + 2 * length);
  const transport = packet.subarray(headerBytes, end);
  const pseudo = v4
    ? Buffer.concat([source, destination, u16(protocol), u16(transport.length)])
    : Buffer.concat([source, destination, u32(transport.length), u32(protocol)]);
  const none = v4 && protocol === PROTOCOL.UDP && transport.readUInt16BE(6) === 0;
  const headerRight = !v4 || checksum(packet.subarray(0, headerBytes)) === 0;
  return {
    source: source.toString("hex"),
    destination: destination.toString("hex"),
    protocol,
    sourcePort: transport.readUInt16BE(0),
    destinationPort: transport.readUInt16BE(2),
    checksumsRight: headerRight && (none || checksum(pseudo, transport) === 0),
  };
}
