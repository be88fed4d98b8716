import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareBytes, encodeGoJson, sortedMap } from "../../src/wire/go-json.ts";

const written = (value: Parameters<typeof encodeGoJson>[0]): string => new TextDecoder().decode(encodeGoJson(value));

test("escapes what Go escapes and nothing else", () => {
  assert.equal(
    written('<a href="&">\\/\u0000\b\t\n\f\r\u001f\u007f\u2028\u2029é😀'),
    '"\\u003ca href=\\"\\u0026\\"\\u003e\\\\/\\u0000\\b\\t\\n\\f\\r\\u001f\u007f\\u2028\\u2029é😀"',
  );
});

test("writes structs in their order, omits undefined, sorts maps", () => {
  assert.equal(
    written({ z: 1, a: null, gone: undefined, list: [true, ""], m: {} }),
    '{"z":1,"a":null,"list":[true,""],"m":{}}',
  );
  assert.equal(
    written(
      sortedMap(
        new Map([
          ["b", 1],
          ["10", 2],
          ["9", 3],
          ["a", 4],
        ]),
      ),
    ),
    '{"10":2,"9":3,"a":4,"b":1}',
  );
});

test("what it writes, JSON.parse reads", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" })), (record) => {
      assert.deepEqual(
        new Map(Object.entries(JSON.parse(written(new Map(Object.entries(record)))))),
        new Map(Object.entries(record)),
      );
    }),
  );
});

test("compareBytes orders like the bytes", () => {
  const text = fc.string({
    unit: fc.constantFrom("a", "b", "\u007f", "é", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{10ffff}"),
  });
  fc.assert(
    fc.property(text, text, (left, right) => {
      assert.equal(Math.sign(compareBytes(left, right)), Buffer.compare(Buffer.from(left), Buffer.from(right)));
    }),
  );
});

test("a number that is not whole is a mistake of ours", () => {
  assert.throws(() => written(1.5), /whole/);
  assert.throws(() => written(2 ** 53), /whole/);
});
