/** `metrics`: counters by named reason, one per processor in the kernel, read as their sum. Written by the programs only. */
import type { EnumLayout, MapLayout } from "../model/layout.ts";
import { struct, u32, u64 } from "./struct.ts";

/** In the order of `enum metric_reason`; new ones go last. */
export const METRIC_REASONS = [
  /** A connection or datagram was sent to a backend. */
  "translated",
  /** Refused: the service has no backend. */
  "no-backend",
  /** Refused: the slots tried named no backend that exists. */
  "backend-missing",
  /** Sent, but the service address could not be kept: the socket sees the backend's own. */
  "reverse-nat-failed",
  /** Nobody emptied the ring of events: a flow was counted, and not reported. */
  "events-lost",
  /** A packet passed (or, to a service, was dropped), but its connection could not be kept. */
  "conntrack-failed",
] as const;

export type MetricReason = (typeof METRIC_REASONS)[number];

export interface MetricKey {
  /** Index into METRIC_REASONS. */
  readonly reason: number;
}

export interface MetricValue {
  readonly count: bigint;
}

const key = struct<MetricKey>("metric_key", { reason: u32 });
const value = struct<MetricValue>("metric_value", { count: u64 });

export const METRICS_MAP: MapLayout = { name: "metrics", key: key.layout, value: value.layout };
export const encodeMetricKey = key.encode;
export const decodeMetricKey = key.decode;
export const encodeMetricValue = value.encode;
export const decodeMetricValue = value.decode;

/** The C side of METRIC_REASONS: `no-backend` is METRIC_NO_BACKEND. */
export const METRIC_REASON_ENUM: EnumLayout = {
  name: "metric_reason",
  values: METRIC_REASONS.map((reason, index) => ({
    name: `METRIC_${reason.toUpperCase().replaceAll("-", "_")}`,
    value: index,
  })),
};
