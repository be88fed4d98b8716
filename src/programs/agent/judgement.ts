/** What an endpoint does with a packet, asked of the maps as the programs ask them: those compiled, or those in the kernel. */
import type { KernelMap, KernelMapFamily, MapEntries } from "../../kernel/door.ts";
import {
  decodeEndpointValue,
  ENDPOINT_FLAGS,
  ENDPOINT_MAP,
  type EndpointValue,
  encodeEndpointKey,
} from "../../maps/endpoint-map.ts";
import {
  decodeIpcacheCidrValue,
  encodeIpcacheCidrKey,
  IPCACHE_CIDR_CLAIMED,
  IPCACHE_CIDR_MAP,
} from "../../maps/ipcache-cidr-map.ts";
import { decodeIpcacheValue, encodeIpcacheKey, IPCACHE_MAP } from "../../maps/ipcache-map.ts";
import { POLICY_FAMILY } from "../../maps/policy-map.ts";
import { isV4 } from "../../model/address.ts";
import { RESERVED_IDENTITIES } from "../../model/identity.ts";
import type { Direction } from "../../model/policy.ts";
import { type Decision, decide, FORWARDED } from "../../policy/decide.ts";
import { type DesiredMap, type EntryKey, entryKey } from "../../tables/desired-map.ts";

/** Entries of one map, by the bytes of their keys. */
export interface Entries {
  get(key: EntryKey): Uint8Array | undefined;
}

export interface JudgedMaps {
  readonly map: (name: string) => Entries;
  /** Entries of a slot; undefined when it is empty. */
  readonly policy: (slot: number) => Promise<Entries | undefined>;
}

/** The other end of the packet. */
export interface Packet {
  /** 16 bytes. */
  readonly peer: Uint8Array;
  readonly protocol: number;
  readonly port: number;
}

const ADDRESS_BITS = 128;
const V4_BITS_BEFORE = 96;

export function compiledMaps(
  desired: ReadonlyMap<string, DesiredMap>,
  families: ReadonlyMap<string, ReadonlyMap<number, DesiredMap>>,
): JudgedMaps {
  return {
    map: (name) => desired.get(name) as DesiredMap,
    policy: async (slot) => families.get(POLICY_FAMILY.name)?.get(slot),
  };
}

/** Each question goes to the kernel. */
export function kernelMaps(
  maps: ReadonlyMap<string, KernelMap>,
  families: ReadonlyMap<string, KernelMapFamily>,
): JudgedMaps {
  return {
    map: (name) => ({ get: (key) => maps.get(name)?.lookup(Buffer.from(key, "latin1")) }),
    async policy(slot) {
      const found = (await families.get(POLICY_FAMILY.name)?.read())?.get(slot);
      return found && entriesOf(await found.dump(), found);
    },
  };
}

export function entriesOf(
  { count, keys, values }: MapEntries,
  { keySize, valueSize }: KernelMap,
): Map<EntryKey, Uint8Array> {
  const entries = new Map<EntryKey, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const value = values.subarray(index * valueSize, (index + 1) * valueSize);
    entries.set(entryKey(keys.subarray(index * keySize, (index + 1) * keySize)), value);
  }
  return entries;
}

/** The identity behind an address; 0: a cluster's, and not known. */
export function identityOf({ map }: JudgedMaps, address: Uint8Array): number {
  const single = map(IPCACHE_MAP.name).get(entryKey(encodeIpcacheKey({ address })));
  if (single !== undefined) return decodeIpcacheValue(single).identity;
  const cidrs = map(IPCACHE_CIDR_MAP.name);
  const shortest = isV4(address) ? V4_BITS_BEFORE : 0;
  for (let prefixLength = ADDRESS_BITS; prefixLength >= shortest; prefixLength--) {
    const key = encodeIpcacheCidrKey({ prefixLength, address: masked(address, prefixLength) });
    const found = cidrs.get(entryKey(key));
    if (found === undefined) continue;
    const { identity, flags } = decodeIpcacheCidrValue(found);
    return (flags & IPCACHE_CIDR_CLAIMED) === 0 ? identity : RESERVED_IDENTITIES.unknown;
  }
  return isV4(address) ? RESERVED_IDENTITIES["world-ipv4"] : RESERVED_IDENTITIES["world-ipv6"];
}

function masked(address: Uint8Array, bits: number): Uint8Array {
  return address.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - index * 8))));
}

/** An endpoint's entry; undefined when it has none. */
export function endpointOf({ map }: JudgedMaps, ifindex: number): EndpointValue | undefined {
  const value = map(ENDPOINT_MAP.name).get(entryKey(encodeEndpointKey({ ifindex })));
  return value && decodeEndpointValue(value);
}

/** What the endpoint at `ifindex` does with a packet of a new connection. */
export async function judge(
  maps: JudgedMaps,
  ifindex: number,
  direction: Direction,
  { peer, protocol, port }: Packet,
): Promise<Decision> {
  const endpoint = endpointOf(maps, ifindex);
  if (endpoint === undefined || (endpoint.flags & ENDPOINT_FLAGS.denied) !== 0) return dropped("endpoint-unknown");
  const slot = direction === "ingress" ? endpoint.ingressPolicy : endpoint.egressPolicy;
  if (slot === 0) return FORWARDED;
  const identity = identityOf(maps, peer);
  const audit = direction === "ingress" ? ENDPOINT_FLAGS.auditIngress : ENDPOINT_FLAGS.auditEgress;
  const audited = (decision: Decision): Decision =>
    (endpoint.flags & audit) === 0 ? decision : { ...decision, verdict: "audited" };
  if (identity === RESERVED_IDENTITIES.unknown) return audited(dropped("identity-unknown"));
  const entries = await maps.policy(slot);
  if (entries === undefined) return dropped("policy-missing");
  const decision = decide(entries, { identity, protocol, port });
  return decision.reason === "policy-denied" ? audited(decision) : decision;
}

function dropped(reason: Decision["reason"]): Decision {
  return { verdict: "dropped", reason, rule: 0 };
}
