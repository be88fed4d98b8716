/** `ipcache`: the identity behind a single address. */
import type { MapLayout } from "../model/layout.ts";
import { address, struct, u8, u32 } from "./struct.ts";

export interface IpcacheKey {
  /** 16 bytes. */
  readonly address: Uint8Array;
}

export interface IpcacheValue {
  readonly identity: number;
  readonly clusterId: number;
}

const key = struct<IpcacheKey>("ipcache_key", { address });
const value = struct<IpcacheValue>("ipcache_value", { identity: u32, clusterId: u8 }, 3);

export const IPCACHE_MAP: MapLayout = { name: "ipcache", key: key.layout, value: value.layout };
export const encodeIpcacheKey = key.encode;
export const decodeIpcacheKey = key.decode;
export const encodeIpcacheValue = value.encode;
export const decodeIpcacheValue = value.decode;
