/**
 * What is in use now, as the maps say that the programs write: services that sockets were sent to a backend of, and addresses that packets were
 * exchanged with. Where there is no room for all, it comes before what nobody has asked for.
 */
import type { KernelMap } from "../kernel/door.ts";
import { BACKEND_MAP, decodeBackendKey, decodeBackendValue } from "../maps/backend-map.ts";
import { CONNTRACK_MAP, decodeConntrackKey } from "../maps/conntrack-map.ts";
import { decodeIpcacheKey, IPCACHE_MAP } from "../maps/ipcache-map.ts";
import { decodeReverseNatKey, decodeReverseNatValue, REVERSE_NAT_MAP } from "../maps/reverse-nat-map.ts";
import { decodeServiceKey, decodeServiceValue, SERVICE_MAP } from "../maps/service-map.ts";
import type { Clock } from "../runtime/clock.ts";
import { type EntryKey, entryKey, keyBytes } from "../tables/desired-map.ts";
import type { MirroredMap } from "./mirrored-map.ts";

export type Usage = (map: string, key: EntryKey) => boolean;

/** For how long a look counts: the maps are large, and a full map is tried again every second. */
const LOOK_MS = 30_000;

export class UsageReader {
  readonly #maps: ReadonlyMap<string, KernelMap>;
  readonly #mirrors: ReadonlyMap<string, MirroredMap>;
  readonly #clock: Clock;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #usage: Usage = () => false;

  /** @param maps all of the kernel's. @param mirrors those that the agent writes. */
  constructor(maps: ReadonlyMap<string, KernelMap>, mirrors: ReadonlyMap<string, MirroredMap>, clock: Clock) {
    this.#maps = maps;
    this.#mirrors = mirrors;
    this.#clock = clock;
  }

  /** Rejects with a KernelError. */
  async read(): Promise<Usage> {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#lookedAtMs < LOOK_MS) return this.#usage;
    this.#lookedAtMs = nowMs;
    this.#usage = await this.#look();
    return this.#usage;
  }

  async #look(): Promise<Usage> {
    const asked = new Set<string>();
    const addresses = new Set<string>();
    for (const [key, value] of await this.#entries(REVERSE_NAT_MAP.name)) {
      asked.add(placeText(decodeReverseNatValue(value)));
      addresses.add(entryKey(decodeReverseNatKey(key).address));
    }
    for (const [key] of await this.#entries(CONNTRACK_MAP.name)) {
      const { source, destination, destinationPort, direction } = decodeConntrackKey(key);
      for (const address of [source, destination]) addresses.add(entryKey(address));
      if (direction === TO_SERVICE) asked.add(placeText({ address: destination, port: destinationPort }));
    }
    const isAsked = (key: EntryKey): boolean => asked.has(placeText(decodeServiceKey(keyBytes(key))));
    const backends = this.#backendsOf(isAsked, addresses);
    return (map, key) => {
      if (map === SERVICE_MAP.name) return isAsked(key);
      if (map === BACKEND_MAP.name) return backends.has(decodeBackendKey(keyBytes(key)).id);
      return map === IPCACHE_MAP.name && addresses.has(entryKey(decodeIpcacheKey(keyBytes(key)).address));
    };
  }

  /** Ids of the backends of these services, and of those in use themselves; the addresses of the former are added. */
  #backendsOf(isAsked: (key: EntryKey) => boolean, addresses: Set<string>): ReadonlySet<number> {
    const ids = new Set<number>();
    for (const [key, value] of this.#mirrors.get(SERVICE_MAP.name)?.wanted() ?? []) {
      if (isAsked(key)) ids.add(decodeServiceValue(value).backendId);
    }
    for (const [key, value] of this.#mirrors.get(BACKEND_MAP.name)?.wanted() ?? []) {
      const { id } = decodeBackendKey(keyBytes(key));
      const address = entryKey(decodeBackendValue(value).address);
      if (ids.has(id)) addresses.add(address);
      else if (addresses.has(address)) ids.add(id);
    }
    return ids;
  }

  async #entries(name: string): Promise<readonly (readonly [key: Uint8Array, value: Uint8Array])[]> {
    const map = this.#maps.get(name);
    if (map === undefined) return [];
    const { count, keys, values } = await map.dump();
    const part = (bytes: Uint8Array, index: number, size: number) => bytes.subarray(index * size, (index + 1) * size);
    return Array.from({ length: count }, (_, index) => [
      part(keys, index, map.keySize),
      part(values, index, map.valueSize),
    ]);
  }
}

/** Of `conntrack_key`: from a service address to its backend. */
const TO_SERVICE = 2;

function placeText({ address, port }: { readonly address: Uint8Array; readonly port: number }): string {
  return `${entryKey(address)} ${port}`;
}
