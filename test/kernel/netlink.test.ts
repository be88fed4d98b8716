import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAttributes, parseMessages } from "../../src/kernel/netlink.ts";
import { parseInterfaceAddress, parseLink } from "../../src/kernel/network.ts";

function attribute(type: number, value: Uint8Array): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16LE(4 + value.length, 0);
  header.writeUInt16LE(type, 2);
  return Buffer.concat([header, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

function message(type: number, sequence: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(2, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

const LINK_HEADER = Buffer.alloc(16);
LINK_HEADER.writeInt32LE(7, 4);
const NAME = attribute(3, Buffer.from("veth1\0"));
/** The nested bit is set, as the kernel may. */
const KIND = attribute(18 | 0x8000, attribute(1, Buffer.from("veth\0")));

function link(...attributes: Uint8Array[]): Buffer {
  return Buffer.concat([LINK_HEADER, ...attributes]);
}

test("messages are taken apart; the first that is cut ends it", () => {
  const two = Buffer.concat([message(16, 1, Buffer.from("abc")), message(3, 2, Buffer.alloc(0))]);
  const found = parseMessages(two).map(({ type, flags, sequence, body }) => [type, flags, sequence, body.toString()]);
  assert.deepEqual(found, [
    [16, 2, 1, "abc"],
    [3, 2, 2, ""],
  ]);
  assert.equal(parseMessages(two.subarray(0, -1)).length, 1);
  assert.equal(parseMessages(two.subarray(0, 18)).length, 0);
  assert.deepEqual(parseMessages(Buffer.alloc(64)), []);
});

test("of attributes the wanted ones are kept, the last of a kind, up to one that is cut", () => {
  const bytes = Buffer.concat([attribute(1, i32(1)), attribute(2, i32(2)), attribute(1, i32(3)), attribute(3, i32(4))]);
  assert.deepEqual(
    [...parseAttributes(bytes, 1, 3)],
    [
      [1, i32(3)],
      [3, i32(4)],
    ],
  );
  assert.deepEqual([...parseAttributes(bytes.subarray(0, -1), 1, 3).keys()], [1]);
  assert.equal(parseAttributes(Buffer.alloc(12), 0).size, 0);
});

test("a link has a far end only when that is in a namespace that is there", () => {
  const known = { ifindex: 7, name: "veth1", kind: "veth" };
  const peer = attribute(5, i32(9));
  assert.deepEqual(parseLink(link(NAME, KIND, peer, attribute(37, i32(0)))), {
    ...known,
    peer: { ifindex: 9, namespace: 0 },
  });
  assert.deepEqual(parseLink(link(NAME, KIND, peer, attribute(37, i32(-1)))), known);
  assert.deepEqual(parseLink(link(NAME, KIND, peer)), known);
  assert.deepEqual(parseLink(link(NAME, KIND, attribute(37, i32(0)))), known);
  assert.deepEqual(parseLink(link(NAME, attribute(37, Buffer.from([1])))), { ...known, kind: "" });
  assert.equal(parseLink(LINK_HEADER.subarray(1)), undefined);
});

test("an address is the own one, not the other end's, in canonical text", () => {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(7, 4);
  const parsed = (...attributes: Uint8Array[]) => parseInterfaceAddress(Buffer.concat([header, ...attributes]));
  const other = attribute(1, Buffer.from([10, 0, 0, 2]));
  assert.deepEqual(parsed(other, attribute(2, Buffer.from([10, 0, 0, 1]))), { ifindex: 7, address: "10.0.0.1" });
  const v6 = Buffer.from("20010db8000000000000000000000001", "hex");
  assert.deepEqual(parsed(attribute(1, v6)), { ifindex: 7, address: "2001:db8::1" });
  assert.equal(parsed(attribute(1, Buffer.from([1, 2, 3]))), undefined);
  assert.equal(parsed(), undefined);
  assert.equal(parseInterfaceAddress(header.subarray(1)), undefined);
});

test("no bytes make the parsers throw, whole messages with a few bytes changed neither", () => {
  const whole = message(16, 1, link(NAME, KIND, attribute(5, i32(9)), attribute(37, i32(0))));
  const broken = fc
    .tuple(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(whole.length))
    .map(([changes, length]) => {
      const bytes = Buffer.from(whole);
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes.subarray(0, length);
    });
  const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(broken, random), (bytes) => {
      for (const { body } of parseMessages(bytes)) {
        parseLink(body);
        parseInterfaceAddress(body);
      }
      parseLink(bytes);
      parseInterfaceAddress(bytes);
    }),
    { numRuns: 2000 },
  );
});
