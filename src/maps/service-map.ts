/** `services`: slot 0 of a frontend holds how many backends it has, slots 1..count name them. */

import type { MapLayout } from "../model/layout.ts";
import type { LoadBalancing, Protocol } from "../model/resource.ts";
import { address, be16, struct, u8, u16, u32 } from "./struct.ts";

export interface ServiceKey {
  /** 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  /** 0: the frontend itself; 1..65535: one of its backends. */
  readonly slot: number;
  /** IP protocol number, see `protocolNumber`. */
  readonly protocol: number;
}

export interface ServiceValue {
  /** Key of the backend in `backends`; in slot 0 see `FrontendValue`. */
  readonly backendId: number;
  /** Backends of the frontend, in slot 0; 0 elsewhere. A frontend with 0 refuses connections. */
  readonly count: number;
}

/** What slot 0 says of how backends are chosen. */
export interface FrontendChoice {
  /** For how long a client keeps its backend, below 2^24; 0: each connection makes a new choice. */
  readonly affinitySeconds: number;
  readonly algorithm: LoadBalancing;
}

/** The value of slot 0. */
export interface FrontendValue extends FrontendChoice {
  readonly count: number;
}

export const MAX_SLOTS = 65535;

const key = struct<ServiceKey>("service_key", { address, port: be16, slot: u16, protocol: u8 }, 3);
const value = struct<ServiceValue>("service_value", { backendId: u32, count: u32 });

export const SERVICE_MAP: MapLayout = { name: "services", key: key.layout, value: value.layout };
export const encodeServiceKey = key.encode;
export const decodeServiceKey = key.decode;
export const encodeServiceValue = value.encode;
export const decodeServiceValue = value.decode;

/** As in Cilium's maps: the algorithm in the top 8 bits, seconds below. */
const MAGLEV = 2;
const ALGORITHM_UNIT = 2 ** 24;

export function encodeFrontendValue({ affinitySeconds, algorithm, count }: FrontendValue): Uint8Array {
  const number = algorithm === "maglev" ? MAGLEV : 0;
  return value.encode({ backendId: number * ALGORITHM_UNIT + affinitySeconds, count });
}

export function decodeFrontendValue(bytes: Uint8Array): FrontendValue {
  const { backendId, count } = value.decode(bytes);
  const algorithm = Math.floor(backendId / ALGORITHM_UNIT) === MAGLEV ? "maglev" : "random";
  return { affinitySeconds: backendId % ALGORITHM_UNIT, algorithm, count };
}

const PROTOCOL_NUMBERS: Readonly<Partial<Record<Protocol, number>>> = { TCP: 6, UDP: 17 };

/** The IP protocol number in map keys, or undefined where the socket programs do not translate (SCTP). */
export function protocolNumber(protocol: Protocol): number | undefined {
  return PROTOCOL_NUMBERS[protocol];
}
