/** `conntrack`: connections that an endpoint's policy let in or out, so that their answers pass. Written by the programs only. */
import type { MapLayout } from "../model/layout.ts";
import { address, be16, struct, u8, u16, u32, u64 } from "./struct.ts";

export interface ConntrackKey {
  /** 16 bytes each, as the connection's first packet goes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** For ICMP echo the ports are its id and 0. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** The workload's device. */
  readonly ifindex: number;
  readonly protocol: number;
  /** 0 ingress, 1 egress, 2 from a service address to its backend. */
  readonly direction: number;
}

export interface ConntrackValue {
  /** On the boot clock. */
  readonly expiresNs: bigint;
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly natAddress: Uint8Array;
  readonly natPort: number;
  readonly flags: number;
  readonly identity: number;
  readonly backendId: number;
  readonly rule: number;
}

const key = struct<ConntrackKey>(
  "conntrack_key",
  {
    source: address,
    destination: address,
    sourcePort: be16,
    destinationPort: be16,
    ifindex: u32,
    protocol: u8,
    direction: u8,
  },
  2,
);
const value = struct<ConntrackValue>("conntrack_value", {
  expiresNs: u64,
  packets: u64,
  bytes: u64,
  natAddress: address,
  natPort: be16,
  flags: u16,
  identity: u32,
  backendId: u32,
  rule: u32,
});

export const CONNTRACK_MAP: MapLayout = { name: "conntrack", key: key.layout, value: value.layout };
export const encodeConntrackKey = key.encode;
export const decodeConntrackKey = key.decode;
export const encodeConntrackValue = value.encode;
export const decodeConntrackValue = value.decode;
