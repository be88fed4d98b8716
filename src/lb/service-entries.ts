/**
 * Frontends with their backends as entries of the `services` and `backends` maps. Slots stay: a backend that comes takes the place of one that goes,
 * or a new last one; where one goes and none comes, the last one takes its place. So a change writes as many entries as backends came and went.
 * Slots of a lookup table are where the table has them: a change writes those that name another backend.
 */

import { encodeBackendKey, encodeBackendValue } from "../maps/backend-map.ts";
import {
  encodeFrontendValue,
  encodeServiceKey,
  encodeServiceValue,
  type FrontendChoice,
  MAX_SLOTS,
  protocolNumber,
} from "../maps/service-map.ts";
import { parseAddress } from "../model/address.ts";
import { DesiredMap, type EntryKey, entryKey } from "../tables/desired-map.ts";
import { backendKey, type Candidate, type Endpoint, type EndpointKey, endpointText } from "./backend.ts";
import { BackendIds } from "./backend-ids.ts";
import type { Exchange } from "./standing.ts";

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

interface Placed {
  readonly frontend: Endpoint;
  /** Backend ids of the slots from 1 on. */
  readonly slots: number[];
  readonly choice: FrontendChoice;
}

const RANDOM: FrontendChoice = { affinitySeconds: 0, algorithm: "random" };

/** Places of slots that go, ascending, and the ids that come, the first of them in their place. */
interface Moves {
  readonly free: readonly number[];
  readonly come: readonly number[];
}

/** Each id as often as it is wanted, wherever it is. */
function movesAnywhere(slots: readonly number[], wanted: readonly number[]): Moves {
  const missing = new Map<number, number>();
  for (const id of wanted) missing.set(id, (missing.get(id) ?? 0) + 1);
  const free: number[] = [];
  for (const [place, id] of slots.entries()) {
    const times = missing.get(id) ?? 0;
    if (times === 0) free.push(place);
    else missing.set(id, times - 1);
  }
  return { free, come: [...missing].flatMap(([id, times]) => new Array<number>(times).fill(id)) };
}

/** Each id where it is wanted. */
function movesInPlace(slots: readonly number[], wanted: readonly number[]): Moves {
  const free = [...slots.keys()].filter((place) => slots[place] !== wanted[place]);
  const come = wanted.filter((id, place) => slots[place] !== id);
  return { free, come };
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

  /**
   * The frontend has exactly these backends, each in as many slots as it is named; of a lookup table (maglev) in just these slots. More than
   * MAX_SLOTS: the last ones are left out.
   */
  place(frontend: Endpoint, backends: readonly Candidate[], choice = RANDOM): void {
    const wanted = backends.slice(0, MAX_SLOTS).map((backend) => this.#acquire(backend));
    const { slots = [] } = this.#placed.get(endpointText(frontend)) ?? {};
    const before = [...slots];
    const { free, come } = (choice.algorithm === "maglev" ? movesInPlace : movesAnywhere)(slots, wanted);
    this.#move({ frontend, slots, choice }, free, come);
    for (const id of before) this.#release(id);
  }

  /** Of the frontend's backends, all of one slot, these go and others come. */
  exchange(key: EndpointKey, { gone, come }: Exchange): void {
    const placed = this.#placed.get(key);
    if (placed === undefined) throw new RangeError(`${key} was not placed`);
    const ids = come.map((backend) => this.#acquire(backend));
    const left = gone.map((backend) => this.ids.of(backendKey(backend)) ?? 0);
    const free = left.map((id) => placed.slots.indexOf(id)).sort((one, other) => one - other);
    this.#move(placed, free, ids);
    for (const id of left) this.#release(id);
  }

  remove(key: EndpointKey): void {
    const placed = this.#placed.get(key);
    if (placed === undefined) return;
    const slotKey = slotKeys(placed.frontend);
    for (let slot = 0; slot <= placed.slots.length; slot++) this.services.delete(slotKey(slot));
    for (const id of placed.slots) this.#release(id);
    this.#placed.delete(key);
  }

  /** @param free places of slots that go, ascending. */
  #move(placed: Placed, free: readonly number[], come: readonly number[]): void {
    const { frontend, slots, choice } = placed;
    const slotKey = slotKeys(frontend);
    const put = (place: number, backendId: number): void => {
      slots[place] = backendId;
      this.services.set(slotKey(place + 1), encodeServiceValue({ backendId, count: 0 }));
    };
    for (const [index, id] of come.entries()) put(free[index] ?? slots.length, id);
    for (const place of free.slice(come.length).reverse()) {
      const last = slots.pop() as number;
      this.services.delete(slotKey(slots.length + 1));
      if (place < slots.length) put(place, last);
    }
    this.#placed.set(endpointText(frontend), placed);
    this.services.set(slotKey(0), encodeFrontendValue({ ...choice, count: slots.length }));
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

  #release(id: number): void {
    if (this.ids.release(id)) this.backends.delete(entryKey(encodeBackendKey({ id })));
  }
}

function slotKeys(frontend: Endpoint): (slot: number) => EntryKey {
  const base = { address: addressBytes(frontend), port: frontend.port, protocol: protocolOf(frontend) };
  return (slot) => entryKey(encodeServiceKey({ ...base, slot }));
}
