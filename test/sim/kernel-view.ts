/** What the maps of one node say, in words. */

import type { KernelMap, MapEntries } from "../../src/kernel/door.ts";
import type { MemoryKernel } from "../../src/kernel/memory.ts";
import { BACKEND_MAP, decodeBackendKey, decodeBackendValue } from "../../src/maps/backend-map.ts";
import { decodeIpcacheKey, decodeIpcacheValue, IPCACHE_MAP } from "../../src/maps/ipcache-map.ts";
import { LAYOUT_VERSION } from "../../src/maps/layout.ts";
import { decodeServiceKey, decodeServiceValue, SERVICE_MAP } from "../../src/maps/service-map.ts";
import { formatAddress } from "../../src/model/address.ts";
import type { MapLayout } from "../../src/model/layout.ts";

export interface KernelView {
  /** address -> `identity/cluster`. */
  readonly ipcache: ReadonlyMap<string, string>;
  /** `address:port` of a frontend -> its backends' `address:port`, sorted. */
  readonly services: ReadonlyMap<string, readonly string[]>;
  /** What a packet would stumble over: slots that lead nowhere. */
  readonly dangling: readonly string[];
}

export async function viewKernel(kernel: MemoryKernel, pinDirectory: string): Promise<KernelView> {
  const layouts = [SERVICE_MAP, BACKEND_MAP, IPCACHE_MAP];
  const { maps } = await kernel.load({ objectPath: "view", pinDirectory, layoutVersion: LAYOUT_VERSION, layouts });
  const rows = async (layout: MapLayout) => pairs(await mapOf(maps, layout).dump(), layout);
  const backends = new Map<number, string>();
  for (const [key, value] of await rows(BACKEND_MAP)) {
    const { address, port } = decodeBackendValue(value);
    backends.set(decodeBackendKey(key).id, `${formatAddress(address)}:${port}`);
  }
  const ipcache = new Map<string, string>();
  for (const [key, value] of await rows(IPCACHE_MAP)) {
    const { identity, clusterId } = decodeIpcacheValue(value);
    ipcache.set(formatAddress(decodeIpcacheKey(key).address), `${identity}/${clusterId}`);
  }
  return { ipcache, ...viewServices(await rows(SERVICE_MAP), backends) };
}

function viewServices(rows: readonly Pair[], backends: ReadonlyMap<number, string>) {
  const counts = new Map<string, number>();
  const slots = new Map<string, number>();
  for (const [keyBytes, valueBytes] of rows) {
    const key = decodeServiceKey(keyBytes);
    const value = decodeServiceValue(valueBytes);
    const frontend = `${formatAddress(key.address)}:${key.port}`;
    if (key.slot === 0) counts.set(frontend, value.count);
    else slots.set(`${frontend} ${key.slot}`, value.backendId);
  }
  const services = new Map<string, readonly string[]>();
  const dangling: string[] = [];
  for (const [frontend, count] of counts) {
    const found: string[] = [];
    for (let slot = 1; slot <= count; slot++) {
      const backend = backends.get(slots.get(`${frontend} ${slot}`) ?? 0);
      if (backend === undefined) dangling.push(`${frontend} slot ${slot}`);
      else found.push(backend);
    }
    services.set(frontend, found.sort());
  }
  return { services, dangling };
}

type Pair = readonly [Uint8Array, Uint8Array];

function pairs({ keys, values, count }: MapEntries, layout: MapLayout): readonly Pair[] {
  const { sizeBytes: keySize } = layout.key;
  const { sizeBytes: valueSize } = layout.value;
  return Array.from({ length: count }, (_, index) => [
    keys.slice(index * keySize, (index + 1) * keySize),
    values.slice(index * valueSize, (index + 1) * valueSize),
  ]);
}

function mapOf(maps: ReadonlyMap<string, KernelMap>, { name }: MapLayout): KernelMap {
  const map = maps.get(name);
  if (!map) throw new Error(`no map ${name}`);
  return map;
}
