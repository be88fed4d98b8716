import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ADDRESS_BYTES, type Cidr, formatAddress, isV4, parseAddress, parseCidr } from "../../src/model/address.ts";
import { forbiddenRange, maskBits, maskText } from "../../src/wire/addresses.ts";

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  assert(parsed, text);
  return parsed;
}

test("netmasks are Go's: base64 of the mask's bytes, for every length", () => {
  for (const [base, length, bytes] of [
    ["10.0.0.0", 32, 4],
    ["fd00::", 128, 16],
  ] as const) {
    const address = parseAddress(base);
    assert(address);
    for (let bits = 0; bits <= length; bits++) {
      const mask = Buffer.alloc(bytes);
      for (let bit = 0; bit < bits; bit++) mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
      assert.equal(maskText({ address, bits }), mask.toString("base64"));
      assert.equal(maskBits(mask.toString("base64"), address), bits);
    }
  }
});

test("a prefix is forbidden when any address in it is, and only then", () => {
  const allowed = [
    "10.0.0.0/8",
    "192.0.2.0/24",
    "172.16.0.0/12",
    "169.253.0.0/16",
    "126.0.0.0/8",
    "2001:db8::/32",
    "fd01::/16",
    "8.8.8.8/32",
    "::fffe:0:0/96",
    "::fffc:0:0/95",
  ];
  const forbidden = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "127.0.0.1/32",
    "169.254.169.254/32",
    "168.0.0.0/6",
    "224.0.0.0/3",
    "255.255.255.255/32",
    "::/0",
    "::1/128",
    "fe80::/64",
    "ff00::/8",
    "fd00:ec2::254/128",
    "fd00:ec2::/32",
    "8000::/1",
    "::fffe:0:0/95",
    "::ff00:0:0/88",
  ];
  for (const text of allowed) assert.equal(forbiddenRange(cidr(text)), undefined, text);
  for (const text of forbidden) assert.notEqual(forbiddenRange(cidr(text)), undefined, text);
});

test("canonical text reads back to the same bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: ADDRESS_BYTES, maxLength: ADDRESS_BYTES }), fc.boolean(), (bytes, v4) => {
      const address = new Uint8Array(bytes);
      if (v4) address.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
      assert.deepEqual(parseAddress(formatAddress(address)), address);
      assert.equal(isV4(address), formatAddress(address).includes("."));
    }),
  );
});
