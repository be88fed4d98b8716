/**
 * The order of writes, as data. After every single entry written or removed, each frontend's slots 1..count exist and name backends that exist:
 * what is pointed at comes first, what points goes first.
 */
import { BACKEND_MAP } from "../maps/backend-map.ts";
import { IPCACHE_MAP } from "../maps/ipcache-map.ts";
import { decodeServiceKey, SERVICE_MAP } from "../maps/service-map.ts";
import { type EntryKey, keyBytes } from "../tables/desired-map.ts";

export interface Step {
  readonly map: string;
  readonly verb: "update" | "remove";
  /** Which keys of the map; absent: all. */
  readonly takes?: (key: EntryKey) => boolean;
  /** A program may have read what pointed here just before it went: let it finish. */
  readonly afterReaders?: boolean;
}

export const isFrontend = (key: EntryKey): boolean => decodeServiceKey(keyBytes(key)).slot === 0;
const isSlot = (key: EntryKey): boolean => !isFrontend(key);

/** Chains that do not depend on each other. */
export const CHAINS: readonly (readonly Step[])[] = [
  [
    { map: BACKEND_MAP.name, verb: "update" },
    { map: SERVICE_MAP.name, verb: "update", takes: isSlot },
    { map: SERVICE_MAP.name, verb: "update", takes: isFrontend },
    { map: SERVICE_MAP.name, verb: "remove", takes: isFrontend },
    { map: SERVICE_MAP.name, verb: "remove", takes: isSlot, afterReaders: true },
    { map: BACKEND_MAP.name, verb: "remove", afterReaders: true },
  ],
  [
    { map: IPCACHE_MAP.name, verb: "update" },
    { map: IPCACHE_MAP.name, verb: "remove" },
  ],
];
