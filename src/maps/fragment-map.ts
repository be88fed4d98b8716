/** `fragments`: what the first piece of a packet says of the others. Written by the programs only. */
import type { MapLayout } from "../model/layout.ts";
import { address, be16, struct, u8, u32, u64 } from "./struct.ts";

export interface FragmentKey {
  /** 16 bytes each. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** The identification's bytes as they stand in the packet. */
  readonly id: number;
  /** Of IPv4; 0 for IPv6. */
  readonly protocol: number;
}

export interface FragmentValue {
  /** On the boot clock. */
  readonly expiresNs: bigint;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly icmpType: number;
}

const key = struct<FragmentKey>("fragment_key", { source: address, destination: address, id: u32, protocol: u8 }, 3);
const value = struct<FragmentValue>(
  "fragment_value",
  { expiresNs: u64, sourcePort: be16, destinationPort: be16, protocol: u8, icmpType: u8 },
  2,
);

export const FRAGMENT_MAP: MapLayout = { name: "fragments", key: key.layout, value: value.layout };
export const encodeFragmentKey = key.encode;
export const decodeFragmentKey = key.decode;
export const encodeFragmentValue = value.encode;
export const decodeFragmentValue = value.decode;
