// Map entries read as the kernel reads them: exact hashes, and tries in which the longest prefix answers. Shares nothing with `src/policy`.
import assert from "node:assert/strict";
import {
  decodeEndpointAddressKey,
  decodeEndpointKey,
  decodeEndpointValue,
  type EndpointValue,
} from "../../../src/maps/endpoint-map.ts";
import {
  decodeIpcacheCidrKey,
  decodeIpcacheCidrValue,
  type IpcacheCidrValue,
} from "../../../src/maps/ipcache-cidr-map.ts";
import { decodeIpcacheKey, decodeIpcacheValue } from "../../../src/maps/ipcache-map.ts";
import { decodePolicyKey, decodePolicyValue, POLICY_PREFIX, type PolicyValue } from "../../../src/maps/policy-map.ts";
import { formatAddress, isV4, parseAddress } from "../../../src/model/address.ts";
import { type DesiredMap, keyBytes } from "../../../src/tables/desired-map.ts";

export interface Compiled {
  readonly endpoints: DesiredMap;
  readonly addresses: DesiredMap;
  readonly policies: ReadonlyMap<number, DesiredMap>;
  readonly ipcache: DesiredMap;
  readonly cidrs: DesiredMap;
}

function bytesOf(address: string): Uint8Array {
  const bytes = parseAddress(address);
  assert(bytes !== undefined, `${address} is an address`);
  return bytes;
}

/** `protocol` and `port` behind a prefix must be 0, as the kernel compares whole bytes of what it is given. */
function portMask(prefixLength: number): number {
  return prefixLength <= POLICY_PREFIX.port ? 0 : (0xffff << (POLICY_PREFIX.exact - prefixLength)) & 0xffff;
}

function numberOf(identity: number, protocol: number, port: number): number {
  return (identity * 256 + protocol) * 65536 + port;
}

export interface Match extends PolicyValue {
  readonly prefixLength: number;
}

/** One map inside `policies`. */
export class PolicyTrie {
  readonly #byPrefix = new Map<number, Map<number, PolicyValue>>();
  readonly #lengths: readonly number[];

  constructor(entries: DesiredMap) {
    for (const [key, value] of entries.entries()) {
      const { prefixLength, identity, protocol, port } = decodePolicyKey(keyBytes(key));
      const { identity: whole, protocol: withProtocol, port: fromPort, exact } = POLICY_PREFIX;
      const known = prefixLength === whole || prefixLength === withProtocol;
      assert(known || (prefixLength >= fromPort && prefixLength <= exact), `prefix length ${prefixLength}`);
      assert(prefixLength > whole || protocol === 0, "no protocol behind the identity's prefix");
      assert.equal(port & ~portMask(prefixLength), 0, "no bits behind the prefix");
      const rows = this.#byPrefix.get(prefixLength) ?? new Map<number, PolicyValue>();
      rows.set(numberOf(identity, protocol, port), decodePolicyValue(value));
      this.#byPrefix.set(prefixLength, rows);
    }
    this.#lengths = [...this.#byPrefix.keys()].sort((left, right) => right - left);
  }

  longest(identity: number, protocol: number, port: number): Match | undefined {
    for (const prefixLength of this.#lengths) {
      const withProtocol = prefixLength === POLICY_PREFIX.identity ? 0 : protocol;
      const key = numberOf(identity, withProtocol, port & portMask(prefixLength));
      const found = this.#byPrefix.get(prefixLength)?.get(key);
      if (found !== undefined) return { ...found, prefixLength };
    }
    return undefined;
  }
}

/** `ipcache_cidrs`. */
class AddressTrie {
  readonly #byLength = new Map<number, Map<string, IpcacheCidrValue>>();
  readonly #lengths: readonly number[];

  constructor(entries: DesiredMap) {
    for (const [key, value] of entries.entries()) {
      const { prefixLength, address } = decodeIpcacheCidrKey(keyBytes(key));
      assert.equal(bitsOf(address, prefixLength), bitsOf(address, 128).slice(0, prefixLength), "a prefix");
      assert(!bitsOf(address, 128).slice(prefixLength).includes("1"), "no bits behind the prefix");
      const rows = this.#byLength.get(prefixLength) ?? new Map<string, IpcacheCidrValue>();
      rows.set(bitsOf(address, prefixLength), decodeIpcacheCidrValue(value));
      this.#byLength.set(prefixLength, rows);
    }
    this.#lengths = [...this.#byLength.keys()].sort((left, right) => right - left);
  }

  longest(address: Uint8Array): IpcacheCidrValue | undefined {
    const bits = bitsOf(address, 128);
    for (const length of this.#lengths) {
      const found = this.#byLength.get(length)?.get(bits.slice(0, length));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

function bitsOf(address: Uint8Array, count: number): string {
  return [...address]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("")
    .slice(0, count);
}

export interface Peer {
  /** 0 when the address is a cluster's and no identity is known. */
  readonly identity: number;
  readonly unknown: boolean;
}

const WORLD_IPV4 = 9;
const WORLD_IPV6 = 10;
const CLAIMED = 1;

/** All maps of a node, decoded once. */
export class NodeMaps {
  readonly #endpoints = new Map<number, EndpointValue>();
  readonly #addresses = new Set<string>();
  readonly #policies = new Map<number, PolicyTrie>();
  readonly #compiled: Compiled;
  readonly #ipcache = new Map<string, number>();
  readonly #cidrs: AddressTrie;
  readonly #peers = new Map<string, Peer>();

  constructor(compiled: Compiled) {
    this.#compiled = compiled;
    for (const [key, value] of compiled.endpoints.entries()) {
      this.#endpoints.set(decodeEndpointKey(keyBytes(key)).ifindex, decodeEndpointValue(value));
    }
    for (const [key] of compiled.addresses.entries()) {
      const { ifindex, address } = decodeEndpointAddressKey(keyBytes(key));
      this.#addresses.add(`${ifindex} ${formatAddress(address)}`);
    }
    for (const [key, value] of compiled.ipcache.entries()) {
      this.#ipcache.set(formatAddress(decodeIpcacheKey(keyBytes(key)).address), decodeIpcacheValue(value).identity);
    }
    this.#cidrs = new AddressTrie(compiled.cidrs);
  }

  endpoint(ifindex: number): EndpointValue | undefined {
    return this.#endpoints.get(ifindex);
  }

  maySend(ifindex: number, address: string): boolean {
    return this.#addresses.has(`${ifindex} ${address}`);
  }

  policy(slot: number): PolicyTrie | undefined {
    const entries = this.#compiled.policies.get(slot);
    if (entries === undefined) return undefined;
    const trie = this.#policies.get(slot) ?? new PolicyTrie(entries);
    this.#policies.set(slot, trie);
    return trie;
  }

  peer(address: string): Peer {
    const peer = this.#peers.get(address) ?? this.#peerAt(address);
    this.#peers.set(address, peer);
    return peer;
  }

  #peerAt(address: string): Peer {
    const known = this.#ipcache.get(address);
    if (known !== undefined) return { identity: known, unknown: false };
    const bytes = bytesOf(address);
    const cidr = this.#cidrs.longest(bytes);
    if (cidr !== undefined && (cidr.flags & CLAIMED) !== 0) return { identity: 0, unknown: true };
    // A range without identity is there only to keep a wider one out.
    return { identity: cidr?.identity || (isV4(bytes) ? WORLD_IPV4 : WORLD_IPV6), unknown: false };
  }
}
