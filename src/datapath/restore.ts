/** From entries to a snapshot, and from a snapshot to what an agent may take over as if the kernel held it. Pure but for what it is given. */
import { BACKEND_MAP } from "../maps/backend-map.ts";
import {
  decodeEndpointAddressKey,
  decodeEndpointKey,
  decodeEndpointValue,
  ENDPOINT_ADDRESS_MAP,
  ENDPOINT_MAP,
  encodeEndpointAddressKey,
  encodeEndpointKey,
} from "../maps/endpoint-map.ts";
import { SERVICE_MAP } from "../maps/service-map.ts";
import type { Snapshot, SnapshotEntry, SnapshotSection } from "../maps/snapshot.ts";
import { formatAddress } from "../model/address.ts";
import type { EndpointDevice } from "../model/endpoint.ts";
import type { FamilyLayout, MapLayout } from "../model/layout.ts";
import { type DesiredMap, type EntryKey, entryKey, equalBytes, keyBytes } from "../tables/desired-map.ts";
import type { Held } from "./datapath.ts";
import type { Dump } from "./mirrored-map.ts";

export type EntryLayout = MapLayout | FamilyLayout;

interface Desired {
  readonly desired: ReadonlyMap<string, DesiredMap>;
  readonly desiredFamilies: ReadonlyMap<string, ReadonlyMap<number, DesiredMap>>;
}

export function* sectionsOf({ desired, desiredFamilies }: Desired): Generator<SnapshotSection> {
  for (const [map, entries] of desired) yield { map, count: entries.size, entries: dumpOf(entries) };
  for (const [map, slots] of desiredFamilies) {
    for (const [slot, entries] of slots) yield { map, slot, count: entries.size, entries: dumpOf(entries) };
  }
}

function* dumpOf(entries: DesiredMap): Generator<SnapshotEntry> {
  for (const [key, value] of entries.entries()) yield [keyBytes(key), value];
}

/** Why the sections do not fit these layouts of maps and families; undefined when they do. */
export function sizesFault({ sections }: Snapshot, layouts: readonly EntryLayout[]): string | undefined {
  for (const { map, entries } of sections) {
    const layout = layouts.find(({ name }) => name === map);
    if (layout === undefined) return `it holds a map ${map}, which this agent does not have`;
    const { key, value } = layout;
    if (entries.some((entry) => entry[0].length !== key.sizeBytes || entry[1].length !== value.sizeBytes))
      return `its entries of ${map} have another size`;
  }
  return undefined;
}

/**
 * A boot gives devices other indexes: a workload is known by its addresses. Where nothing was enforced there are no endpoints to restore, so that
 * none of the workloads that came up otherwise is cut off.
 */
export function heldBySnapshot({ sections }: Snapshot, devices: readonly EndpointDevice[]): Held {
  const maps = new Map<string, Dump>();
  const families = new Map<string, Map<number, Dump>>();
  for (const { map, slot, entries } of sections) {
    if (slot === undefined) maps.set(map, entries);
    else families.set(map, (families.get(map) ?? new Map<number, Dump>()).set(slot, entries));
  }
  const moved = movedEndpoints(maps.get(ENDPOINT_MAP.name) ?? [], maps.get(ENDPOINT_ADDRESS_MAP.name) ?? [], devices);
  maps.set(ENDPOINT_MAP.name, moved.endpoints);
  maps.set(ENDPOINT_ADDRESS_MAP.name, moved.addresses);
  return { maps, families };
}

function movedEndpoints(endpoints: Dump, addresses: Dump, devices: readonly EndpointDevice[]) {
  const before = new Map(Array.from(endpoints, ([key, value]) => [decodeEndpointKey(key).ifindex, value]));
  const moved = { endpoints: [] as SnapshotEntry[], addresses: [] as SnapshotEntry[] };
  if (!enforces({ maps: new Map([[ENDPOINT_MAP.name, endpoints]]) })) return moved;
  const owned = Array.from(addresses, ([key, value]) => ({ ...decodeEndpointAddressKey(key), value }));
  for (const { ifindex, addresses: found } of devices) {
    const own = owned.filter(({ address }) => found.includes(formatAddress(address)));
    const [was, ...others] = new Set(own.map((one) => one.ifindex));
    const value = was === undefined || others.length > 0 ? undefined : before.get(was);
    if (value === undefined) continue;
    moved.endpoints.push([encodeEndpointKey({ ifindex }), value]);
    for (const one of own)
      moved.addresses.push([encodeEndpointAddressKey({ ifindex, address: one.address }), one.value]);
  }
  return moved;
}

/** Whether some endpoint's traffic is judged. */
export function enforces({ maps }: Pick<Held, "maps">): boolean {
  return [...(maps.get(ENDPOINT_MAP.name) ?? [])].some(([, bytes]) => {
    const { ingressPolicy, egressPolicy } = decodeEndpointValue(bytes);
    return ingressPolicy !== 0 || egressPolicy !== 0;
  });
}

/** Whether all services and backends of one are in the other: the kernel's are what an agent wrote of that snapshot before it died. */
export function isWithin(held: Held, snapshot: Held): boolean {
  return [SERVICE_MAP, BACKEND_MAP].every(({ name }) => {
    const saved = new Map<EntryKey, Uint8Array>();
    for (const [key, value] of snapshot.maps.get(name) ?? []) saved.set(entryKey(key), value);
    return [...(held.maps.get(name) ?? [])].every(([key, value]) => equalBytes(saved.get(entryKey(key)), value));
  });
}
