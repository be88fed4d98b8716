/** Endpoint slices are no text: what is refused and for which reason is written as messages. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { ClusterEndpointSlice, SliceEndpoint, SlicePort } from "../../src/model/resource.ts";
import { encodeEndpointSlice, MAX_ADDRESSES, MAX_ENDPOINTS } from "../../src/wire/endpoint-slice.ts";
import { MAX_FIELDS, MessageWriter } from "../../src/wire/protobuf.ts";
import type { RejectionReason } from "../../src/wire/refusal.ts";
import { judge, resource } from "../../src/wire/resources.ts";
import { BERGEN, ENDPOINT_SLICE, golden } from "../golden/values.ts";

const SUFFIX = "shop/cart-x7k2p";
const MESSAGE = new Uint8Array(zstdDecompressSync(golden("endpoint-slice")));
const [ENDPOINT, PORT] = [ENDPOINT_SLICE.endpoints[0], ENDPOINT_SLICE.ports[0]];
assert(ENDPOINT && PORT);

const judgeFrame = (frame: Uint8Array, suffix = SUFFIX) => judge("endpointslices", BERGEN, suffix, frame);
const verdict = (frame: Uint8Array, suffix = SUFFIX): string => {
  const judged = judgeFrame(frame, suffix);
  return judged.ok ? "accepted" : judged.rejection.reason;
};

const slice = (change: Partial<ClusterEndpointSlice>) => encodeEndpointSlice({ ...ENDPOINT_SLICE, ...change });
const endpoint = (change: Partial<SliceEndpoint>) => slice({ endpoints: [{ ...ENDPOINT, ...change }] });
const port = (change: Partial<SlicePort>) => slice({ ports: [{ ...PORT, ...change }] });
/** The golden message with `count` more fields behind it. */
const followed = (count: number, write: (writer: MessageWriter) => MessageWriter): Uint8Array => {
  const piece = Buffer.from(write(new MessageWriter()).finish());
  return zstdCompressSync(Buffer.concat([MESSAGE, Buffer.alloc(piece.length * count, piece)]));
};
const withBytes = (...bytes: readonly number[]) => zstdCompressSync(Uint8Array.of(...MESSAGE, ...bytes));

const REFUSED: readonly (readonly [RejectionReason, string, Uint8Array, string?])[] = [
  ["wrong-key", "another key", slice({}), "shop/cart-2"],
  ["wrong-key", "a longer key", slice({}), `${SUFFIX}/`],
  ["foreign-cluster", "another cluster", slice({ cluster: "oslo" })],
  ["foreign-cluster", "no cluster", slice({ cluster: "" })],
  ["wrong-cluster-id", "another id", slice({ clusterId: 4 })],
  ["malformed", "an id beyond 32 bits, which Go would cut to ours", slice({ clusterId: 2 ** 32 + 3 })],
  ["malformed", "a namespace that is a path", slice({ namespace: "a/b" }), "a/b/cart-x7k2p"],
  ["malformed", "no name", slice({ name: "" }), "shop/"],
  ["unsupported", "host names", slice({ addressType: "FQDN" as "IPv4" })],
  ["malformed", "an IPv6 address among IPv4", endpoint({ addresses: ["2001:db8::1"] })],
  ["malformed", "an IPv4 address in IPv6 clothes among IPv4", endpoint({ addresses: ["::ffff:10.31.4.17"] })],
  ["malformed", "no address", endpoint({ addresses: ["cart-0"] })],
  ["forbidden-address", "loopback", endpoint({ addresses: ["127.0.0.1"] })],
  ["forbidden-address", "the metadata service", endpoint({ addresses: ["10.31.4.17", "169.254.169.254"] })],
  ["bad-port", "port 0", port({ port: 0 })],
  ["malformed", "port 65536", port({ port: 65_536 })],
  ["bad-port", "an unknown protocol", port({ protocol: "tcp" as "TCP" })],
  ["duplicate-name", "two clusters", withBytes(0x0a, 1, 0x61)],
  ["malformed", "a cluster of fixed width", zstdCompressSync(Uint8Array.of(0x09, ...Buffer.from("bergen12")))],
  ["malformed", "labels of fixed width", withBytes(0x2d, 0, 0, 0, 0)],
  ["malformed", "a label that is not UTF-8", withBytes(0x2a, 3, 0x0a, 1, 0xff)],
  ["malformed", "a number where an endpoint should be", withBytes(0x40, 1)],
  ["malformed", "JSON", new TextEncoder().encode('{"cluster":"bergen"}')],
  ["too-large", "more bytes than a value may have", new Uint8Array(resource("endpointslices").maxBytes + 1)],
];

describe("refused", () => {
  for (const [reason, name, frame, suffix] of REFUSED) {
    test(`${reason}: ${name}`, () => assert.equal(verdict(frame, suffix), reason));
  }
});

const ACCEPTED: readonly (readonly [string, Uint8Array])[] = [
  ["the golden slice", golden("endpoint-slice")],
  ["no endpoints and no ports", slice({ endpoints: [], ports: [] })],
  ["IPv6", slice({ addressType: "IPv6", endpoints: [{ ...ENDPOINT, addresses: ["2001:db8::1"] }] })],
  ["all ports", port({ port: undefined })],
  [
    "unknown fields of every type",
    withBytes(0xa8, 6, 1, 0xa9, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0xaa, 6, 0, 0xad, 6, 1, 2, 3, 4),
  ],
];

describe("accepted", () => {
  for (const [name, frame] of ACCEPTED) test(name, () => assert.equal(verdict(frame), "accepted"));
});

test("an IPv4 address in IPv6 clothes is of neither family", () => {
  const dressed = { ...ENDPOINT, addresses: ["::ffff:10.31.4.17"] };
  assert.equal(verdict(slice({ addressType: "IPv6", endpoints: [dressed] })), "malformed");
});

test("S10: a short frame of very many small things is refused, however little it holds", () => {
  const room = MAX_FIELDS - 100;
  const unknown = (count: number) => {
    const fields = new MessageWriter();
    for (let left = count; left > 0; left--) fields.whole(100, 1);
    return fields.finish();
  };
  const bombs: readonly (readonly [string, number, (writer: MessageWriter) => MessageWriter])[] = [
    ["empty endpoints", 2_000_000, (writer) => writer.text(8, "")],
    ["empty ports", 2_000_000, (writer) => writer.text(9, "")],
    ["unknown fields", 1_000_000, (writer) => writer.whole(100, 1)],
    ["unknown fields of one endpoint", 1, (writer) => writer.bytes(8, unknown(MAX_FIELDS + 1))],
    ["unknown fields, a few of each endpoint", 900, (writer) => writer.bytes(8, unknown(100))],
  ];
  for (const [name, count, write] of bombs) {
    const frame = followed(count, write);
    assert(frame.length < 1024, `${name}: ${frame.length} bytes`);
    const judged = judgeFrame(frame);
    assert(!judged.ok && judged.rejection.reason === "too-large", name);
    assert.match(judged.rejection.detail, /fields/);
  }
  assert.equal(verdict(followed(room, (writer) => writer.whole(100, 1))), "accepted");
});

test("a slice holds as many endpoints and addresses as its limits say, and not one more", () => {
  const endpoints = (count: number, addresses: number) =>
    slice({ endpoints: Array(count).fill({ ...ENDPOINT, addresses: Array(addresses).fill("10.31.4.17") }) });
  assert.equal(verdict(endpoints(MAX_ENDPOINTS, 1)), "accepted");
  assert.equal(verdict(endpoints(MAX_ENDPOINTS + 1, 1)), "too-large");
  assert.equal(verdict(endpoints(1, MAX_ADDRESSES)), "accepted");
  assert.equal(verdict(endpoints(1, MAX_ADDRESSES + 1)), "too-large");
});
