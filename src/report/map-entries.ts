/** Entries of the kernel's maps in words: each field by its name. */
import { BACKEND_MAP, decodeBackendKey, decodeBackendValue } from "../maps/backend-map.ts";
import {
  decodeEndpointAddressKey,
  decodeEndpointAddressValue,
  decodeEndpointKey,
  decodeEndpointValue,
  ENDPOINT_ADDRESS_MAP,
  ENDPOINT_MAP,
} from "../maps/endpoint-map.ts";
import { decodeIpcacheCidrKey, decodeIpcacheCidrValue, IPCACHE_CIDR_MAP } from "../maps/ipcache-cidr-map.ts";
import { decodeIpcacheKey, decodeIpcacheValue, IPCACHE_MAP } from "../maps/ipcache-map.ts";
import { decodePolicyKey, decodePolicyValue, POLICY_FAMILY } from "../maps/policy-map.ts";
import { decodeServiceKey, decodeServiceValue, SERVICE_MAP } from "../maps/service-map.ts";
import { formatAddress } from "../model/address.ts";

type Decode = (bytes: Uint8Array) => object;

const DECODERS: ReadonlyMap<string, readonly [key: Decode, value: Decode]> = new Map<string, [Decode, Decode]>([
  [SERVICE_MAP.name, [decodeServiceKey, decodeServiceValue]],
  [BACKEND_MAP.name, [decodeBackendKey, decodeBackendValue]],
  [ENDPOINT_MAP.name, [decodeEndpointKey, decodeEndpointValue]],
  [ENDPOINT_ADDRESS_MAP.name, [decodeEndpointAddressKey, decodeEndpointAddressValue]],
  [IPCACHE_MAP.name, [decodeIpcacheKey, decodeIpcacheValue]],
  [IPCACHE_CIDR_MAP.name, [decodeIpcacheCidrKey, decodeIpcacheCidrValue]],
  [POLICY_FAMILY.name, [decodePolicyKey, decodePolicyValue]],
]);

/** @param map of a family: the family's name. */
export function entryKeyText(map: string, key: Uint8Array): string {
  return words(DECODERS.get(map)?.[0], key);
}

export function entryValueText(map: string, value: Uint8Array): string {
  return words(DECODERS.get(map)?.[1], value);
}

/** In hex where nobody knows the fields. */
function words(decode: Decode | undefined, bytes: Uint8Array): string {
  if (decode === undefined) return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const fields = Object.entries(decode(bytes) as Readonly<Record<string, unknown>>);
  return fields
    .map(([name, value]) => `${name}=${value instanceof Uint8Array ? formatAddress(value) : value}`)
    .join(" ");
}
