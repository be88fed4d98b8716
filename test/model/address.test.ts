import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import {
  canonicalAddress,
  cidrContains,
  formatAddress,
  formatCidr,
  isV4,
  parseAddress,
  parseCidr,
} from "../../src/model/address.ts";

test("text becomes 16 bytes and canonical text again", () => {
  const table = [
    ["10.1.2.3", "10.1.2.3"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["FD00:0:0::1", "fd00::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::ffff:0a00:0001", "10.0.0.1"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
  ] as const;
  for (const [given, canonical] of table) assert.equal(canonicalAddress(given), canonical, given);
});

test("what is no address is refused", () => {
  const wrong = ["", "10.1.2", "10.1.2.3.4", "256.1.1.1", "01.2.3.4", "1.2.3.4/8", " 1.2.3.4", ":", ":::", "1::2::3"];
  const worse = [
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    "12345::",
    "g::",
    "fe80::1%eth0",
    "1.2.3.4:80",
  ];
  for (const text of [...wrong, ...worse]) assert.equal(parseAddress(text), undefined, text);
});

test("parsing agrees with Node on any text near an address", () => {
  const piece = fc.constantFrom("0", "1", "10", "255", "256", "ffff", "fd00", ":", "::", ".", "01", "");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 16 }), (pieces) => {
      const text = pieces.join("");
      assert.equal(parseAddress(text) !== undefined, isIP(text) !== 0, text);
    }),
    { numRuns: 5000 },
  );
});

test("formatting and parsing undo each other for any 16 bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (address) => {
      const text = formatAddress(address);
      assert.deepEqual(parseAddress(text), address);
      assert.notEqual(isIP(text), 0);
    }),
  );
});

test("a CIDR contains its own family only and has no host bits", () => {
  const cidr = parseCidr("10.77.0.0/16");
  assert(cidr);
  assert.equal(formatCidr(cidr), "10.77.0.0/16");
  const inside = (text: string): boolean => cidrContains(cidr, parseAddress(text) as Uint8Array);
  assert(inside("10.77.255.1"));
  assert(!inside("10.78.0.1"));
  assert(!inside("fd00::1"));
  for (const wrong of ["10.77.0.1/16", "10.0.0.0/33", "fd00::/129", "10.0.0.0", "10.0.0.0/", "fd00::1/64"]) {
    assert.equal(parseCidr(wrong), undefined, wrong);
  }
  const everything = parseCidr("::/0");
  assert(everything && !isV4(everything.address));
  assert(!cidrContains(everything, parseAddress("10.0.0.1") as Uint8Array), "a v6 default does not cover v4");
});
