import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DockerError } from "../../src/docker/door.ts";
import { FrameReader } from "../../src/docker/frames.ts";
import { frame } from "./frame.ts";

const WRITTEN = Buffer.concat([
  frame("out", '{"made":1}\n{"ma'),
  frame("error", "warning: odd\nError: no such"),
  frame("out", 'de":2}\n\n'),
  frame("error", " device\n"),
  frame("out", "unfinished"),
]);

test("lines of both streams are put together, wherever the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(WRITTEN.length)), (cuts) => {
      const reader = new FrameReader();
      const at = [0, ...cuts.sort((left, right) => left - right), WRITTEN.length];
      const lines = at.slice(1).flatMap((end, index) => reader.push(WRITTEN.subarray(at[index], end)));
      assert.deepEqual(lines, ['{"made":1}', '{"made":2}']);
      assert.equal(reader.complaint, "Error: no such device");
    }),
  );
});

test("a complaint without an end of line is one, and so is what an engine says itself", () => {
  const reader = new FrameReader();
  reader.push(frame("out", "OCI runtime exec failed: no such file\r\n"));
  assert.equal(reader.complaint, "OCI runtime exec failed: no such file");
  reader.push(frame("error", "odd\nno such user"));
  assert.equal(reader.complaint, "no such user");
});

test("a frame without end is refused by its head", () => {
  const head = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  assert.throws(
    () => new FrameReader().push(head),
    (error: unknown) => error instanceof DockerError && error.code === "too-large",
  );
});
