import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  decodeConntrackKey,
  decodeConntrackValue,
  encodeConntrackKey,
  encodeConntrackValue,
} from "../../src/maps/conntrack-map.ts";
import {
  decodeEndpointAddressKey,
  decodeEndpointAddressValue,
  decodeEndpointKey,
  decodeEndpointValue,
  encodeEndpointAddressKey,
  encodeEndpointAddressValue,
  encodeEndpointKey,
  encodeEndpointValue,
} from "../../src/maps/endpoint-map.ts";
import {
  DROP_REASON_ENUM,
  decodeFlowEvent,
  decodeFlowKey,
  decodeFlowValue,
  EVENT_KIND_ENUM,
  encodeFlowEvent,
  encodeFlowKey,
  VERDICT_ENUM,
} from "../../src/maps/flow-map.ts";
import {
  decodeFragmentKey,
  decodeFragmentValue,
  encodeFragmentKey,
  encodeFragmentValue,
} from "../../src/maps/fragment-map.ts";
import {
  decodeIpcacheCidrKey,
  decodeIpcacheCidrValue,
  encodeIpcacheCidrKey,
  encodeIpcacheCidrValue,
} from "../../src/maps/ipcache-cidr-map.ts";
import { decodePolicyKey, decodePolicyValue, encodePolicyKey, encodePolicyValue } from "../../src/maps/policy-map.ts";
import {
  decodeVerdictCounterKey,
  decodeVerdictCounterValue,
  encodeVerdictCounterKey,
  encodeVerdictCounterValue,
} from "../../src/maps/verdict-counter-map.ts";
import { parseAddress } from "../../src/model/address.ts";

const source = parseAddress("10.1.2.3") ?? new Uint8Array();
const destination = parseAddress("fd00::9") ?? new Uint8Array();
const [SOURCE, DESTINATION] = ["00000000000000000000ffff0a010203", "fd000000000000000000000000000009"];
const connection = { source, destination, sourcePort: 258, destinationPort: 80, ifindex: 7, protocol: 6, direction: 1 };
const flow = connection;

/** Bytes written out by hand from the C headers. */
const GOLDEN: readonly { what: string; bytes: Uint8Array; hex: string }[] = [
  { what: "endpoint key", bytes: encodeEndpointKey({ ifindex: 258 }), hex: "02010000" },
  {
    what: "endpoint value",
    bytes: encodeEndpointValue({ identity: 65792, ingressPolicy: 1, egressPolicy: 2, flags: 6 }),
    hex: "00010100 01000000 02000000 06000000",
  },
  {
    what: "endpoint address key",
    bytes: encodeEndpointAddressKey({ ifindex: 7, address: source }),
    hex: `07000000 ${SOURCE}`,
  },
  { what: "endpoint address value", bytes: encodeEndpointAddressValue({ identity: 258 }), hex: "02010000" },
  {
    what: "policy key",
    bytes: encodePolicyKey({ prefixLength: 64, identity: 65792, protocol: 6, port: 8080 }),
    hex: "40000000 00010100 06 00 1f90",
  },
  { what: "policy value", bytes: encodePolicyValue({ rule: 258, verdict: 2 }), hex: "02010000 02 000000" },
  {
    what: "ipcache CIDR key",
    bytes: encodeIpcacheCidrKey({ prefixLength: 120, address: source }),
    hex: `78000000 ${SOURCE}`,
  },
  {
    what: "ipcache CIDR value",
    bytes: encodeIpcacheCidrValue({ identity: 2 ** 24, flags: 1 }),
    hex: "00000001 01 000000",
  },
  {
    what: "conntrack key",
    bytes: encodeConntrackKey(connection),
    hex: `${SOURCE}${DESTINATION} 0102 0050 07000000 06 01 0000`,
  },
  { what: "flow key", bytes: encodeFlowKey(flow), hex: `${SOURCE}${DESTINATION} 0102 0050 07000000 06 01 0000` },
  {
    what: "fragment key",
    bytes: encodeFragmentKey({ source, destination, id: 258, protocol: 17 }),
    hex: `${SOURCE}${DESTINATION} 02010000 11 000000`,
  },
  {
    what: "fragment value",
    bytes: encodeFragmentValue({ expiresNs: 258n, sourcePort: 1, destinationPort: 2, protocol: 17, icmpType: 8 }),
    hex: "0201000000000000 0001 0002 11 08 0000",
  },
  {
    what: "verdict counter key",
    bytes: encodeVerdictCounterKey({ verdict: 2, reason: 1, direction: 1 }),
    hex: "02 01 01 00",
  },
  {
    what: "verdict counter value",
    bytes: encodeVerdictCounterValue({ packets: 1n, bytes: 2n }),
    hex: "0100000000000000 0200000000000000",
  },
];

describe("golden bytes", () => {
  for (const { what, bytes, hex } of GOLDEN) {
    test(what, () => assert.equal(Buffer.from(bytes).toString("hex"), hex.replaceAll(" ", "")));
  }
});

const port = fc.nat(65535);
const byte = fc.nat(255);
const word = fc.nat(0xffffffff);
const anyAddress: fc.Arbitrary<Uint8Array> = fc.uint8Array({ minLength: 16, maxLength: 16 });
const counter = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

function roundTrip<T extends object>(
  values: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => Partial<T>,
): void {
  fc.assert(
    fc.property(values, (record) => {
      const decoded = decode(encode(record));
      for (const [name, field] of Object.entries(record)) assert.deepEqual(decoded[name as keyof T], field, name);
    }),
  );
}

describe("what is encoded is decoded", () => {
  const ends = { source: anyAddress, destination: anyAddress };
  const tuple = { ...ends, sourcePort: port, destinationPort: port, ifindex: word, protocol: byte, direction: byte };
  const flowKey = fc.record(tuple);
  test("endpoint", () => {
    roundTrip(fc.record({ ifindex: word }), encodeEndpointKey, decodeEndpointKey);
    const value = fc.record({ identity: word, ingressPolicy: word, egressPolicy: word, flags: word });
    roundTrip(value, encodeEndpointValue, decodeEndpointValue);
    roundTrip(fc.record({ identity: word }), encodeEndpointAddressValue, decodeEndpointAddressValue);
    roundTrip(fc.record({ ifindex: word, address: anyAddress }), encodeEndpointAddressKey, decodeEndpointAddressKey);
  });
  test("policy", () => {
    const key = fc.record({ prefixLength: fc.nat(64), identity: word, protocol: byte, port });
    roundTrip(key, encodePolicyKey, decodePolicyKey);
    roundTrip(fc.record({ rule: word, verdict: byte }), encodePolicyValue, decodePolicyValue);
  });
  test("ipcache CIDR", () => {
    roundTrip(fc.record({ prefixLength: word, address: anyAddress }), encodeIpcacheCidrKey, decodeIpcacheCidrKey);
    roundTrip(fc.record({ identity: word, flags: byte }), encodeIpcacheCidrValue, decodeIpcacheCidrValue);
  });
  test("conntrack", () => {
    roundTrip(fc.record(tuple), encodeConntrackKey, decodeConntrackKey);
    const counters = { expiresNs: counter, packets: counter, bytes: counter };
    const peer = { natAddress: anyAddress, natPort: port, flags: port, identity: word, backendId: word, rule: word };
    roundTrip(fc.record({ ...counters, ...peer }), encodeConntrackValue, decodeConntrackValue);
  });
  test("fragment", () => {
    roundTrip(fc.record({ ...ends, id: word, protocol: byte }), encodeFragmentKey, decodeFragmentKey);
    const value = { expiresNs: counter, sourcePort: port, destinationPort: port, protocol: byte, icmpType: byte };
    roundTrip(fc.record(value), encodeFragmentValue, decodeFragmentValue);
  });
  test("verdict counter", () => {
    roundTrip(
      fc.record({ verdict: byte, reason: byte, direction: byte }),
      encodeVerdictCounterKey,
      decodeVerdictCounterKey,
    );
    roundTrip(fc.record({ packets: counter, bytes: counter }), encodeVerdictCounterValue, decodeVerdictCounterValue);
  });
  test("flow and event", () => {
    roundTrip(flowKey, encodeFlowKey, decodeFlowKey);
    const identities = { sourceIdentity: word, destinationIdentity: word, rule: word };
    const event = { timeNs: counter, ...identities, bytes: word, verdict: byte, reason: byte, kind: byte };
    fc.assert(
      fc.property(flowKey, fc.record(event), (key, rest) => {
        const decoded = decodeFlowEvent(encodeFlowEvent({ ...rest, flow: key }));
        assert.deepEqual(decoded, { ...rest, flow: { ...key } });
      }),
    );
  });
});

test("a flow's counters, as the programs write them", () => {
  const hex = "0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000";
  const bytes = Buffer.from(`${hex} 06000000 07000000 08000000 02 04 0000`.replaceAll(" ", ""), "hex");
  assert.deepEqual(decodeFlowValue(bytes), {
    packets: 1n,
    bytes: 2n,
    firstNs: 3n,
    lastNs: 4n,
    eventNs: 5n,
    sourceIdentity: 6,
    destinationIdentity: 7,
    rule: 8,
    verdict: 2,
    reason: 4,
  });
});

test("names and numbers of C", () => {
  const named = (name: string, values: readonly { name: string; value: number }[]): number | undefined =>
    values.find((candidate) => candidate.name === name)?.value;
  assert.equal(named("VERDICT_AUDITED", VERDICT_ENUM.values), 3);
  assert.equal(named("REASON_ROUTER_ADVERTISEMENT", DROP_REASON_ENUM.values), 12);
  assert.equal(named("EVENT_CHANGED", EVENT_KIND_ENUM.values), 2);
});
