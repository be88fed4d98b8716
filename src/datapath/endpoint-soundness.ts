/** Which keys and slots of a step leave every endpoint with a whole policy, whatever became of the steps before. */
import { decodeEndpointValue, ENDPOINT_MAP } from "../maps/endpoint-map.ts";
import { decodeIpcacheCidrValue, IPCACHE_CIDR_MAP } from "../maps/ipcache-cidr-map.ts";
import { decodeIpcacheValue, IPCACHE_MAP } from "../maps/ipcache-map.ts";
import { POLICY_FAMILY } from "../maps/policy-map.ts";
import type { EntryKey } from "../tables/desired-map.ts";
import type { Mirrors } from "./mirrors.ts";
import type { MapStep } from "./steps.ts";

const IDENTITY_OF: Readonly<Record<string, (value: Uint8Array) => number>> = {
  [IPCACHE_MAP.name]: (value) => decodeIpcacheValue(value).identity,
  [IPCACHE_CIDR_MAP.name]: (value) => decodeIpcacheCidrValue(value).identity,
};

/**
 * An endpoint moves only to policies that hold all they should. An address gets an identity only when every policy that names it does: else a
 * deny rule might be missing where everything else is allowed.
 */
export function endpointSoundness({ map, verb }: MapStep, { maps, families }: Mirrors): (key: EntryKey) => boolean {
  const policies = families.get(POLICY_FAMILY.name);
  const mirrored = maps.get(map);
  if (verb === "remove" || policies === undefined) return () => true;
  const desired = (key: EntryKey): Uint8Array => mirrored?.desired(key) as Uint8Array;
  if (map === ENDPOINT_MAP.name) return (key) => slotsOf(desired(key)).every((slot) => policies.isFilled(slot));
  const identityOf = IDENTITY_OF[map];
  if (identityOf === undefined) return () => true;
  const waiting = policies.waiting();
  return (key) => !waiting.has(identityOf(desired(key)));
}

/** Slots that some endpoint is to name and does not yet. */
export function slotsMovedInto({ maps }: Mirrors): ReadonlySet<number> {
  const endpoints = maps.get(ENDPOINT_MAP.name);
  const moved = (endpoints?.differing("update") ?? []).flatMap((key) => {
    const held = endpoints?.get(key);
    const before = held === undefined ? [] : slotsOf(held);
    return slotsOf(endpoints?.desired(key) as Uint8Array).filter((slot) => !before.includes(slot));
  });
  return new Set(moved);
}

/** Slots that some endpoint's entry in the kernel names. */
export function slotsInUse({ maps }: Mirrors): ReadonlySet<number> {
  const endpoints = [...(maps.get(ENDPOINT_MAP.name)?.entries() ?? [])];
  return new Set(endpoints.flatMap(([, value]) => slotsOf(value)));
}

/** Those that enforce something. */
function slotsOf(value: Uint8Array): readonly number[] {
  const { ingressPolicy, egressPolicy } = decodeEndpointValue(value);
  return [ingressPolicy, egressPolicy].filter((slot) => slot !== 0);
}
