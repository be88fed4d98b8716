/**
 * UDP backends that no service uses any more, until it is certain that they are gone. One that is drained, demoted, not ready or ending is not: its
 * pod is there, and who talks to it goes on. What counts is what the local etcd says of the address: it was a pod's and is not that pod's any more;
 * or it was no pod's, is no node's, and no service of any cluster names it.
 */
import { decodeBackendValue } from "../maps/backend-map.ts";
import { protocolNumber } from "../maps/service-map.ts";
import { formatAddress } from "../model/address.ts";
import type { AddressPorts } from "../model/resource.ts";
import type { IpClaim, TablesView } from "../tables/tables-view.ts";

/** Beyond it those that left first are forgotten, and their sockets stay open. */
const MOST_KEPT = 16_384;
const UDP = protocolNumber("UDP");

/** `10.0.0.1|53`. */
export type PlaceKey = string;

export function placeKey(address: Uint8Array, port: number): PlaceKey {
  return `${formatAddress(address)}|${port}`;
}

export interface UdpPlace {
  readonly key: PlaceKey;
  readonly address: string;
  readonly port: number;
  readonly clusterId: number;
}

interface Departed extends Omit<UdpPlace, "key"> {
  /** Pods that had the address when the backend left. */
  readonly owners: readonly string[];
}

/** Where a value of `backends` leads; undefined unless by UDP. */
export function udpPlace(bytes: Uint8Array): UdpPlace | undefined {
  const { address, port, protocol, clusterId } = decodeBackendValue(bytes);
  if (protocol !== UDP) return undefined;
  return { key: placeKey(address, port), address: formatAddress(address), port, clusterId };
}

export class DepartedBackends {
  readonly #view: TablesView;
  readonly #departed = new Map<PlaceKey, Departed>();

  constructor(view: TablesView) {
    this.#view = view;
  }

  get size(): number {
    return this.#departed.size;
  }

  add({ key, ...place }: UdpPlace): void {
    this.#departed.delete(key);
    this.#departed.set(key, { ...place, owners: this.#ownersOf(place.address) });
    const [first] = this.#departed.keys();
    if (first !== undefined && this.#departed.size > MOST_KEPT) this.#departed.delete(first);
  }

  /** It is a backend again. */
  delete(key: PlaceKey): void {
    this.#departed.delete(key);
  }

  /** Takes those that are gone for certain; undefined is a place to rest. */
  *takeGone(): Generator<PlaceKey | undefined> {
    const strangers = new Map<PlaceKey, Departed>();
    for (const [key, departed] of this.#departed) {
      yield undefined;
      if (this.#departed.get(key) !== departed || !this.#isTold(departed.clusterId)) continue;
      const owners = this.#ownersOf(departed.address);
      if (departed.owners.length === 0 && owners.length === 0) strangers.set(key, departed);
      else if (departed.owners.length > 0 && !owners.some((owner) => departed.owners.includes(owner)))
        yield this.#take(key);
    }
    if (strangers.size > 0) yield* this.#takeUnnamed(strangers);
  }

  /** Of addresses that are no pod's. */
  *#takeUnnamed(strangers: Map<PlaceKey, Departed>): Generator<PlaceKey | undefined> {
    const view = this.#view;
    const nodes = new Set([...view.nodes()].flatMap(({ addresses }) => addresses.map(({ address }) => address)));
    for (const [key, { address }] of strangers) if (nodes.has(address)) strangers.delete(key);
    for (const name of view.localServices()) {
      yield undefined;
      const offers = [...view.clusterServices(name), view.localService(name)].map((service) => service?.backends);
      for (const [key, departed] of strangers) {
        if (offers.some((backends) => names(backends, departed))) strangers.delete(key);
      }
    }
    for (const [key, departed] of strangers) if (this.#departed.get(key) === departed) yield this.#take(key);
  }

  #take(key: PlaceKey): PlaceKey {
    this.#departed.delete(key);
    return key;
  }

  #ownersOf(address: string): readonly string[] {
    return this.#view.ipClaims(address).map(ownerOf);
  }

  /** Whether everything that the cluster says is known: only then absence means anything. */
  #isTold(clusterId: number): boolean {
    const own = clusterId === this.#view.own.id;
    const kinds = own ? (["services", "ip", "local-ip"] as const) : (["services", "ip"] as const);
    const view = this.#view;
    return kinds.every((kind) => view.isSynced(kind, clusterId) && view.isSyncedNow(kind, clusterId));
  }
}

const ownerOf = ({ clusterId, namespace, podName }: IpClaim): string => `${clusterId}/${namespace}/${podName}`;

function names(backends: AddressPorts | undefined, { address, port }: Departed): boolean {
  const ports = backends?.get(address) ?? [];
  return ports.some((one) => one.protocol === "UDP" && one.port === port);
}
