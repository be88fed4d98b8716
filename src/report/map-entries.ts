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
import { decodeFrontendValue, decodeServiceKey, decodeServiceValue, SERVICE_MAP } from "../maps/service-map.ts";
import { formatAddress } from "../model/address.ts";

type DecodeKey = (key: Uint8Array) => object;
type DecodeValue = (value: Uint8Array, key: Uint8Array) => object;

const decodeSlot: DecodeValue = (value, key) =>
  decodeServiceKey(key).slot === 0 ? decodeFrontendValue(value) : decodeServiceValue(value);

const DECODERS: ReadonlyMap<string, readonly [DecodeKey, DecodeValue]> = new Map<string, [DecodeKey, DecodeValue]>([
  [SERVICE_MAP.name, [decodeServiceKey, decodeSlot]],
  [BACKEND_MAP.name, [decodeBackendKey, decodeBackendValue]],
  [ENDPOINT_MAP.name, [decodeEndpointKey, decodeEndpointValue]],
  [ENDPOINT_ADDRESS_MAP.name, [decodeEndpointAddressKey, decodeEndpointAddressValue]],
  [IPCACHE_MAP.name, [decodeIpcacheKey, decodeIpcacheValue]],
  [IPCACHE_CIDR_MAP.name, [decodeIpcacheCidrKey, decodeIpcacheCidrValue]],
  [POLICY_FAMILY.name, [decodePolicyKey, decodePolicyValue]],
]);

/** @param map of a family: the family's name. */
export function entryKeyText(map: string, key: Uint8Array): string {
  const decode = DECODERS.get(map)?.[0];
  return words(key, decode?.(key));
}

/** @param key of the same entry: it may say what the value means. */
export function entryValueText(map: string, value: Uint8Array, key: Uint8Array): string {
  const decode = DECODERS.get(map)?.[1];
  return words(value, decode?.(value, key));
}

/** In hex where nobody knows the fields. */
function words(bytes: Uint8Array, decoded: object | undefined): string {
  if (decoded === undefined) return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const fields = Object.entries(decoded);
  return fields
    .map(([name, value]) => `${name}=${value instanceof Uint8Array ? formatAddress(value) : value}`)
    .join(" ");
}
