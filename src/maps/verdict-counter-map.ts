/** `verdict_counters`: packets by what became of them, one row per processor in the kernel, read as their sum. Written by the programs only. */
import type { MapLayout } from "../model/layout.ts";
import { struct, u8, u64 } from "./struct.ts";

export interface VerdictCounterKey {
  /** Index into VERDICTS. */
  readonly verdict: number;
  /** Index into DROP_REASONS. */
  readonly reason: number;
  /** 0 ingress, 1 egress, seen from the endpoint. */
  readonly direction: number;
}

export interface VerdictCounterValue {
  readonly packets: bigint;
  /** With the Ethernet header. */
  readonly bytes: bigint;
}

const key = struct<VerdictCounterKey>("verdict_counter_key", { verdict: u8, reason: u8, direction: u8 }, 1);
const value = struct<VerdictCounterValue>("verdict_counter_value", { packets: u64, bytes: u64 });

export const VERDICT_COUNTER_MAP: MapLayout = { name: "verdict_counters", key: key.layout, value: value.layout };
export const encodeVerdictCounterKey = key.encode;
export const decodeVerdictCounterKey = key.decode;
export const encodeVerdictCounterValue = value.encode;
export const decodeVerdictCounterValue = value.decode;
