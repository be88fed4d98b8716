/** `flows`: packets counted by flow, and the record that the `events` ring carries. Written by the programs only. */
import { DROP_REASONS, EVENT_KINDS, VERDICTS } from "../model/flow.ts";
import type { EnumLayout, MapLayout, StructLayout } from "../model/layout.ts";
import { address, be16, nested, struct, u8, u32, u64 } from "./struct.ts";

export interface FlowKey {
  /** 16 bytes each. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  /** For ICMP the message's type. */
  readonly destinationPort: number;
  readonly ifindex: number;
  readonly protocol: number;
  /** 0 ingress, 1 egress. */
  readonly direction: number;
}

export interface FlowValue {
  readonly packets: bigint;
  readonly bytes: bigint;
  /** On the boot clock. */
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  /** When it was last reported. */
  readonly eventNs: bigint;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly rule: number;
  /** Index into VERDICTS. */
  readonly verdict: number;
  /** Index into DROP_REASONS. */
  readonly reason: number;
}

/** One record of the ring. */
export interface FlowEvent {
  /** On the boot clock. */
  readonly timeNs: bigint;
  readonly flow: FlowKey;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly rule: number;
  readonly bytes: number;
  readonly verdict: number;
  readonly reason: number;
  /** Index into EVENT_KINDS. */
  readonly kind: number;
}

const key = struct<FlowKey>(
  "flow_key",
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
const value = struct<FlowValue>(
  "flow_value",
  {
    packets: u64,
    bytes: u64,
    firstNs: u64,
    lastNs: u64,
    eventNs: u64,
    sourceIdentity: u32,
    destinationIdentity: u32,
    rule: u32,
    verdict: u8,
    reason: u8,
  },
  2,
);
const event = struct<FlowEvent>(
  "flow_event",
  {
    timeNs: u64,
    flow: nested(key, 4),
    sourceIdentity: u32,
    destinationIdentity: u32,
    rule: u32,
    bytes: u32,
    verdict: u8,
    reason: u8,
    kind: u8,
  },
  1,
);

export const FLOW_MAP: MapLayout = { name: "flows", key: key.layout, value: value.layout };
export const encodeFlowKey = key.encode;
export const decodeFlowKey = key.decode;
export const decodeFlowValue = value.decode;

/** Name of the ring. */
export const EVENT_RING = "events";
export const FLOW_EVENT: StructLayout = event.layout;
export const encodeFlowEvent = event.encode;
export const decodeFlowEvent = event.decode;

function enumLayout(name: string, prefix: string, names: readonly string[]): EnumLayout {
  const cName = (text: string): string => `${prefix}_${text.toUpperCase().replaceAll("-", "_")}`;
  return { name, values: names.map((text, value) => ({ name: cName(text), value })) };
}

export const VERDICT_ENUM = enumLayout("verdict", "VERDICT", VERDICTS);
export const DROP_REASON_ENUM = enumLayout("drop_reason", "REASON", DROP_REASONS);
export const EVENT_KIND_ENUM = enumLayout("event_kind", "EVENT", EVENT_KINDS);
