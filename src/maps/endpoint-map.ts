/** `endpoints`: the workload behind a device, and `endpoint_addresses`: what it may send from. */
import type { EnumLayout, MapLayout } from "../model/layout.ts";
import { address, struct, u32 } from "./struct.ts";

export interface EndpointKey {
  /** Host side, in the node's namespace. */
  readonly ifindex: number;
}

export interface EndpointValue {
  readonly identity: number;
  /** Slot of `policies`; 0: nothing is enforced in this direction. */
  readonly ingressPolicy: number;
  readonly egressPolicy: number;
  /** Sum of ENDPOINT_FLAGS. */
  readonly flags: number;
}

export const ENDPOINT_FLAGS = { denied: 1, auditIngress: 2, auditEgress: 4, unverified: 8 } as const;

export interface EndpointAddressKey {
  readonly ifindex: number;
  /** 16 bytes. */
  readonly address: Uint8Array;
}

export interface EndpointAddressValue {
  readonly identity: number;
}

const key = struct<EndpointKey>("endpoint_key", { ifindex: u32 });
const value = struct<EndpointValue>("endpoint_value", {
  identity: u32,
  ingressPolicy: u32,
  egressPolicy: u32,
  flags: u32,
});
const addressKey = struct<EndpointAddressKey>("endpoint_address_key", { ifindex: u32, address });
const addressValue = struct<EndpointAddressValue>("endpoint_address_value", { identity: u32 });

export const ENDPOINT_MAP: MapLayout = { name: "endpoints", key: key.layout, value: value.layout };
export const encodeEndpointKey = key.encode;
export const decodeEndpointKey = key.decode;
export const encodeEndpointValue = value.encode;
export const decodeEndpointValue = value.decode;

export const ENDPOINT_ADDRESS_MAP: MapLayout = {
  name: "endpoint_addresses",
  key: addressKey.layout,
  value: addressValue.layout,
};
export const encodeEndpointAddressKey = addressKey.encode;
export const decodeEndpointAddressKey = addressKey.decode;
export const encodeEndpointAddressValue = addressValue.encode;
export const decodeEndpointAddressValue = addressValue.decode;

export const ENDPOINT_FLAG_ENUM: EnumLayout = {
  name: "endpoint_flag",
  values: [
    { name: "ENDPOINT_DENIED", value: ENDPOINT_FLAGS.denied },
    { name: "ENDPOINT_AUDIT_INGRESS", value: ENDPOINT_FLAGS.auditIngress },
    { name: "ENDPOINT_AUDIT_EGRESS", value: ENDPOINT_FLAGS.auditEgress },
    { name: "ENDPOINT_UNVERIFIED", value: ENDPOINT_FLAGS.unverified },
  ],
};
