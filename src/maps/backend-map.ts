/** `backends`: where a backend id leads. */
import type { MapLayout } from "../model/layout.ts";
import { address, be16, struct, u8, u32 } from "./struct.ts";

export interface BackendKey {
  /** 1..2^32-1. */
  readonly id: number;
}

export interface BackendValue {
  /** 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly protocol: number;
  readonly clusterId: number;
}

const key = struct<BackendKey>("backend_key", { id: u32 });
const value = struct<BackendValue>("backend_value", { address, port: be16, protocol: u8, clusterId: u8 }, 4);

export const BACKEND_MAP: MapLayout = { name: "backends", key: key.layout, value: value.layout };
export const encodeBackendKey = key.encode;
export const decodeBackendKey = key.decode;
export const encodeBackendValue = value.encode;
export const decodeBackendValue = value.decode;
