import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { JsonNumber, MAX_DEPTH, parseJson, type Tree } from "../../src/wire/json.ts";
import { Refusal } from "../../src/wire/refusal.ts";

const encoder = new TextEncoder();

/** A tree as JSON.parse would give it. */
function plain(tree: Tree): unknown {
  if (tree instanceof JsonNumber) return Number(tree.text);
  if (tree instanceof Map) return new Map([...tree].map(([name, value]) => [name, plain(value)]));
  return Array.isArray(tree) ? tree.map(plain) : tree;
}

/** JSON.parse's answer in the same shape. */
function mapped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mapped);
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).map(([name, member]) => [name, mapped(member)]));
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

describe("parseJson", () => {
  test("reads what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(undefined, 2), (json, indent) => {
        const value = JSON.parse(json);
        assert.deepEqual(plain(parseJson(encoder.encode(JSON.stringify(value, null, indent)))), mapped(value));
      }),
    );
  });

  test("accepts no more than JSON.parse, and refuses more only for the reasons that it gives", () => {
    const piece = fc.constantFrom(
      ...'{}[]:,"\\ \n\t01-.eE+abtrufnls',
      "true",
      "null",
      '"a":',
      '"a"',
      "\\u0041",
      "\\ud83d\\ude00",
      "\\udc00",
      "\u0001",
      "é",
      "1e5",
      "-0",
      "0.5",
    );
    const own = /twice|deeper|surrogate/;
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join("");
        const expected = attempt(() => ({ value: mapped(JSON.parse(text)) }));
        try {
          const seen = plain(parseJson(encoder.encode(text)));
          accepted++;
          assert(expected, `JSON.parse refuses ${text}`);
          assert.deepEqual(seen, expected.value);
        } catch (error) {
          assert(error instanceof Refusal, String(error));
          assert(!expected || own.test(error.message), `${text}: ${error.message}`);
        }
      }),
      { numRuns: 20_000 },
    );
    assert(accepted > 100, `only ${accepted} texts were accepted`);
  });

  test("keeps numbers that are no plain safe integers as written", () => {
    const numbers = ["1.0", "1e3", "-0", "9007199254740992", "-1.5E-2"];
    const tree = parseJson(encoder.encode(`[${numbers.join(",")},9007199254740991,-7,0]`));
    assert.deepEqual(tree, [...numbers.map((text) => new JsonNumber(text)), 9007199254740991, -7, 0]);
  });

  test("refuses bytes that are not UTF-8, and a byte order mark", () => {
    for (const bytes of [[0x22, 0xff, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xef, 0xbb, 0xbf, 0x31], []]) {
      assert.throws(() => parseJson(Uint8Array.from(bytes)), Refusal);
    }
  });

  test("goes down to its depth and no deeper", () => {
    const nested = (depth: number): Uint8Array => encoder.encode("[".repeat(depth) + "]".repeat(depth));
    assert.doesNotThrow(() => parseJson(nested(MAX_DEPTH)));
    assert.throws(() => parseJson(nested(MAX_DEPTH + 2)), Refusal);
  });
});
