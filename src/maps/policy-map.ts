/** `policies`: one LPM map for each distinct compiled policy of one direction, in the slot that endpoints name. */
import type { FamilyLayout } from "../model/layout.ts";
import { be16, struct, u8, u32 } from "./struct.ts";

export interface PolicyKey {
  /** One of POLICY_PREFIX, or `POLICY_PREFIX.port + n` for the first n bits of a port. */
  readonly prefixLength: number;
  /** 0: anybody. */
  readonly identity: number;
  /** IP protocol number; 0 where the prefix ends before it. */
  readonly protocol: number;
  /** For ICMP the message's type. Bits behind the prefix are 0. */
  readonly port: number;
}

/** In bits: the identity; with protocol; with protocol and no bit of the port; with all of it. */
export const POLICY_PREFIX = { identity: 32, protocol: 40, port: 48, exact: 64 } as const;

export interface PolicyValue {
  /** Number of the rule that says so. */
  readonly rule: number;
  /** VERDICT_ALLOWED or VERDICT_DENIED. */
  readonly verdict: number;
}

export const VERDICT_ALLOWED = 1;
export const VERDICT_DENIED = 2;
/** Entries of one policy. */
export const POLICY_MAX_ENTRIES = 16_384;
/** Slots, of which 0 is never used. */
export const POLICY_SLOTS = 4096;

const key = struct<PolicyKey & { readonly reserved: number }>("policy_key", {
  prefixLength: u32,
  identity: u32,
  protocol: u8,
  reserved: u8,
  port: be16,
});
const value = struct<PolicyValue>("policy_value", { rule: u32, verdict: u8 }, 3);

export const POLICY_FAMILY: FamilyLayout = {
  name: "policies",
  key: key.layout,
  value: value.layout,
  maxEntries: POLICY_MAX_ENTRIES,
};

export function encodePolicyKey(policyKey: PolicyKey): Uint8Array {
  return key.encode({ ...policyKey, reserved: 0 });
}

export const decodePolicyKey: (bytes: Uint8Array) => PolicyKey = key.decode;
export const encodePolicyValue = value.encode;
export const decodePolicyValue = value.decode;
