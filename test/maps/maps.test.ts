import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  decodeBackendKey,
  decodeBackendValue,
  encodeBackendKey,
  encodeBackendValue,
} from "../../src/maps/backend-map.ts";
import { decodeChoiceKey, decodeChoiceValue, encodeChoiceKey, encodeChoiceValue } from "../../src/maps/choice-map.ts";
import {
  decodeIpcacheKey,
  decodeIpcacheValue,
  encodeIpcacheKey,
  encodeIpcacheValue,
} from "../../src/maps/ipcache-map.ts";
import {
  decodeMetricKey,
  decodeMetricValue,
  encodeMetricKey,
  encodeMetricValue,
  METRIC_REASON_ENUM,
  METRIC_REASONS,
} from "../../src/maps/metrics-map.ts";
import { ENDPOINT_OBJECT, SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import {
  decodeReverseNatKey,
  decodeReverseNatValue,
  encodeReverseNatKey,
  encodeReverseNatValue,
} from "../../src/maps/reverse-nat-map.ts";
import {
  decodeServiceKey,
  decodeServiceValue,
  encodeServiceKey,
  encodeServiceValue,
  protocolNumber,
} from "../../src/maps/service-map.ts";
import { parseAddress } from "../../src/model/address.ts";
import type { StructLayout } from "../../src/model/layout.ts";

const address = parseAddress("10.1.2.3") ?? new Uint8Array();
const TEXT = "00000000000000000000ffff0a010203";

/** Bytes written out by hand from the C headers. */
const GOLDEN: readonly { what: string; bytes: Uint8Array; hex: string }[] = [
  {
    what: "service key",
    bytes: encodeServiceKey({ address, port: 80, slot: 258, protocol: 6 }),
    hex: `${TEXT}0050 0201 06 000000`,
  },
  { what: "service value", bytes: encodeServiceValue({ backendId: 7, count: 0x01020304 }), hex: "07000000 04030201" },
  { what: "backend key", bytes: encodeBackendKey({ id: 0xfffefdfc }), hex: "fcfdfeff" },
  {
    what: "backend value",
    bytes: encodeBackendValue({ address, port: 8080, protocol: 17, clusterId: 255 }),
    hex: `${TEXT}1f90 11 ff 00000000`,
  },
  {
    what: "reverse NAT key",
    bytes: encodeReverseNatKey({ cookie: 0x0102030405060708n, address, port: 443 }),
    hex: `0807060504030201${TEXT}01bb 000000000000`,
  },
  { what: "reverse NAT value", bytes: encodeReverseNatValue({ address, port: 443 }), hex: `${TEXT}01bb 000000000000` },
  {
    what: "choice key",
    bytes: encodeChoiceKey({ cookie: 0x0102030405060708n, address, port: 443 }),
    hex: `0807060504030201${TEXT}01bb 000000000000`,
  },
  { what: "choice value", bytes: encodeChoiceValue({ backendId: 7, slot: 258 }), hex: "07000000 0201 0000" },
  { what: "ipcache key", bytes: encodeIpcacheKey({ address }), hex: TEXT },
  { what: "ipcache value", bytes: encodeIpcacheValue({ identity: 65792, clusterId: 1 }), hex: "00010100 01 000000" },
  { what: "metric key", bytes: encodeMetricKey({ reason: 2 }), hex: "02000000" },
  { what: "metric value", bytes: encodeMetricValue({ count: 258n }), hex: "0201000000000000" },
];

describe("golden bytes", () => {
  for (const { what, bytes, hex } of GOLDEN) {
    test(what, () => assert.equal(Buffer.from(bytes).toString("hex"), hex.replaceAll(" ", "")));
  }
});

const port = fc.nat(65535);
const byte = fc.nat(255);
const word = fc.nat(0xffffffff);
const anyAddress = fc.uint8Array({ minLength: 16, maxLength: 16 });
const counter = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

function roundTrip<T extends object>(
  values: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
): void {
  fc.assert(
    fc.property(values, (record) => {
      // fast-check's records may have no prototype, which deepEqual counts.
      const value = { ...record };
      const bytes = encode(value);
      assert.deepEqual(decode(bytes), value);
      // Decoding works anywhere in a larger buffer, as in a dump, and does not keep a view of it.
      const dump = new Uint8Array(bytes.length + 5);
      dump.set(bytes, 5);
      const decoded = decode(dump.subarray(5));
      dump.fill(0xee);
      assert.deepEqual(decoded, value);
    }),
  );
}

describe("what is encoded is decoded", () => {
  const service = fc.record({ address: anyAddress, port, slot: port, protocol: byte });
  test("service key", () => roundTrip(service, encodeServiceKey, decodeServiceKey));
  const slot = fc.record({ backendId: word, count: word });
  test("service value", () => roundTrip(slot, encodeServiceValue, decodeServiceValue));
  test("backend key", () => roundTrip(fc.record({ id: word }), encodeBackendKey, decodeBackendKey));
  const backend = fc.record({ address: anyAddress, port, protocol: byte, clusterId: byte });
  test("backend value", () => roundTrip(backend, encodeBackendValue, decodeBackendValue));
  const reverse = fc.record({ cookie: counter, address: anyAddress, port });
  test("reverse NAT key", () => roundTrip(reverse, encodeReverseNatKey, decodeReverseNatKey));
  const asked = fc.record({ address: anyAddress, port });
  test("reverse NAT value", () => roundTrip(asked, encodeReverseNatValue, decodeReverseNatValue));
  test("choice key", () => roundTrip(reverse, encodeChoiceKey, decodeChoiceKey));
  const choice = fc.record({ backendId: word, slot: port });
  test("choice value", () => roundTrip(choice, encodeChoiceValue, decodeChoiceValue));
  test("ipcache key", () => roundTrip(fc.record({ address: anyAddress }), encodeIpcacheKey, decodeIpcacheKey));
  const identity = fc.record({ identity: word, clusterId: byte });
  test("ipcache value", () => roundTrip(identity, encodeIpcacheValue, decodeIpcacheValue));
  test("metric key", () => roundTrip(fc.record({ reason: word }), encodeMetricKey, decodeMetricKey));
  test("metric value", () => roundTrip(fc.record({ count: counter }), encodeMetricValue, decodeMetricValue));
});

test("a value that does not fit its field is a mistake, not a wrong entry", () => {
  const key = { address, port: 80, slot: 0, protocol: 6 };
  for (const wrong of [
    { port: 65536 },
    { port: -1 },
    { slot: 1.5 },
    { protocol: 256 },
    { address: address.subarray(1) },
  ]) {
    assert.throws(() => encodeServiceKey({ ...key, ...wrong }), assert.AssertionError);
  }
  for (const count of [-1n, 2n ** 64n]) assert.throws(() => encodeMetricValue({ count }), assert.AssertionError);
  assert.throws(() => decodeServiceKey(new Uint8Array(23)), /service_key has 24 bytes/);
});

test("layouts leave no byte undeclared and no field unaligned", () => {
  const { maps, families = [], structs: alone = [] } = ENDPOINT_OBJECT;
  const both = [...SOCK_LB_OBJECT.maps, ...maps, ...families].flatMap(({ key, value }): StructLayout[] => [key, value]);
  const structs = [...both, ...alone];
  for (const { name, fields, sizeBytes } of structs) {
    let end = 0;
    for (const field of fields) {
      assert.equal(field.offset, end, `${name}.${field.name}`);
      end += field.sizeBytes;
    }
    assert.equal(end, sizeBytes, name);
  }
});

test("reasons have one C name each", () => {
  assert.deepEqual(
    METRIC_REASON_ENUM.values.map(({ name }) => name),
    [
      "METRIC_TRANSLATED",
      "METRIC_NO_BACKEND",
      "METRIC_BACKEND_MISSING",
      "METRIC_REVERSE_NAT_FAILED",
      "METRIC_EVENTS_LOST",
      "METRIC_CONNTRACK_FAILED",
    ],
  );
  assert.equal(METRIC_REASON_ENUM.values.length, METRIC_REASONS.length);
});

test("only TCP and UDP are translated", () => {
  assert.deepEqual([protocolNumber("TCP"), protocolNumber("UDP"), protocolNumber("SCTP")], [6, 17, undefined]);
});
