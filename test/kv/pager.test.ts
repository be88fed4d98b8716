import assert from "node:assert/strict";
import { test } from "node:test";
import { type KvClient, KvError, type KvErrorCode } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { Pager } from "../../src/kv/pager.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Answers pages of up to `most` keys, fails larger ones; notes what was asked for. */
function narrow(kv: KvClient, most: number, code: KvErrorCode, asked: number[]): KvClient {
  const range: KvClient["range"] = async (request) => {
    asked.push(request.limit ?? 0);
    if ((request.limit ?? 0) > most) throw new KvError(code, "not so many");
    return await kv.range(request);
  };
  return new Proxy(kv, { get: (target, name) => (name === "range" ? range : Reflect.get(target, name)) });
}

async function askedOf(most: number, code: KvErrorCode): Promise<readonly number[]> {
  const clock = new VirtualClock();
  const etcd = new MemoryEtcd({ clock });
  const asked: number[] = [];
  const pager = new Pager(narrow(etcd.client(), most, code, asked), 1_000, new AbortController().signal);
  const pages = async (): Promise<void> => {
    await pager.page({ key: "a", rangeEnd: "b" });
    await pager.page({ key: "b", rangeEnd: "c" });
  };
  await clock.settle(pages());
  return asked;
}

test("a page that is too slow, or too large for the client, is asked for again, smaller; the next one is as small", async () => {
  assert.deepEqual(await askedOf(1_000, "deadline"), [1_000, 1_000]);
  assert.deepEqual(await askedOf(250, "deadline"), [1_000, 250, 250]);
  assert.deepEqual(await askedOf(70, "too-large"), [1_000, 250, 62, 62]);
  await assert.rejects(askedOf(15, "too-large"), { code: "too-large" });
});

test("any other failure is the caller's", async () => {
  await assert.rejects(askedOf(250, "unavailable"), { code: "unavailable" });
});
