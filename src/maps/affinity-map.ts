/** `affinities`: which backend a client of a service with session affinity was given. Written by the programs only. */
import type { MapLayout } from "../model/layout.ts";
import { address, be16, struct, u8, u16, u32, u64 } from "./struct.ts";

export interface AffinityKey {
  /** The kernel's cookie of the client's network namespace; 0 where its address says who it is. */
  readonly cookie: bigint;
  /** The client's 16 bytes, zero where its namespace says who it is. */
  readonly client: Uint8Array;
  /** The service's 16 bytes. */
  readonly service: Uint8Array;
  readonly port: number;
  /** IP protocol number. */
  readonly protocol: number;
}

export interface AffinityValue {
  /** Of the last connection, on the boot clock. */
  readonly usedNs: bigint;
  readonly backendId: number;
  /** Where the service had the backend then. */
  readonly slot: number;
}

const key = struct<AffinityKey>(
  "affinity_key",
  { cookie: u64, client: address, service: address, port: be16, protocol: u8 },
  5,
);
const value = struct<AffinityValue>("affinity_value", { usedNs: u64, backendId: u32, slot: u16 }, 2);

export const AFFINITY_MAP: MapLayout = { name: "affinities", key: key.layout, value: value.layout };
export const encodeAffinityKey = key.encode;
export const decodeAffinityKey = key.decode;
export const encodeAffinityValue = value.encode;
export const decodeAffinityValue = value.decode;
