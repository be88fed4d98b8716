/**
 * Frontends with their backends as entries of the `services` and `backends` maps. Slots are in order of backend id, a new one is the last; where
 * backends have several slots, first one of each, and then the others.
 */

import { encodeBackendKey, encodeBackendValue } from "../maps/backend-map.ts";
import { encodeServiceKey, encodeServiceValue, MAX_SLOTS, protocolNumber } from "../maps/service-map.ts";
import { parseAddress } from "../model/address.ts";
import { DesiredMap, type EntryKey, entryKey } from "../tables/desired-map.ts";
import { backendKey, type Candidate, type Endpoint, type EndpointKey, endpointText } from "./backend.ts";
import { BackendIds } from "./backend-ids.ts";

function addressBytes(endpoint: Endpoint): Uint8Array {
  const bytes = parseAddress(endpoint.address);
  if (bytes === undefined) throw new RangeError(`not a judged address: ${endpoint.address}`);
  return bytes;
}

function protocolOf(endpoint: Endpoint): number {
  const number = protocolNumber(endpoint.protocol);
  if (number === undefined) throw new RangeError(`the socket programs do not translate ${endpoint.protocol}`);
  return number;
}

/** @param ids sorted. */
function firstOfEachFirst(ids: readonly number[]): readonly number[] {
  const isFirst = (id: number, index: number): boolean => ids[index - 1] !== id;
  return [...ids.filter(isFirst), ...ids.filter((id, index) => !isFirst(id, index))];
}

interface Placed {
  readonly frontend: Endpoint;
  readonly backends: readonly string[];
}

export class ServiceEntries {
  readonly services = new DesiredMap();
  readonly backends = new DesiredMap();
  readonly ids = new BackendIds();
  readonly #placed = new Map<EndpointKey, Placed>();

  /** Number of frontends. */
  get frontends(): number {
    return this.#placed.size;
  }

  /** The frontend has exactly these backends, each in as many slots as it is named. More than MAX_SLOTS: the last ones are left out. */
  place(frontend: Endpoint, backends: readonly Candidate[]): void {
    const key = endpointText(frontend);
    const previous = this.#placed.get(key)?.backends ?? [];
    const kept = backends.slice(0, MAX_SLOTS);
    const ids = firstOfEachFirst(kept.map((backend) => this.#acquire(backend)).sort((left, right) => left - right));
    const slotKey = this.#slotKeys(frontend);
    for (const [index, backendId] of ids.entries()) {
      this.services.set(slotKey(index + 1), encodeServiceValue({ backendId, count: 0 }));
    }
    this.services.set(slotKey(0), encodeServiceValue({ backendId: 0, count: ids.length }));
    for (let slot = ids.length + 1; slot <= previous.length; slot++) this.services.delete(slotKey(slot));
    for (const backend of previous) this.#release(backend);
    this.#placed.set(key, { frontend, backends: kept.map(backendKey) });
  }

  remove(key: EndpointKey): void {
    const previous = this.#placed.get(key);
    if (previous === undefined) return;
    const slotKey = this.#slotKeys(previous.frontend);
    for (let slot = 0; slot <= previous.backends.length; slot++) this.services.delete(slotKey(slot));
    for (const backend of previous.backends) this.#release(backend);
    this.#placed.delete(key);
  }

  #slotKeys(frontend: Endpoint): (slot: number) => EntryKey {
    const base = { address: addressBytes(frontend), port: frontend.port, protocol: protocolOf(frontend) };
    return (slot) => entryKey(encodeServiceKey({ ...base, slot }));
  }

  #acquire(backend: Candidate): number {
    const { id, first } = this.ids.acquire(backendKey(backend));
    if (first) {
      const place = { address: addressBytes(backend), port: backend.port, protocol: protocolOf(backend) };
      const value = encodeBackendValue({ ...place, clusterId: backend.clusterId });
      this.backends.set(entryKey(encodeBackendKey({ id })), value);
    }
    return id;
  }

  #release(backend: string): void {
    const id = this.ids.release(backend);
    if (id !== undefined) this.backends.delete(entryKey(encodeBackendKey({ id })));
  }
}
