/** What a publisher tells of itself: depths, how long writes waited, for how long they are refused. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { Publisher } from "../../src/publish/publisher.ts";
import type { Write } from "../../src/publish/queue.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const VALUE = new TextEncoder().encode("v");
const FENCE_KEY = "lock/1";
const IP = "cilium/cache/ip/v1/osaka/10.2.0.1";
const NODE = "cilium/cache/nodes/v1/osaka/n1";

let clock: VirtualClock;
let etcd: MemoryEtcd;
let acknowledged: (readonly [string, number])[];
let failed: string[];
let publisher: Publisher;

beforeEach(() => {
  clock = new VirtualClock();
  etcd = new MemoryEtcd({ clock });
  acknowledged = [];
  failed = [];
  const fence = moveFence();
  publisher = new Publisher({
    kv: etcd.client({ timeoutMs: 500 }),
    fence,
    renewFence: async () => moveFence(),
    renewIntervalMs: 60_000,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    metrics: new Metrics(),
    backoff: { baseMs: 50, capMs: 500 },
    observer: {
      acknowledged: ({ key }: Write, waitedMs: number) => acknowledged.push([key, waitedMs]),
      failed: (batch) => failed.push(...batch.map(({ key }) => key)),
    },
  });
});

function moveFence() {
  etcd.edit({ operations: [{ put: { key: FENCE_KEY, value: VALUE } }] });
  return { key: FENCE_KEY, modRevision: etcd.revision };
}

const depths = (): unknown =>
  Object.fromEntries([...publisher.depths].map(([scope, of]) => [scope, Object.fromEntries(of)]));

test("depths are by scope and kind of key, coalesced, and 0 when all is acknowledged", async () => {
  const osaka = publisher.scope("osaka");
  for (let index = 0; index < 3; index++) osaka.put(IP, VALUE, "live");
  osaka.put(NODE, VALUE, "bulk");
  publisher.scope("kyoto").delete("cilium/cache/ip/v1/kyoto/10.9.0.1", "live");
  assert.deepEqual(depths(), { osaka: { "ip/v1": 1, "nodes/v1": 1 }, kyoto: { "ip/v1": 1 } });
  void publisher.run(new AbortController().signal);
  await clock.settle(publisher.drained());
  assert.deepEqual(depths(), { osaka: { "ip/v1": 0, "nodes/v1": 0 }, kyoto: { "ip/v1": 0 } });
});

test("depths stay right over lost answers and writes of what is on its way", async () => {
  const osaka = publisher.scope("osaka");
  void publisher.run(new AbortController().signal);
  etcd.pause();
  osaka.put(IP, VALUE, "live");
  await clock.advance(100);
  osaka.put(IP, VALUE, "live");
  assert.deepEqual(depths(), { osaka: { "ip/v1": 2 } });
  await clock.advance(600);
  assert.deepEqual(depths(), { osaka: { "ip/v1": 1 } }, "put back, and joined with the newer one");
  etcd.resume();
  await clock.settle(osaka.drained());
  assert.deepEqual(depths(), { osaka: { "ip/v1": 0 } });
});

test("a wait counts from the oldest wish of a key", async () => {
  publisher.put(IP, VALUE, "bulk");
  await clock.advance(200);
  publisher.put(IP, VALUE, "live");
  void publisher.run(new AbortController().signal);
  const startMs = clock.nowMs();
  await clock.settle(publisher.drained());
  assert.deepEqual(acknowledged, [[IP, 200 + clock.nowMs() - startMs]]);
});

test("... and over failures, each of which is told", async () => {
  void publisher.run(new AbortController().signal);
  etcd.stop();
  publisher.put(IP, VALUE, "live");
  await clock.advance(1_000);
  assert(failed.length > 0 && failed.every((key) => key === IP));
  assert.deepEqual(acknowledged, []);
  etcd.start();
  await clock.settle(publisher.drained());
  assert.equal(acknowledged.length, 1);
  assert(Number(acknowledged[0]?.[1]) >= 1_000);
});

test("refusal lasts from the first failure to the first success; nothing to write is no refusal", async () => {
  void publisher.run(new AbortController().signal);
  await clock.advance(10_000);
  assert.equal(publisher.refusedMs, 0);
  etcd.stop();
  publisher.put(IP, VALUE, "live");
  await clock.advance(5_000);
  assert(publisher.refusedMs > 4_000 && publisher.refusedMs <= 5_000, `${publisher.refusedMs}`);
  etcd.start();
  await clock.settle(publisher.drained());
  assert.equal(publisher.refusedMs, 0);
});

test("out of space, deletions that go through are no sign that writes do", async () => {
  etcd.edit({ operations: [{ put: { key: NODE, value: VALUE } }] });
  void publisher.run(new AbortController().signal);
  etcd.setNoSpace(true);
  publisher.put(IP, VALUE, "live");
  await clock.advance(2_000);
  publisher.delete(NODE, "live");
  await clock.advance(3_000);
  assert.deepEqual(etcd.entries("cilium/"), []);
  assert(publisher.refusedMs > 4_000, `${publisher.refusedMs}`);
  etcd.setNoSpace(false);
  await clock.settle(publisher.drained());
  assert.equal(publisher.refusedMs, 0);
});
