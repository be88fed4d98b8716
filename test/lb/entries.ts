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

/**
 * Frontend to the backends of its slots, sorted. Fails unless every slot up to the count exists and names a backend that exists; unless `exact`
 * is false, also when there is a slot or backend that nothing leads to, or more slots than proportions need: each backend twice.
 */
export function readFrontends(services: Entries, backends: Entries, exact = true): Map<string, readonly string[]> {
  const known = readBackends(backends);
  const slots = new Map<string, number>();
  const counts = new Map<string, number>();
  for (const [key, value] of services) {
    const { address, port, slot, protocol } = decodeServiceKey(keyBytes(key));
    const frontend = `${formatAddress(address)}:${port}/${PROTOCOLS[protocol]}`;
    const { backendId, count } = decodeServiceValue(value);
    if (slot === 0) counts.set(frontend, count);
    else slots.set(`${frontend}#${slot}`, backendId);
  }
  const used = new Set<number>();
  const found = new Map<string, readonly string[]>();
  for (const [frontend, count] of [...counts].sort()) {
    const ids = Array.from({ length: count }, (_, index) => slots.get(`${frontend}#${index + 1}`));
    for (const id of ids) {
      assert(id !== undefined && known.has(id), `${frontend} has a slot that leads nowhere`);
      used.add(id);
    }
    found.set(frontend, ids.map((id) => known.get(id as number) as string).sort());
    const times = [...Map.groupBy(ids, (id) => id).values()].map((same) => same.length);
    if (exact && count > 0) assert.equal(times.reduce(divisor), 1, `${frontend} needs fewer slots`);
  }
  if (exact) {
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    assert.equal(slots.size, total, "a slot that no frontend counts");
    assert.deepEqual([...known.keys()].sort(), [...used].sort(), "a backend that no slot names");
  }
  return found;
}
