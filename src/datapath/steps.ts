/**
 * The order of writes, as data. After every single entry written or removed, each frontend's slots 1..count exist and name backends that exist,
 * and each endpoint names policies that are there whole: what is pointed at comes first, what points goes first.
 */
import { BACKEND_MAP, decodeBackendValue } from "../maps/backend-map.ts";
import { ENDPOINT_ADDRESS_MAP, ENDPOINT_MAP } from "../maps/endpoint-map.ts";
import { IPCACHE_CIDR_MAP } from "../maps/ipcache-cidr-map.ts";
import { decodeIpcacheValue, IPCACHE_MAP } from "../maps/ipcache-map.ts";
import { POLICY_FAMILY } from "../maps/policy-map.ts";
import { decodeServiceKey, SERVICE_MAP } from "../maps/service-map.ts";
import { type EntryKey, keyBytes } from "../tables/desired-map.ts";
import type { FamilyVerb } from "./mirrored-family.ts";

export interface MapStep {
  readonly map: string;
  readonly verb: "update" | "remove";
  /** Which keys of the map; absent: all. */
  readonly takes?: (key: EntryKey) => boolean;
  /** Whose the entry is, by its value: where there is no room for all, the own cluster's are in first. */
  readonly clusterOf?: (value: Uint8Array) => number;
  /** A program may have read what pointed here just before it went: let it finish. */
  readonly afterReaders?: boolean;
}

export interface FamilyStep {
  readonly family: string;
  readonly verb: FamilyVerb;
  readonly afterReaders?: boolean;
}

export type Step = MapStep | FamilyStep;

export const isFrontend = (key: EntryKey): boolean => decodeServiceKey(keyBytes(key)).slot === 0;
const isSlot = (key: EntryKey): boolean => !isFrontend(key);

/** Chains that do not depend on each other. Who may be talked to comes before where to find them: a new backend's endpoint is open when it is chosen. */
export const CHAINS: readonly (readonly Step[])[] = [
  [
    { family: POLICY_FAMILY.name, verb: "put" },
    { family: POLICY_FAMILY.name, verb: "update" },
    { map: ENDPOINT_ADDRESS_MAP.name, verb: "update" },
    { map: ENDPOINT_MAP.name, verb: "update" },
    { map: IPCACHE_MAP.name, verb: "update", clusterOf: (value) => decodeIpcacheValue(value).clusterId },
    { map: IPCACHE_CIDR_MAP.name, verb: "update" },
    { map: IPCACHE_MAP.name, verb: "remove" },
    { map: IPCACHE_CIDR_MAP.name, verb: "remove" },
    { map: ENDPOINT_MAP.name, verb: "remove" },
    { map: ENDPOINT_ADDRESS_MAP.name, verb: "remove" },
    { family: POLICY_FAMILY.name, verb: "trim" },
    { family: POLICY_FAMILY.name, verb: "remove", afterReaders: true },
  ],
  [
    { map: BACKEND_MAP.name, verb: "update", clusterOf: (value) => decodeBackendValue(value).clusterId },
    { map: SERVICE_MAP.name, verb: "update", takes: isSlot },
    { map: SERVICE_MAP.name, verb: "update", takes: isFrontend },
    { map: SERVICE_MAP.name, verb: "remove", takes: isFrontend },
    { map: SERVICE_MAP.name, verb: "remove", takes: isSlot, afterReaders: true },
    { map: BACKEND_MAP.name, verb: "remove", afterReaders: true },
  ],
];
