/** Which keys of a step leave every frontend valid, whatever became of the steps before. */
import { BACKEND_MAP, encodeBackendKey } from "../maps/backend-map.ts";
import { decodeServiceKey, decodeServiceValue, encodeServiceKey, SERVICE_MAP } from "../maps/service-map.ts";
import { type EntryKey, entryKey, keyBytes } from "../tables/desired-map.ts";
import type { Mirrors } from "./mirrors.ts";
import { isFrontend, type MapStep } from "./steps.ts";

type MirroredMaps = Mirrors["maps"];

export function serviceSoundness({ map, verb }: MapStep, maps: MirroredMaps): (key: EntryKey) => boolean {
  if (map === SERVICE_MAP.name) {
    if (verb === "remove") return (key) => isFrontend(key) || !isReachable(maps, key);
    return (key) => (isFrontend(key) ? leadsSomewhere(maps, key) : namesBackend(maps, maps.get(map)?.desired(key)));
  }
  if (map !== BACKEND_MAP.name || verb === "update") return () => true;
  const reachable = reachableBackends(maps);
  return (key) => !reachable.has(key);
}

/** Whether the slot's frontend counts it. */
function isReachable(maps: MirroredMaps, key: EntryKey): boolean {
  const { slot, ...frontend } = decodeServiceKey(keyBytes(key));
  const value = maps.get(SERVICE_MAP.name)?.get(entryKey(encodeServiceKey({ ...frontend, slot: 0 })));
  return value !== undefined && slot <= decodeServiceValue(value).count;
}

/** Whether every slot that the frontend wants to count is there and names a backend that is there. */
function leadsSomewhere(maps: MirroredMaps, key: EntryKey): boolean {
  const services = maps.get(SERVICE_MAP.name);
  const wanted = services?.desired(key);
  const frontend = decodeServiceKey(keyBytes(key));
  const count = wanted === undefined ? 0 : decodeServiceValue(wanted).count;
  for (let slot = 1; slot <= count; slot++) {
    if (!namesBackend(maps, services?.get(entryKey(encodeServiceKey({ ...frontend, slot }))))) return false;
  }
  return true;
}

function namesBackend(maps: MirroredMaps, slot: Uint8Array | undefined): boolean {
  if (slot === undefined) return false;
  const key = entryKey(encodeBackendKey({ id: decodeServiceValue(slot).backendId }));
  return maps.get(BACKEND_MAP.name)?.get(key) !== undefined;
}

function reachableBackends(maps: MirroredMaps): ReadonlySet<EntryKey> {
  const reachable = new Set<EntryKey>();
  for (const [key, value] of maps.get(SERVICE_MAP.name)?.entries() ?? []) {
    if (isFrontend(key) || !isReachable(maps, key)) continue;
    reachable.add(entryKey(encodeBackendKey({ id: decodeServiceValue(value).backendId })));
  }
  return reachable;
}
