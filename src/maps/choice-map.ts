/** `choices`: which slot of a service a socket that does not connect was given. Written by the programs only. */
import type { MapLayout } from "../model/layout.ts";
import { address, be16, struct, u16, u32, u64 } from "./struct.ts";

export interface ChoiceKey {
  /** The kernel's socket cookie. */
  readonly cookie: bigint;
  /** The service's 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

export interface ChoiceValue {
  /** The choice holds while the slot names this backend. */
  readonly backendId: number;
  readonly slot: number;
}

const key = struct<ChoiceKey>("choice_key", { cookie: u64, address, port: be16 }, 6);
const value = struct<ChoiceValue>("choice_value", { backendId: u32, slot: u16 }, 2);

export const CHOICE_MAP: MapLayout = { name: "choices", key: key.layout, value: value.layout };
export const encodeChoiceKey = key.encode;
export const decodeChoiceKey = key.decode;
export const encodeChoiceValue = value.encode;
export const decodeChoiceValue = value.decode;
