/** A prefix compared part by part, as a listing comes in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import type { Writer } from "../../src/publish/publisher.ts";
import { Comparison, type Difference } from "../../src/publish/reconcile.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const wanted = (...keys: readonly string[]) => new Map(keys.map((key) => [key, bytes("1")]));

function stage(moving: readonly string[] = []) {
  const clock = new VirtualClock();
  const etcd = new MemoryEtcd({ clock });
  for (const key of ["p/a", "p/b", "p/c", "p/d", "p/e", "p2/other"]) {
    etcd.edit({ operations: [{ put: { key, value: bytes("1") } }] });
  }
  const writer = { unacknowledged: () => new Set(moving) } as Partial<Writer> as Writer;
  const options = { pageSize: 2, clock, signal: new AbortController().signal };
  return { clock, etcd, comparison: new Comparison(writer, etcd.client({ timeoutMs: 500 }), "p/", options) };
}

const named = ({ puts, extra, kept, unchanged }: Difference) => ({
  puts: [...puts.keys()],
  extra: [...extra.keys()],
  kept: [...kept.keys()],
  unchanged: [...unchanged],
});

test("each key belongs to one part: what lies between two parts is extra in the second, what lies behind the last in that", async () => {
  const { clock, comparison } = stage();
  const first = await clock.settle(comparison.part({ desired: wanted("p/a"), keep: new Set(["p/b"]), lastKey: "p/b" }));
  assert.deepEqual(named(first), { puts: [], extra: [], kept: ["p/b"], unchanged: ["p/a"] });
  const second = await clock.settle(comparison.part({ desired: wanted("p/bb", "p/d"), lastKey: "p/d" }));
  assert.deepEqual(named(second), { puts: ["p/bb"], extra: ["p/c"], kept: [], unchanged: ["p/d"] });
  const last = await clock.settle(comparison.part({ desired: new Map() }));
  assert.deepEqual(named(last), { puts: [], extra: ["p/e"], kept: [], unchanged: [] });
});

test("a part that could not be read is asked for again, and nothing of it is lost", async () => {
  const { clock, etcd, comparison } = stage();
  const part = { desired: wanted("p/a"), lastKey: "p/b" };
  etcd.stop();
  await assert.rejects(clock.settle(comparison.part(part)));
  etcd.start();
  assert.deepEqual(named(await clock.settle(comparison.part(part))), {
    ...{ puts: [], extra: ["p/b"] },
    ...{ kept: [], unchanged: ["p/a"] },
  });
});

test("a key whose older write is on its way is written whatever stands there; one that nobody wants shows in the last part", async () => {
  const { clock, comparison } = stage(["p/a", "p/gone"]);
  const first = await clock.settle(comparison.part({ desired: wanted("p/a"), lastKey: "p/a" }));
  assert.deepEqual(named(first).puts, ["p/a"]);
  const last = await clock.settle(comparison.part({ desired: wanted("p/b", "p/c", "p/d", "p/e") }));
  assert.deepEqual(named(last), { puts: [], extra: ["p/gone"], kept: [], unchanged: ["p/b", "p/c", "p/d", "p/e"] });
});
