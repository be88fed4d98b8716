// Map entries from addresses as a person writes them.
import assert from "node:assert/strict";
import type { KernelMap, LoadedObject, MapEntries } from "../../src/kernel/door.ts";
import { encodeBackendKey, encodeBackendValue } from "../../src/maps/backend-map.ts";
import { decodeMetricKey, decodeMetricValue, METRIC_REASONS, type MetricReason } from "../../src/maps/metrics-map.ts";
import {
  encodeFrontendValue,
  encodeServiceKey,
  encodeServiceValue,
  protocolNumber,
} from "../../src/maps/service-map.ts";
import { parseAddress } from "../../src/model/address.ts";
import type { LoadBalancing } from "../../src/model/resource.ts";

type Pair = readonly [key: Uint8Array, value: Uint8Array];

export interface Place {
  readonly address: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
}

export function bytesOf(address: string): Uint8Array {
  const bytes = parseAddress(address);
  assert(bytes !== undefined, `${address} is an address`);
  return bytes;
}

export function numberOf(protocol: Place["protocol"]): number {
  const number = protocolNumber(protocol);
  assert(number !== undefined);
  return number;
}

/** Slot 0 with the count and one slot for each backend id. */
export function serviceEntries(
  frontend: Place,
  backendIds: readonly number[],
  affinitySeconds = 0,
  algorithm: LoadBalancing = "random",
): Pair[] {
  const { port } = frontend;
  const address = bytesOf(frontend.address);
  const protocol = numberOf(frontend.protocol);
  const keyOf = (slot: number): Uint8Array => encodeServiceKey({ address, port, slot, protocol });
  const slots = backendIds.map(
    (backendId, index): Pair => [keyOf(index + 1), encodeServiceValue({ backendId, count: 0 })],
  );
  return [[keyOf(0), encodeFrontendValue({ affinitySeconds, algorithm, count: backendIds.length })], ...slots];
}

export function backendEntry(id: number, backend: Place): Pair {
  const value = {
    address: bytesOf(backend.address),
    port: backend.port,
    protocol: numberOf(backend.protocol),
    clusterId: 1,
  };
  return [encodeBackendKey({ id }), encodeBackendValue(value)];
}

export function entriesOf(pairs: readonly Pair[]): MapEntries {
  const keys = Buffer.concat(pairs.map(([key]) => key));
  return { count: pairs.length, keys, values: Buffer.concat(pairs.map(([, value]) => value)) };
}

export function mapOf(object: LoadedObject, name: string): KernelMap {
  const map = object.maps.get(name);
  assert(map !== undefined, `the object has a map ${name}`);
  return map;
}

/** A dump as text, in one order, so that two can be compared. */
export async function rowsOf(map: KernelMap): Promise<string[]> {
  const { keys, values, count } = await map.dump();
  const hex = (bytes: Uint8Array, index: number, size: number): string =>
    Buffer.from(bytes.subarray(index * size, (index + 1) * size)).toString("hex");
  const row = (_: unknown, index: number): string =>
    `${hex(keys, index, map.keySize)} ${hex(values, index, map.valueSize)}`;
  return Array.from({ length: count }, row).sort();
}

/** Counters by reason; one that never moved is 0. */
export async function countersOf(object: LoadedObject): Promise<Record<MetricReason, number>> {
  const { keys, values, count } = await mapOf(object, "metrics").dump();
  const counters = Object.fromEntries(METRIC_REASONS.map((reason) => [reason, 0])) as Record<MetricReason, number>;
  for (let index = 0; index < count; index++) {
    const { reason } = decodeMetricKey(keys.subarray(index * 4, index * 4 + 4));
    const name = METRIC_REASONS[reason];
    assert(name !== undefined, `reason ${reason} has a name`);
    counters[name] = Number(decodeMetricValue(values.subarray(index * 8, index * 8 + 8)).count);
  }
  return counters;
}
