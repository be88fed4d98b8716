import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KvError } from "../../src/kv/client.ts";
import { readRangeResponse, readTxnResponse } from "../../src/kv/etcd-answers.ts";
import { Slices } from "../../src/runtime/clock.ts";
import { MessageWriter } from "../../src/wire/protobuf.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const encoder = new TextEncoder();
const LARGE = 2 ** 53 - 1;

const header = new MessageWriter().whole(1, LARGE).whole(2, 7).whole(3, LARGE).whole(4, 2).finish();
const keyValue = (key: string, value: Uint8Array): Uint8Array =>
  new MessageWriter()
    .bytes(1, encoder.encode(key))
    .whole(2, 300)
    .whole(3, LARGE)
    .whole(4, 1)
    .bytes(5, value)
    .whole(6, LARGE)
    .finish();

const range = Buffer.from(
  new MessageWriter()
    .bytes(1, header)
    .bytes(2, keyValue("a/ü", Uint8Array.of(0, 255)))
    .bytes(2, new MessageWriter().bytes(1, encoder.encode("b")).finish())
    .whole(3, 1)
    .whole(4, 70_000)
    .text(99, "of a later etcd")
    .finish(),
);
const txn = Buffer.from(
  new MessageWriter()
    .bytes(1, header)
    .whole(2, 1)
    .bytes(3, new MessageWriter().bytes(2, new MessageWriter().bytes(1, header).finish()).finish())
    .bytes(3, new MessageWriter().bytes(3, new MessageWriter().whole(2, 5).finish()).finish())
    .bytes(3, new MessageWriter().bytes(3, new MessageWriter().whole(2, 2).finish()).finish())
    .finish(),
);

const readRange = (bytes: Buffer) => readRangeResponse(bytes, new Slices(new VirtualClock()));

test("an answer to a range: what is left out is zero, what is unknown is passed over", async () => {
  const kept = { createRevision: 300, modRevision: LARGE, version: 1, leaseId: BigInt(LARGE) };
  const bare = { createRevision: 0, modRevision: 0, version: 0, leaseId: 0n };
  assert.deepEqual(await readRange(range), {
    revision: LARGE,
    clusterId: BigInt(LARGE),
    kvs: [
      { key: "a/ü", value: Uint8Array.of(0, 255), ...kept },
      { key: "b", value: new Uint8Array(), ...bare },
    ],
    more: true,
    count: 70_000,
  });
});

test("an answer to a transaction: what its deletions removed, together", () => {
  assert.deepEqual(readTxnResponse(txn), { revision: LARGE, clusterId: BigInt(LARGE), succeeded: true, deleted: 7 });
});

test("a cluster id has all 64 bits; a revision beyond 2^53 is refused", async () => {
  const all = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
  const inHeader = (field: number): Buffer => Buffer.from([0x0a, all.length + 1, field * 8, ...all]);
  assert.equal((await readRange(inHeader(1))).clusterId, 2n ** 64n - 1n);
  await assert.rejects(readRange(inHeader(3)), { name: "KvError", code: "invalid", message: /beyond 2\^53/ });
});

test("bytes that are no answer are refused with a KvError, cut off or not, and nothing else happens", async () => {
  const cut = [range, txn].flatMap((bytes) => Array.from(bytes, (_, length) => bytes.subarray(0, length)));
  const isRefused = (error: unknown): boolean => error instanceof KvError && error.code === "invalid";
  let refused = 0;
  const judge = async (bytes: Buffer): Promise<void> => {
    for (const read of [readRange, async (given: Buffer) => readTxnResponse(given)]) {
      await read(bytes).catch((error: unknown) => {
        assert(isRefused(error), String(error));
        refused++;
      });
    }
  };
  for (const bytes of cut) await judge(bytes);
  assert(refused > cut.length / 2, `${refused} of ${2 * cut.length}`);
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), (bytes) => judge(Buffer.from(bytes))));
});
