import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { decodeSnapshot, encodeSnapshot, type Snapshot } from "../../src/maps/snapshot.ts";

const HEAD = { layoutVersion: 3, owner: "amsterdam/n1", generation: 7, takenAtMs: 1.5e12 };
const DIGEST_BYTES = 32;

function encoded({ sections, ...head }: Snapshot): Uint8Array {
  return Buffer.concat([...encodeSnapshot(head, sections)]);
}

const entriesOf = (keySize: number, valueSize: number) => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  return fc.array(fc.tuple(bytes(keySize), bytes(valueSize)), { maxLength: 5 });
};

const anySection = fc
  .record({ map: fc.string({ maxLength: 20, unit: "grapheme-ascii" }), keySize: fc.integer({ min: 1, max: 9 }) })
  .chain(({ map, keySize }) =>
    fc
      .tuple(entriesOf(keySize, 4), fc.option(fc.nat(4_095), { nil: undefined }))
      .map(([entries, slot]) => ({ map, ...(slot !== undefined && { slot }), count: entries.length, entries })),
  );
const anySnapshot: fc.Arbitrary<Snapshot> = fc
  .array(anySection, { maxLength: 4 })
  .map((sections) => ({ ...HEAD, sections }));

/** The bytes with a checksum that is right. */
function sealed(body: Uint8Array): Uint8Array {
  return Buffer.concat([body, createHash("sha256").update(body).digest()]);
}

test("what was encoded is decoded", () => {
  fc.assert(
    fc.property(anySnapshot, (snapshot) => {
      const decoded = decodeSnapshot(encoded(snapshot));
      assert(decoded.ok, JSON.stringify(decoded));
      assert.deepEqual(
        decoded.value.sections.map(({ entries, ...rest }) => ({
          ...rest,
          entries: entries.map(([k, v]) => [[...k], [...v]]),
        })),
        snapshot.sections.map(({ entries, ...rest }) => ({
          ...rest,
          entries: entries.map(([k, v]) => [[...k], [...v]]),
        })),
      );
      assert.equal(decoded.value.owner, HEAD.owner);
      assert.equal(decoded.value.generation, HEAD.generation);
      assert.equal(decoded.value.takenAtMs, HEAD.takenAtMs);
    }),
    { numRuns: 200 },
  );
});

test("P04: a file cut off anywhere, or with any byte changed, is refused", () => {
  fc.assert(
    fc.property(anySnapshot, fc.nat(), fc.integer({ min: 1, max: 255 }), (snapshot, at, flip) => {
      const bytes = encoded(snapshot);
      const where = at % bytes.length;
      const cut = decodeSnapshot(bytes.subarray(0, where));
      assert(!cut.ok && /cut off/.test(cut.detail), JSON.stringify(cut));
      const changed = bytes.map((byte, index) => (index === where ? byte ^ flip : byte));
      assert(!decodeSnapshot(changed).ok);
    }),
    { numRuns: 300 },
  );
});

test("with a checksum that is right, a body that makes no sense is refused too, and nothing is thrown", () => {
  const refused = new Set<string>();
  fc.assert(
    fc.property(anySnapshot, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 12 }), (snapshot, at, put) => {
      const body = encoded(snapshot).subarray(0, -DIGEST_BYTES);
      const spoiled = Buffer.from(body);
      spoiled.set(put.subarray(0, Math.max(0, body.length - (at % body.length))), at % body.length);
      const decoded = decodeSnapshot(sealed(spoiled));
      if (!decoded.ok) refused.add(decoded.detail.replace(/\d+/g, "N"));
    }),
    { numRuns: 2_000, seed: 5 },
  );
  assert.deepEqual([...refused].sort(), [
    "it is no snapshot",
    "its format is N, and N is read",
    "its sections do not add up",
  ]);
});
