/** Reads the pinned `services` and `backends` back into frontends with their backends: what an agent that restarts takes over. */

import { decodeBackendKey, decodeBackendValue } from "../maps/backend-map.ts";
import {
  decodeFrontendValue,
  decodeServiceKey,
  decodeServiceValue,
  type FrontendChoice,
  type FrontendValue,
  MAX_SLOTS,
  protocolNumber,
} from "../maps/service-map.ts";
import { formatAddress } from "../model/address.ts";
import type { Protocol } from "../model/resource.ts";
import { type Candidate, type Endpoint, type EndpointKey, endpointText } from "./backend.ts";

export type Entry = readonly [key: Uint8Array, value: Uint8Array];

export interface KernelFrontend {
  readonly endpoint: Endpoint;
  /** Each as often as it has slots, in their order. */
  readonly backends: readonly Candidate[];
  readonly choice: FrontendChoice;
}

export interface KernelServices {
  readonly frontends: ReadonlyMap<EndpointKey, KernelFrontend>;
  readonly backends: ReadonlyMap<number, Candidate>;
  /** Largest backend id that any entry names. */
  readonly lastId: number;
}

function protocolOf(number: number): Protocol | undefined {
  return (["TCP", "UDP"] as const).find((protocol) => protocolNumber(protocol) === number);
}

function readBackends(entries: Iterable<Entry>, ownId: number, nameOf: (id: number) => string): Map<number, Candidate> {
  const backends = new Map<number, Candidate>();
  for (const [key, value] of entries) {
    const { address, port, protocol, clusterId } = decodeBackendValue(value);
    const known = protocolOf(protocol);
    if (known === undefined) continue;
    const endpoint = { address: formatAddress(address), port, protocol: known };
    const cluster = { cluster: nameOf(clusterId), clusterId, own: clusterId === ownId };
    backends.set(decodeBackendKey(key).id, { ...endpoint, ...cluster, portName: undefined });
  }
  return backends;
}

/** @param nameOf how a cluster id is called where its name is not known. */
export function readKernelServices(
  services: Iterable<Entry>,
  backends: Iterable<Entry>,
  ownId: number,
  nameOf: (id: number) => string,
): KernelServices {
  const known = readBackends(backends, ownId, nameOf);
  const counts = new Map<EndpointKey, { readonly endpoint: Endpoint } & FrontendValue>();
  const slots = new Map<string, number>();
  let lastId = 0;
  for (const id of known.keys()) lastId = Math.max(lastId, id);
  for (const [key, value] of services) {
    const { address, port, slot, protocol } = decodeServiceKey(key);
    const named = protocolOf(protocol);
    if (named === undefined) continue;
    const endpoint = { address: formatAddress(address), port, protocol: named };
    if (slot === 0) {
      counts.set(endpointText(endpoint), { endpoint, ...decodeFrontendValue(value) });
      continue;
    }
    const { backendId } = decodeServiceValue(value);
    slots.set(`${endpointText(endpoint)}#${slot}`, backendId);
    lastId = Math.max(lastId, backendId);
  }
  const frontends = new Map<EndpointKey, KernelFrontend>();
  for (const [text, { endpoint, count, ...choice }] of counts) {
    frontends.set(text, { endpoint, choice, backends: backendsOf(text, count, slots, known) });
  }
  return { frontends, backends: known, lastId };
}

function backendsOf(
  text: EndpointKey,
  count: number,
  slots: ReadonlyMap<string, number>,
  known: ReadonlyMap<number, Candidate>,
): Candidate[] {
  const found: Candidate[] = [];
  for (let slot = 1; slot <= Math.min(count, MAX_SLOTS); slot++) {
    const backend = known.get(slots.get(`${text}#${slot}`) ?? 0);
    if (backend !== undefined) found.push(backend);
  }
  return found;
}
