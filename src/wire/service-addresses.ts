/**
 * Addresses for services that ask for none, out of one range. Each has the one that its name hashes to, so that every process gives the same.
 * Of two whose names hash to the same, the first keeps it and the other has the next one that nobody's name stands for, or that is free at all.
 */
import { createHash } from "node:crypto";
import { type Cidr, cidrContains, formatAddress, isV4, parseAddress } from "../model/address.ts";

export interface ServiceAddresses {
  /** `namespace/name` -> address. */
  readonly given: ReadonlyMap<string, string>;
  /** Those of them that have another address than that of their name, and why. One line each. */
  readonly moved: readonly string[];
  /** Those that have none: the range is full. */
  readonly refused: readonly string[];
}

export interface AddressWishes {
  /** `namespace/name` of those that want one, in the order of who goes first. */
  readonly services: readonly string[];
  readonly cidr: Cidr;
  /** Address -> who asked for it by name, wherever it lies. */
  readonly asked: ReadonlyMap<string, string>;
  /** What was given before: whoever has an address keeps it, a service that was away too, unless it went to another meanwhile. */
  readonly before: ReadonlyMap<string, string>;
}

/** Addresses that may be given: neither the first nor the last of the range. */
function roomOf(cidr: Cidr): bigint {
  return (1n << BigInt((isV4(cidr.address) ? 32 : 128) - cidr.bits)) - 2n;
}

/** @param place from 0. */
function addressAt(cidr: Cidr, place: bigint): string {
  const address = cidr.address.slice();
  for (let index = address.length - 1, rest = place + 1n; rest > 0n; index--, rest >>= 8n) {
    address[index] = (address[index] ?? 0) | Number(rest & 0xffn);
  }
  return formatAddress(address);
}

function placeOf(service: string, cidr: Cidr): bigint {
  return BigInt(`0x${createHash("sha256").update(service).digest("hex")}`) % roomOf(cidr);
}

/** The address that a service's name hashes to. */
export function addressOfName(service: string, cidr: Cidr): string {
  return addressAt(cidr, placeOf(service, cidr));
}

export function giveAddresses({ services, cidr, asked, before }: AddressWishes): ServiceAddresses {
  const holders = new Map([...asked].filter(([address]) => isIn(cidr, address)));
  const given = new Map<string, string>();
  const give = (service: string, address: string | undefined): void => {
    if (address === undefined || given.has(service) || holders.has(address)) return;
    holders.set(address, service);
    given.set(service, address);
  };
  for (const service of services) give(service, before.get(service));
  // Before anybody is moved: else one that was moved could take what another's name stands for.
  for (const service of services) give(service, addressOfName(service, cidr));
  const refused: string[] = [];
  for (const service of services) {
    give(service, given.has(service) ? undefined : nextFree(service, cidr, holders));
    if (!given.has(service)) refused.push(service);
  }
  return { given, moved: movedLines(given, cidr, holders), refused };
}

function isIn(cidr: Cidr, text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && cidrContains(cidr, address);
}

function nextFree(service: string, cidr: Cidr, holders: ReadonlyMap<string, string>): string | undefined {
  const room = roomOf(cidr);
  const first = placeOf(service, cidr);
  // Of one more address than there are holders, one is free.
  const tries = room < BigInt(holders.size + 1) ? Number(room) : holders.size + 1;
  for (let step = 0; step < tries; step++) {
    const address = addressAt(cidr, (first + BigInt(step)) % room);
    if (!holders.has(address)) return address;
  }
  return undefined;
}

function movedLines(
  given: ReadonlyMap<string, string>,
  cidr: Cidr,
  holders: ReadonlyMap<string, string>,
): readonly string[] {
  return [...given].flatMap(([service, address]) => {
    const own = addressOfName(service, cidr);
    if (address === own) return [];
    const holder = holders.get(own);
    const why = holder === undefined ? "was another's when it came" : `is ${holder}'s`;
    return [`Service ${service} has ${address}: ${own}, the address of its name, ${why}`];
  });
}
