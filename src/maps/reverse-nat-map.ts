/** `reverse_nat`: which service address a socket asked for when it was sent to a backend. Written by the programs only. */
import type { MapLayout } from "../model/layout.ts";
import { address, be16, struct, u64 } from "./struct.ts";

export interface ReverseNatKey {
  /** The kernel's socket cookie. */
  readonly cookie: bigint;
  /** The backend's 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

export interface ReverseNatValue {
  /** The service's 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

const key = struct<ReverseNatKey>("reverse_nat_key", { cookie: u64, address, port: be16 }, 6);
const value = struct<ReverseNatValue>("reverse_nat_value", { address, port: be16 }, 6);

export const REVERSE_NAT_MAP: MapLayout = { name: "reverse_nat", key: key.layout, value: value.layout };
export const encodeReverseNatKey = key.encode;
export const decodeReverseNatKey = key.decode;
export const encodeReverseNatValue = value.encode;
export const decodeReverseNatValue = value.decode;
