/** Reads `services` and `backends` entries as people do: frontend to the backends that its slots name. */
import assert from "node:assert/strict";
import { decodeBackendKey, decodeBackendValue } from "../../src/maps/backend-map.ts";
import { decodeServiceKey, decodeServiceValue } from "../../src/maps/service-map.ts";
import { formatAddress } from "../../src/model/address.ts";
import { keyBytes } from "../../src/tables/desired-map.ts";

export type Entries = Iterable<readonly [string, Uint8Array]>;

const PROTOCOLS: Readonly<Record<number, string>> = { 6: "TCP", 17: "UDP" };

/** Backend id to `cluster id|address:port/protocol`. */
export function readBackends(backends: Entries): Map<number, string> {
  return new Map(
    [...backends].map(([key, value]) => {
      const { address, port, protocol, clusterId } = decodeBackendValue(value);
      return [
        decodeBackendKey(keyBytes(key)).id,
        `${clusterId}|${formatAddress(address)}:${port}/${PROTOCOLS[protocol]}`,
      ];
    }),
  );
}

const divisor = (left: number, right: number): number => (right === 0 ? left : divisor(right, left % right));

/** Frontend to the ids of the slots that it counts, in their order; and how many slots there are in all. */
function readSlots(services: Entries): {
  readonly total: number;
  readonly idsOf: Map<string, readonly (number | undefined)[]>;
} {
  const slots = new Map<string, number>();
  const counts = new Map<string, number>();
  for (const [key, value] of services) {
    const { address, port, slot, protocol } = decodeServiceKey(keyBytes(key));
    const frontend = `${formatAddress(address)}:${port}/${PROTOCOLS[protocol]}`;
    const { backendId, count } = decodeServiceValue(value);
    if (slot === 0) counts.set(frontend, count);
    else slots.set(`${frontend}#${slot}`, backendId);
  }
  const idsOf = [...counts].sort().map(([frontend, count]) => {
    return [frontend, Array.from({ length: count }, (_, index) => slots.get(`${frontend}#${index + 1}`))] as const;
  });
  return { total: slots.size, idsOf: new Map(idsOf) };
}

/** Frontend to the backends of its slots, in their order. Fails unless each names a backend that exists. */
export function readTables(services: Entries, backends: Entries): Map<string, readonly string[]> {
  const known = readBackends(backends);
  const { idsOf } = readSlots(services);
  return new Map(
    [...idsOf].map(([frontend, ids]) => {
      const texts = ids.map((id) => known.get(id ?? 0) ?? assert.fail(`${frontend} has a slot that leads nowhere`));
      return [frontend, texts] as const;
    }),
  );
}

/**
 * Frontend to the backends of its slots, sorted. Fails unless every slot up to the count exists and names a backend that exists; unless `exact`
 * is false, also when there is a slot or backend that nothing leads to, or more slots than proportions need: each backend twice.
 */
export function readFrontends(services: Entries, backends: Entries, exact = true): Map<string, readonly string[]> {
  const [entries, places] = [[...services], [...backends]];
  const found = readTables(entries, places);
  const { total, idsOf } = readSlots(entries);
  for (const [frontend, ids] of exact ? idsOf : []) {
    const times = [...Map.groupBy(ids, (id) => id).values()].map((same) => same.length);
    if (times.length > 0) assert.equal(times.reduce(divisor), 1, `${frontend} needs fewer slots`);
  }
  if (exact) {
    const used = new Set([...idsOf.values()].flat());
    assert.equal(total, [...found.values()].flat().length, "a slot that no frontend counts");
    assert.deepEqual([...readBackends(places).keys()].sort(), [...used].sort(), "a backend that no slot names");
  }
  return new Map([...found].map(([frontend, texts]) => [frontend, texts.toSorted()]));
}
