/** `connections`: what became of TCP connections that workloads opened, by the cluster at the other end, one row per processor, read as their sum. */
import type { EnumLayout, MapLayout } from "../model/layout.ts";
import { struct, u8, u64 } from "./struct.ts";

/** In the order of `enum connection_outcome`; new ones go last. */
export const CONNECTION_OUTCOMES = [
  "started",
  /** Something came back that is no reset. */
  "established",
  "refused",
  /** The first SYN was sent again. It may be answered later, and counts as that too. */
  "silent",
] as const;

export type ConnectionOutcome = (typeof CONNECTION_OUTCOMES)[number];

export interface ConnectionKey {
  readonly clusterId: number;
  /** Index into CONNECTION_OUTCOMES. */
  readonly outcome: number;
  /** 0..15: different ones are different addresses. Only silent ones have a place. */
  readonly place: number;
}

export interface ConnectionValue {
  readonly count: bigint;
}

const key = struct<ConnectionKey>("connection_key", { clusterId: u8, outcome: u8, place: u8 }, 1);
const value = struct<ConnectionValue>("connection_value", { count: u64 });

export const CONNECTION_MAP: MapLayout = { name: "connections", key: key.layout, value: value.layout };
export const encodeConnectionKey = key.encode;
export const decodeConnectionKey = key.decode;
export const encodeConnectionValue = value.encode;
export const decodeConnectionValue = value.decode;

export const CONNECTION_OUTCOME_ENUM: EnumLayout = {
  name: "connection_outcome",
  values: CONNECTION_OUTCOMES.map((outcome, index) => ({ name: `CONNECTION_${outcome.toUpperCase()}`, value: index })),
};
