/**
 * IP addresses as 16 bytes, v4 as ::ffff:a.b.c.d, so that v4, v6 and v4-mapped sockets share one key.
 * Text is canonical: dotted for v4, RFC 5952 for v6. No regular expressions: remote text reaches this.
 */
import assert from "node:assert/strict";

export const ADDRESS_BYTES = 16;
const LONGEST_ADDRESS_TEXT = 45;

function parseDecimalByte(text: string, from = 0, to = text.length): number {
  if (to <= from || to > from + 3) return -1;
  let value = 0;
  for (let index = from; index < to; index++) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  if (to > from + 1 && text.charCodeAt(from) === 48) return -1;
  return value <= 255 ? value : -1;
}

function parseV4(text: string, into: Uint8Array, at: number): boolean {
  let from = 0;
  for (let part = 0; part < 4; part++) {
    const to = part < 3 ? text.indexOf(".", from) : text.length;
    const value = parseDecimalByte(text, from, to);
    if (value < 0) return false;
    into[at + part] = value;
    from = to + 1;
  }
  return true;
}

function parseHexGroup(text: string): number {
  if (text.length === 0 || text.length > 4) return -1;
  let value = 0;
  for (let index = 0; index < text.length; index++) {
    const digit = "0123456789abcdef".indexOf(text[index]?.toLowerCase() ?? "");
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/** Reads groups into `into` from `at`; returns the bytes written, or -1. A dotted tail is allowed when `last`. */
function parseGroups(text: string, into: Uint8Array, at: number, last: boolean): number {
  if (text === "") return 0;
  const groups = text.split(":");
  let offset = at;
  for (const [index, group] of groups.entries()) {
    if (last && index === groups.length - 1 && group.includes(".")) {
      if (offset + 4 > into.length || !parseV4(group, into, offset)) return -1;
      return offset + 4 - at;
    }
    const value = parseHexGroup(group);
    if (value < 0 || offset + 2 > into.length) return -1;
    into[offset] = value >> 8;
    into[offset + 1] = value & 0xff;
    offset += 2;
  }
  return offset - at;
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  const address = new Uint8Array(ADDRESS_BYTES);
  if (halves.length === 1) {
    return parseGroups(text, address, 0, true) === ADDRESS_BYTES ? address : undefined;
  }
  if (halves.length !== 2) return undefined;
  const tail = new Uint8Array(ADDRESS_BYTES);
  const headBytes = parseGroups(halves[0] ?? "", address, 0, false);
  const tailBytes = parseGroups(halves[1] ?? "", tail, 0, true);
  if (headBytes < 0 || tailBytes < 0 || headBytes + tailBytes > ADDRESS_BYTES - 2) return undefined;
  address.set(tail.subarray(0, tailBytes), ADDRESS_BYTES - tailBytes);
  return address;
}

/** The 16 bytes of an IPv4 or IPv6 address, or undefined when the text is not one (zones and CIDRs are not). */
export function parseAddress(text: string): Uint8Array | undefined {
  if (text.length > LONGEST_ADDRESS_TEXT) return undefined;
  if (text.includes(":")) return parseV6(text);
  const address = new Uint8Array(ADDRESS_BYTES);
  address[10] = 0xff;
  address[11] = 0xff;
  return parseV4(text, address, 12) ? address : undefined;
}

/** True for ::ffff:a.b.c.d. */
export function isV4(address: Uint8Array): boolean {
  for (let index = 0; index < 10; index++) if (address[index] !== 0) return false;
  return address[10] === 0xff && address[11] === 0xff;
}

/** The longest run of two or more zero groups, first one winning (RFC 5952 section 4.2). */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: -1, length: 1 };
  let start = -1;
  for (let index = 0; index <= groups.length; index++) {
    if (groups[index] === 0) {
      if (start < 0) start = index;
    } else if (start >= 0) {
      if (index - start > best.length) best = { start, length: index - start };
      start = -1;
    }
  }
  return best;
}

/** Canonical text of 16 address bytes. */
export function formatAddress(address: Uint8Array): string {
  assert.equal(address.length, ADDRESS_BYTES, "an address has 16 bytes");
  if (isV4(address)) return `${address[12]}.${address[13]}.${address[14]}.${address[15]}`;
  const groups: number[] = [];
  for (let index = 0; index < ADDRESS_BYTES; index += 2) {
    groups.push(((address[index] ?? 0) << 8) | (address[index + 1] ?? 0));
  }
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  if (run.start < 0) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

/** `text` in canonical form, or undefined when it is not an address. */
export function canonicalAddress(text: string): string | undefined {
  const address = parseAddress(text);
  return address && formatAddress(address);
}

/** An address with its number of leading bits, counted in the family as written: 0..32 for v4, 0..128 for v6. */
export interface Cidr {
  readonly address: Uint8Array;
  readonly bits: number;
}

/** Parses `a.b.c.d/n` or `x::/n`; undefined when malformed or when bits are set beyond the prefix. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const bits = parseDecimalByte(text, slash + 1);
  if (!address || bits < 0) return undefined;
  const v4 = isV4(address);
  if (bits > (v4 ? 32 : 128)) return undefined;
  const cidr = { address, bits };
  return cidrContains(cidr, address) && hasNoHostBits(cidr) ? cidr : undefined;
}

/** Canonical `address/bits`. */
export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.address)}/${cidr.bits}`;
}

/** Prefix length over the 16 bytes: 96 more than written for v4. */
export function prefixBits(cidr: Cidr): number {
  return isV4(cidr.address) ? cidr.bits + 96 : cidr.bits;
}

/** Whether the first `bits` of the 16 bytes are the same. */
export function bitsEqual(left: Uint8Array, right: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let index = 0; index < whole; index++) if (left[index] !== right[index]) return false;
  const rest = bits & 7;
  if (rest === 0) return true;
  return ((left[whole] ?? 0) ^ (right[whole] ?? 0)) >> (8 - rest) === 0;
}

function hasNoHostBits(cidr: Cidr): boolean {
  const bits = prefixBits(cidr);
  for (let bit = bits; bit < 128; bit++) {
    if (((cidr.address[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) return false;
  }
  return true;
}

/** Whether `address` lies inside `cidr`. A v6 prefix shorter than 96 bits does not contain v4 addresses. */
export function cidrContains(cidr: Cidr, address: Uint8Array): boolean {
  return isV4(cidr.address) === isV4(address) && bitsEqual(cidr.address, address, prefixBits(cidr));
}
