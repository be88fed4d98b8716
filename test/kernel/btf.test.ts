import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Btf, enumDifference, namedStructDifference, structDifference } from "../../src/kernel/btf.ts";

/** Types: 1 u32, 2 typedef of 1, 3 array of 3 x 2, 4 const 3, 5 struct {u32 id; const word words[3]}, 6 enum. */
function sample(): Uint8Array {
  const strings = ["", "u32", "word", "thing", "id", "words", "reason", "GOOD", "BAD"];
  const offsets = strings.map((_, index) => strings.slice(0, index).join("\0").length + (index > 0 ? 1 : 0));
  const at = (text: string): number => offsets[strings.indexOf(text)] ?? 0;
  const info = (kind: number, members = 0): number => kind * 2 ** 24 + members;
  const types = [
    [at("u32"), info(1), 4, 32],
    [at("word"), info(8), 1],
    [0, info(3), 0, 2, 1, 3],
    [0, info(10), 3],
    [at("thing"), info(4, 2), 16, at("id"), 1, 0, at("words"), 4, 32],
    [at("reason"), info(6, 2), 4, at("GOOD"), 0, at("BAD"), 7],
  ].flat();
  const text = Buffer.from(`${strings.join("\0")}\0`);
  const header = Buffer.alloc(24);
  header.writeUInt16LE(0xeb9f, 0);
  header.writeUInt8(1, 2);
  for (const [index, word] of [24, 0, types.length * 4, types.length * 4, text.length].entries()) {
    header.writeUInt32LE(word, 4 + 4 * index);
  }
  return Buffer.concat([header, new Uint8Array(Uint32Array.from(types).buffer), text]);
}

const THING = {
  name: "thing",
  sizeBytes: 16,
  fields: [
    { name: "id", offset: 0, sizeBytes: 4 },
    { name: "words", offset: 4, sizeBytes: 12 },
  ],
};
const REASON = {
  name: "reason",
  values: [
    { name: "GOOD", value: 0 },
    { name: "BAD", value: 7 },
  ],
};

test("structs and enums are read through typedefs, qualifiers and arrays", () => {
  const btf = new Btf(sample());
  assert.deepEqual(btf.structOf(5), THING);
  assert.equal(btf.structOf(1), undefined);
  assert.equal(btf.structOf(99), undefined);
  assert.deepEqual(btf.enumNamed("reason"), REASON);
  assert.equal(btf.enumNamed("thing"), undefined);
});

test("a difference is one line, no difference is none", () => {
  const btf = new Btf(sample());
  assert.equal(structDifference(btf, 5, THING), undefined);
  assert.equal(enumDifference(btf, REASON), undefined);
  assert.match(
    structDifference(btf, 5, { ...THING, sizeBytes: 12 }) ?? "",
    /has 16 bytes in the object, 12 are expected/,
  );
  assert.match(structDifference(btf, 1, THING) ?? "", /no struct there/);
  assert.match(
    enumDifference(btf, { ...REASON, values: [] }) ?? "",
    /GOOD = 0 in the object, nothing more is expected/,
  );
  assert.match(enumDifference(btf, { ...REASON, name: "other" }) ?? "", /enum other is expected/);
});

test("a struct that no map names is found by its name", () => {
  const btf = new Btf(sample());
  assert.equal(namedStructDifference(btf, THING), undefined);
  assert.match(namedStructDifference(btf, { ...THING, sizeBytes: 12 }) ?? "", /has 16 bytes in the object/);
  assert.match(namedStructDifference(btf, { ...THING, name: "other" }) ?? "", /struct other is expected, .* has none/);
  assert.match(namedStructDifference(btf, { ...THING, name: REASON.name }) ?? "", /struct reason is expected/);
});

test("broken bytes end in an error or an answer, never in a loop", () => {
  const whole = sample();
  assert.throws(() => new Btf(new Uint8Array(24)), /not BTF/);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
      const bytes = new Uint8Array(whole);
      bytes[at] = byte;
      try {
        const btf = new Btf(bytes.subarray(0, length));
        for (let id = 0; id < 8; id++) btf.structOf(id);
        btf.enumNamed("reason");
      } catch (error) {
        assert(error instanceof Error);
      }
    }),
    { numRuns: 2000 },
  );
});
