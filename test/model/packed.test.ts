import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PackedReader, PackedWriter } from "../../src/model/packed.ts";

const LONGEST = 10_000;

test("texts are read as they were written, whatever they are of, and so is what follows them", () => {
  const text = fc.oneof(fc.string({ maxLength: 200 }), fc.string({ unit: "grapheme", maxLength: 40 }));
  fc.assert(
    fc.property(fc.array(text, { maxLength: 60 }), (texts) => {
      const writer = new PackedWriter();
      for (const [index, one] of texts.entries()) writer.text(one).u32(index);
      const reader = new PackedReader(writer.take(), LONGEST);
      for (const [index, one] of texts.entries()) assert.deepEqual([reader.text(), reader.u32()], [one, index]);
      assert.deepEqual([reader.done, reader.overrun], [true, false]);
    }),
  );
});
