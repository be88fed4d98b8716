/** `ipcache_cidrs`: asked where `ipcache` has no entry. The longest prefix that holds the address answers. */
import type { MapLayout } from "../model/layout.ts";
import { address, struct, u8, u32 } from "./struct.ts";

export interface IpcacheCidrKey {
  /** Over the 16 bytes: 96 more than written for v4. */
  readonly prefixLength: number;
  /** 16 bytes, no bit set behind the prefix. */
  readonly address: Uint8Array;
}

export interface IpcacheCidrValue {
  readonly identity: number;
  /** IPCACHE_CIDR_CLAIMED, or 0. */
  readonly flags: number;
}

/** A cluster's pods are here: an address without an entry of its own is of unknown identity, not world. */
export const IPCACHE_CIDR_CLAIMED = 1;

const key = struct<IpcacheCidrKey>("ipcache_cidr_key", { prefixLength: u32, address });
const value = struct<IpcacheCidrValue>("ipcache_cidr_value", { identity: u32, flags: u8 }, 3);

export const IPCACHE_CIDR_MAP: MapLayout = { name: "ipcache_cidrs", key: key.layout, value: value.layout };
export const encodeIpcacheCidrKey = key.encode;
export const decodeIpcacheCidrKey = key.decode;
export const encodeIpcacheCidrValue = value.encode;
export const decodeIpcacheCidrValue = value.decode;
