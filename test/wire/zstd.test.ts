/** Frames that mean harm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, zstdCompressSync } from "node:zlib";
import { Message, MessageWriter } from "../../src/wire/protobuf.ts";
import { judging } from "../../src/wire/refusal.ts";
import { judge } from "../../src/wire/resources.ts";
import { expandZstd } from "../../src/wire/zstd.ts";
import { BERGEN } from "../golden/values.ts";

const MIB = 1024 * 1024;
const text = new TextEncoder().encode("what a cluster says of its endpoints, ".repeat(100));

const reasonOf = (frame: Uint8Array, maxBytes = MIB): string => {
  const judged = judging("frame", () => expandZstd(frame, maxBytes));
  return judged.ok ? "accepted" : judged.rejection.reason;
};

test("a frame gives back what was put in, with and without checksum", () => {
  for (const flag of [0, 1]) {
    const frame = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: flag } });
    assert.deepEqual(expandZstd(frame, MIB), Buffer.from(text));
  }
});

test("S10: a short frame that would fill the memory is refused before it is expanded", () => {
  const bomb = zstdCompressSync(Buffer.alloc(256 * MIB));
  assert(bomb.length < 32 * 1024, `${bomb.length} bytes`);
  assert.equal(reasonOf(bomb), "too-large");
  // The same, streamed: its header does not say how long it is.
  const silent = zstdCompressSync(Buffer.alloc(8 * MIB), { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
  assert.equal(reasonOf(silent), "too-large");
  assert.equal(reasonOf(silent, 8 * MIB), "accepted");
  const judged = judge("endpointslices", BERGEN, "shop/cart-1", bomb);
  assert.equal(!judged.ok && judged.rejection.reason, "too-large");
});

test("a window that no reader need hold is refused", () => {
  const frame = zstdCompressSync(text, {
    params: { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_contentSizeFlag]: 0 },
  });
  const wide = frame.slice();
  wide[5] = (20 << 3) | 0;
  assert.equal(reasonOf(wide), "too-large");
});

test("anything but one whole frame is refused", () => {
  const frame = zstdCompressSync(text);
  assert.equal(reasonOf(frame), "accepted");
  for (let length = 0; length < frame.length; length++) assert.equal(reasonOf(frame.subarray(0, length)), "malformed");
  assert.equal(reasonOf(Buffer.concat([frame, Buffer.from([0])])), "malformed");
  assert.equal(reasonOf(Buffer.concat([frame, frame])), "malformed");
});

test("protobuf: what is there twice, cut off, or of another type is refused; what is unknown is passed over", () => {
  const judged = (bytes: Uint8Array, read: (message: Message) => unknown) => {
    const result = judging("message", () => read(new Message(bytes)));
    return result.ok ? result.value : result.rejection.reason;
  };
  const good = new MessageWriter().text(1, "bergen").whole(2, 300).text(99, "new").finish();
  assert.equal(
    judged(good, (message) => message.text(1)),
    "bergen",
  );
  assert.equal(
    judged(good, (message) => message.whole(2, 300)),
    300,
  );
  assert.equal(
    judged(good, (message) => message.whole(2, 299)),
    "malformed",
  );
  assert.equal(
    judged(good, (message) => message.whole(1, 1)),
    "malformed",
  );
  assert.equal(
    judged(good, (message) => message.text(2)),
    "malformed",
  );
  assert.equal(
    judged(good.subarray(0, good.length - 1), (message) => message.text(1)),
    "malformed",
  );
  const twice = new MessageWriter().text(1, "bergen").text(1, "oslo").finish();
  assert.equal(
    judged(twice, (message) => message.text(1)),
    "duplicate-name",
  );
  assert.equal(
    judged(new MessageWriter().bytes(1, Uint8Array.of(0xff)).finish(), (message) => message.text(1)),
    "malformed",
  );
  assert.equal(
    judged(Uint8Array.of(0x0b), () => 1),
    "malformed",
    "a group",
  );
  assert.equal(
    judged(Uint8Array.of(...Array(11).fill(0x80)), () => 1),
    "malformed",
    "a number without end",
  );
});
