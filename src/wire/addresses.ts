/** Addresses and prefixes inside values: canonical text, netmasks in base64, and what no cluster may ever claim. */
import { bitsEqual, type Cidr, cidrContains, formatAddress, isV4, parseAddress, parseCidr } from "../model/address.ts";
import type { Fields } from "./fields.ts";
import { type Path, quote, Refusal } from "./refusal.ts";

/** Ranges that mean something else on every host: nobody may route them to a cluster. */
const FORBIDDEN: readonly (readonly [string, string])[] = [
  ["0.0.0.0/8", "unspecified"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local, the metadata service included"],
  ["224.0.0.0/4", "multicast"],
  ["255.255.255.255/32", "broadcast"],
  ["::/128", "unspecified"],
  ["::1/128", "loopback"],
  ["fe80::/10", "link-local"],
  ["ff00::/8", "multicast"],
  ["fd00:ec2::254/128", "a metadata service"],
];

/** The prefix in text of our own; anything else is a mistake of the caller. */
export function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr) throw new RangeError(`no prefix: ${text}`);
  return cidr;
}

const FORBIDDEN_CIDRS = FORBIDDEN.map(([text, meaning]) => ({ cidr: cidrOf(text), meaning }));

/** First bytes of the IPv4 addresses among them: most addresses need no further look. */
const SUSPECT_FIRST_BYTES: ReadonlySet<number> = new Set(
  Array.from({ length: 256 }, (_, byte) => byte).filter((byte) =>
    FORBIDDEN_CIDRS.some(
      ({ cidr }) =>
        isV4(cidr.address) && bitsEqual(cidr.address.subarray(12), Uint8Array.of(byte), Math.min(8, cidr.bits)),
    ),
  ),
);

/** Where IPv4 lies among IPv6 addresses: a v6 prefix that holds this address holds all of IPv4, in every table whose keys have 16 bytes. */
const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0);

function holdsMapped({ address, bits }: Cidr): boolean {
  return !isV4(address) && bitsEqual(address, MAPPED, bits);
}

/** Why no cluster may claim any part of `cidr`, or undefined when one may. */
export function forbiddenRange(cidr: Cidr): string | undefined {
  if (isV4(cidr.address) && cidr.bits >= 8 && !SUSPECT_FIRST_BYTES.has(cidr.address[12] ?? 0)) return undefined;
  if (holdsMapped(cidr)) return "mapped IPv4";
  for (const forbidden of FORBIDDEN_CIDRS) {
    if (cidrContains(forbidden.cidr, cidr.address) || cidrContains(cidr, forbidden.cidr.address)) {
      return forbidden.meaning;
    }
  }
  return undefined;
}

export function hostCidr(address: Uint8Array): Cidr {
  return { address, bits: isV4(address) ? 32 : 128 };
}

/** Canonical text of an address that a cluster may claim. */
export function readAddress(text: string, path: Path): string {
  const address = parseAddress(text);
  if (!address) throw new Refusal("malformed", `${quote(text)} is no IP address`, path);
  const meaning = forbiddenRange(hostCidr(address));
  if (meaning !== undefined) throw new Refusal("forbidden-address", `${quote(text)} is ${meaning}`, path);
  return formatAddress(address);
}

/** The same for a field that may be absent or "". */
export function readOptionalAddress(fields: Fields, name: string): string {
  const text = fields.text(name);
  return text === "" ? "" : readAddress(text, [...fields.path, name]);
}

/** A prefix that a cluster may claim. */
export function readCidr(text: string, path: Path): Cidr {
  const cidr = parseCidr(text);
  if (!cidr) throw new Refusal("malformed", `${quote(text)} is no prefix, or has bits beyond its length`, path);
  const meaning = forbiddenRange(cidr);
  if (meaning !== undefined) throw new Refusal("forbidden-address", `${quote(text)} holds ${meaning} addresses`, path);
  return cidr;
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let index = 0; index < bytes.length; index += 3) {
    const left = bytes.length - index;
    const bits = ((bytes[index] ?? 0) << 16) | ((bytes[index + 1] ?? 0) << 8) | (bytes[index + 2] ?? 0);
    for (let digit = 0; digit < 4; digit++) {
      text += digit > left ? "=" : BASE64[(bits >> (18 - 6 * digit)) & 63];
    }
  }
  return text;
}

function netmask(bits: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => 0xff00 >> Math.min(8, Math.max(0, bits - 8 * index)));
}

/** Netmask text by prefix length: index 0 to 32, and 0 to 128. */
const MASKS_V4 = Array.from({ length: 33 }, (_, bits) => base64(netmask(bits, 4)));
const MASKS_V6 = Array.from({ length: 129 }, (_, bits) => base64(netmask(bits, 16)));

/** The netmask of a prefix as Go writes it: base64 of 4 or 16 bytes. */
export function maskText(cidr: Cidr): string {
  const text = (isV4(cidr.address) ? MASKS_V4 : MASKS_V6)[cidr.bits];
  if (text === undefined) throw new RangeError(`no prefix length: ${cidr.bits}`);
  return text;
}

/** The prefix length of a netmask of the address's family, or -1 when it is none. */
export function maskBits(text: string, address: Uint8Array): number {
  return (isV4(address) ? MASKS_V4 : MASKS_V6).indexOf(text);
}
