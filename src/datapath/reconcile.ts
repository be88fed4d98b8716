/** Makes the kernel agree: walks the steps and writes only what differs. */
import { BACKEND_MAP, encodeBackendKey } from "../maps/backend-map.ts";
import { decodeServiceKey, decodeServiceValue, encodeServiceKey, SERVICE_MAP } from "../maps/service-map.ts";
import { type EntryKey, entryKey, keyBytes } from "../tables/desired-map.ts";
import type { MirroredMap } from "./mirrored-map.ts";
import { CHAINS, isFrontend, type Step } from "./steps.ts";

export type MirroredMaps = ReadonlyMap<string, MirroredMap>;

type Filter = (key: EntryKey) => boolean;

const always: Filter = () => true;

/** @param readers resolves when programs that were running are done. Returns what failed: empty when kernel and compilers agree. */
export async function reconcile(maps: MirroredMaps, readers: () => Promise<void>): Promise<readonly unknown[]> {
  for (const map of maps.values()) map.collect();
  const failures: unknown[] = [];
  for (const chain of CHAINS) failures.push(...(await walk(chain, maps, readers)));
  if (failures.length === 0) for (const map of maps.values()) map.settle();
  return failures;
}

/**
 * One service that does not fit must not hold up the others. So after a failure, such as a full map, the walk goes on with what is sound without
 * that which failed: entries that exist are overwritten, and what no program can reach is removed and makes room for the next try.
 */
async function walk(chain: readonly Step[], maps: MirroredMaps, readers: () => Promise<void>) {
  const failures: unknown[] = [];
  const attempt = async (step: Step, map: MirroredMap, only: Filter): Promise<boolean> => {
    const keys = map.differing(step.verb).filter((key) => (step.takes?.(key) ?? true) && only(key));
    if (keys.length === 0) return true;
    if (step.afterReaders) await readers();
    const failed = await map[step.verb](keys).catch((error: unknown) => failures.push(error));
    await map.refresh();
    return failed === undefined;
  };
  try {
    for (const step of chain) {
      const map = maps.get(step.map);
      if (map === undefined) continue;
      const done = await attempt(step, map, failures.length === 0 ? always : soundness(step, maps));
      if (done || step.verb === "remove") continue;
      const sound = soundness(step, maps);
      await attempt(step, map, (key) => map.get(key) !== undefined && sound(key));
    }
  } catch (error) {
    failures.push(error);
  }
  return failures;
}

/** Which keys of a step leave every frontend valid, whatever became of the steps before. */
function soundness({ map, verb }: Step, maps: MirroredMaps): Filter {
  if (map === SERVICE_MAP.name) {
    if (verb === "remove") return (key) => isFrontend(key) || !isReachable(maps, key);
    return (key) => (isFrontend(key) ? leadsSomewhere(maps, key) : namesBackend(maps, maps.get(map)?.desired(key)));
  }
  if (map !== BACKEND_MAP.name || verb === "update") return always;
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
