import assert from "node:assert/strict";
import { test } from "node:test";
import { KvError } from "../../src/kv/client.ts";
import { FaultyKv } from "../../src/kv/faulty.ts";
import { keyScope } from "../../src/kv/key-scope.ts";
import { type MeasuredCall, MeasuredKv } from "../../src/kv/measured.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const VALUE = new TextEncoder().encode("v");

function stage() {
  const clock = new VirtualClock();
  const etcd = new MemoryEtcd({ clock });
  const faulty = new FaultyKv(etcd.client(), { clock, random: seededRandom(1), timeoutMs: 300 });
  const calls: MeasuredCall[] = [];
  const kv = new MeasuredKv(faulty, clock, (call) => calls.push(call));
  return { clock, faulty, calls, kv };
}

test("the scope of a key is its third and fourth element, or its beginning", () => {
  assert.equal(keyScope("cilium/state/nodes/v1/osaka/n1"), "nodes/v1");
  assert.equal(keyScope("cilium/cache/ip/v1/osaka/10.0.0.1"), "ip/v1");
  assert.equal(keyScope("cilium/.heartbeat"), "cilium/.hear");
  assert.equal(keyScope("cilium/cluster-config/osaka"), "cilium/clust");
  assert.equal(keyScope(""), "");
});

test("every call is told once, in Cilium's words", async () => {
  const { clock, calls, kv } = stage();
  const key = "cilium/cache/nodes/v1/osaka/n1";
  await clock.settle(kv.txn({ operations: [{ put: { key, value: VALUE } }] }));
  await clock.settle(kv.range({ key }));
  await clock.settle(kv.range({ key, rangeEnd: `${key}0` }));
  await clock.settle(kv.txn({ operations: [{ delete: { key } }] }));
  const { leaseId } = await clock.settle(kv.grantLease(5));
  await clock.settle(kv.renewLease(leaseId));
  await clock.settle(kv.revokeLease(leaseId));
  assert.deepEqual(
    calls.map(({ scope, kind, action, outcome }) => `${scope} ${kind} ${action} ${outcome}`),
    [
      "nodes/v1 set Update success",
      "nodes/v1 read Get success",
      "nodes/v1 read ListPrefix success",
      "nodes/v1 delete Delete success",
      "lease set GrantLease success",
      "lease set RenewLease success",
      "lease set RevokeLease success",
    ],
  );
});

test("silence lasts from the first call that was not answered to the first that is; an error that is an answer ends it", async () => {
  const { clock, faulty, calls, kv } = stage();
  const range = () => clock.settle(kv.range({ key: "k" }));
  await range();
  assert.equal(kv.silence, undefined);
  faulty.inject({ silence: "requests" });
  const startMs = clock.nowMs();
  await assert.rejects(range(), (error) => error instanceof KvError && error.code === "deadline");
  assert.equal(calls.at(-1)?.outcome, "fail");
  assert.equal(calls.at(-1)?.durationMs, 300);
  await assert.rejects(range());
  assert.deepEqual(kv.silence, { ms: clock.nowMs() - startMs, line: "injected: silence" });
  faulty.inject({});
  await assert.rejects(clock.settle(kv.range({ key: "k", revision: 1_000_000 })), /./);
  assert.equal(kv.silence, undefined, "it was answered, with an error");
  faulty.inject({ refused: 1 });
  await assert.rejects(range());
  assert(kv.silence !== undefined);
  faulty.inject({});
  await range();
  assert.equal(kv.silence, undefined);
});
