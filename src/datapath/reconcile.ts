/** Makes the kernel agree: walks the steps and writes only what differs. */
import { BACKEND_MAP, encodeBackendKey } from "../maps/backend-map.ts";
import { decodeServiceKey, decodeServiceValue, encodeServiceKey, SERVICE_MAP } from "../maps/service-map.ts";
import { type EntryKey, entryKey, keyBytes } from "../tables/desired-map.ts";
import type { MirroredMap } from "./mirrored-map.ts";
import { CHAINS, type Step } from "./steps.ts";

export type MirroredMaps = ReadonlyMap<string, MirroredMap>;

/** @param readers resolves when programs that were running are done. Returns what failed: empty when kernel and compilers agree. */
export async function reconcile(maps: MirroredMaps, readers: () => Promise<void>): Promise<readonly unknown[]> {
  const failures: unknown[] = [];
  for (const map of maps.values()) map.collect();
  for (const chain of CHAINS) {
    try {
      for (const step of chain) await take(step, maps, readers);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 0) for (const map of maps.values()) map.settle();
  else await release(maps, readers).catch((error: unknown) => failures.push(error));
  return failures;
}

async function take(step: Step, maps: MirroredMaps, readers: () => Promise<void>, only = always): Promise<void> {
  const map = maps.get(step.map);
  const keys = (map?.differing(step.verb) ?? []).filter((key) => (step.takes?.(key) ?? true) && only(key));
  if (map === undefined || keys.length === 0) return;
  if (step.afterReaders) await readers();
  await map[step.verb](keys);
}

const always = (_key: EntryKey): boolean => true;

/** After a failure, such as a full map: removes what no program can reach, so that there is room for the next try. */
async function release(maps: MirroredMaps, readers: () => Promise<void>): Promise<void> {
  const removals = (CHAINS[0] ?? []).filter(({ verb }) => verb === "remove");
  for (const step of removals) {
    const reachable = step.map === BACKEND_MAP.name ? reachableBackends(maps) : undefined;
    await take(step, maps, readers, (key) => (reachable ? !reachable.has(key) : !isReachableSlot(maps, key)));
  }
}

/** Whether the slot's frontend counts it. Frontends themselves may always go. */
function isReachableSlot(maps: MirroredMaps, key: EntryKey): boolean {
  const { slot, ...frontend } = decodeServiceKey(keyBytes(key));
  if (slot === 0) return false;
  const value = maps.get(SERVICE_MAP.name)?.get(entryKey(encodeServiceKey({ ...frontend, slot: 0 })));
  return value !== undefined && slot <= decodeServiceValue(value).count;
}

function reachableBackends(maps: MirroredMaps): ReadonlySet<EntryKey> {
  const reachable = new Set<EntryKey>();
  for (const [key, value] of maps.get(SERVICE_MAP.name)?.entries() ?? []) {
    if (!isReachableSlot(maps, key)) continue;
    reachable.add(entryKey(encodeBackendKey({ id: decodeServiceValue(value).backendId })));
  }
  return reachable;
}
