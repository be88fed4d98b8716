/** Watches of the door on a real etcd. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { type KvClient, revisionOf } from "../../src/kv/client.ts";
import { TestEtcd } from "../support/etcd.ts";
import { Recorder } from "../support/recorder.ts";

const encoder = new TextEncoder();

let etcd: TestEtcd;
before(async () => {
  etcd = await TestEtcd.start();
});
after(() => etcd.end());

function connect(context: TestContext, server = etcd): KvClient {
  const kv = server.connect({ timeoutMs: 1500 });
  context.after(() => kv.close());
  return kv;
}

async function put(kv: KvClient, key: string, value = "v"): Promise<number> {
  return (await kv.txn({ operations: [{ put: { key, value: encoder.encode(value) } }] })).revision;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`never: ${what}`);
}

test("several watches on one stream see their own events, from where they asked", async (context) => {
  const kv = connect(context);
  const first = await put(kv, "several/a");
  const past = new Recorder(kv, { key: "several/", rangeEnd: "several0", startRevision: first });
  const one = new Recorder(kv, { key: "several/b" });
  const future = new Recorder(kv, { key: "several/", rangeEnd: "several0", startRevision: first + 3 });
  await until("created", () => [past, one, future].every((watch) => watch.createdAt !== undefined));
  const second = await put(kv, "several/b");
  const { revision: third } = await kv.txn({ operations: [{ delete: { key: "several/", rangeEnd: "several0" } }] });
  const last = await put(kv, "several/c");
  await until("events", () => past.events.length === 5 && one.events.length === 2 && future.events.length === 1);
  assert.deepEqual(past.events.map(revisionOf), [first, second, third, third, last]);
  assert.deepEqual(past.events[2], { type: "delete", key: "several/a", modRevision: third });
  assert.deepEqual(one.events.map(revisionOf), [second, third]);
  assert.deepEqual(future.events.map(revisionOf), [last]);
});

test("a canceled watch hears nothing more, its siblings do", async (context) => {
  const kv = connect(context);
  const [gone, stays] = [new Recorder(kv, { key: "cancel" }), new Recorder(kv, { key: "cancel" })];
  await until("created", () => gone.createdAt !== undefined && stays.createdAt !== undefined);
  gone.watch.cancel();
  await put(kv, "cancel");
  await until("the event", () => stays.events.length === 1);
  assert.deepEqual([gone.events.length, gone.end], [0, undefined]);
  stays.watch.cancel();
  const again = new Recorder(kv, { key: "cancel" });
  await until("created on a new stream", () => again.createdAt !== undefined);
});

test("W03: a watch that the server refuses ends alone", async (context) => {
  const kv = connect(context);
  const before = new Recorder(kv, { key: "refused" });
  const refused = new Recorder(kv, { key: "b", rangeEnd: "a" });
  const behind = new Recorder(kv, { key: "refused" });
  await until("end", () => refused.end !== undefined);
  await until("created", () => before.createdAt !== undefined && behind.createdAt !== undefined);
  assert.equal(refused.end?.cause, "canceled");
  assert.equal(refused.createdAt, undefined);
  await put(kv, "refused");
  await until("events", () => before.events.length === 1 && behind.events.length === 1);
});

test("W01: a watch from a compacted revision ends and says from where history is left", async (context) => {
  const kv = connect(context);
  const first = await put(kv, "compacted");
  for (let index = 0; index < 5; index++) await put(kv, "compacted", `${index}`);
  await etcd.compact(first + 4);
  const sibling = new Recorder(kv, { key: "compacted" });
  const late = new Recorder(kv, { key: "compacted", startRevision: first });
  await until("end", () => late.end !== undefined);
  assert.deepEqual([late.end?.cause, late.end?.compactRevision], ["compacted", first + 4]);
  await put(kv, "compacted", "more");
  await until("the sibling's event", () => sibling.events.length === 1);
});

test("W16: a response beyond 4 MiB arrives in fragments and is told as one", async (context) => {
  const kv = connect(context);
  const value = new Uint8Array(1_000_000).fill(1);
  const from = await put(kv, "fragments/first");
  for (let index = 0; index < 9; index++) await kv.txn({ operations: [{ put: { key: `fragments/${index}`, value } }] });
  const watch = new Recorder(kv, { key: "fragments/", rangeEnd: "fragments0", startRevision: from });
  await until("all events", () => watch.events.length === 10);
  assert.equal(watch.responses.length, 1, "one complete response");
  assert.deepEqual(
    watch.events.map(revisionOf),
    Array.from({ length: 10 }, (_, index) => from + index),
  );
});

test("W06: progress never runs ahead of a watch that catches up", async (context) => {
  const kv = connect(context);
  const from = (await kv.status()).revision + 1;
  const writes = 2500;
  for (let done = 0; done < writes; done += 50) {
    await Promise.all(Array.from({ length: 50 }, () => put(kv, "behind")));
  }
  const watch = new Recorder(kv, { key: "behind", startRevision: from });
  for (let asked = 0; asked < 40 && watch.progress.length < 3; asked++) {
    watch.watch.requestProgress();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert(watch.responses.length >= 3, `${watch.responses.length} responses: the server paces a catch-up`);
  assert(watch.progress.length >= 3);
  for (const progress of watch.progress) assert.deepEqual(progress, { revision: from + writes - 1, events: writes });
});

test("W06: progress never runs ahead of events that are on their way", async (context) => {
  const [writer, kv] = [connect(context), connect(context)];
  const watch = new Recorder(kv, { key: "busy/", rangeEnd: "busy0" });
  await until("created", () => watch.createdAt !== undefined);
  const written: number[] = [];
  for (let round = 0; round < 250; round++) {
    watch.watch.requestProgress();
    const keys = Array.from({ length: 8 }, (_, index) => `busy/${index}`);
    written.push(...(await Promise.all(keys.map((key) => put(writer, key, "v".repeat(2000))))));
  }
  await until("all events", () => watch.events.length === written.length);
  assert(watch.progress.length >= 100, `${watch.progress.length} answers to 250 questions under load`);
  for (const { revision, events } of watch.progress) {
    const due = written.filter((one) => one <= revision).length;
    assert(events >= due, `progress ${revision}: ${events} of ${due} events were delivered`);
  }
});

test("a killed server breaks every watch, and none comes back by itself", async (context) => {
  const server = await TestEtcd.start();
  context.after(() => server.end());
  const kv = connect(context, server);
  const watches = [new Recorder(kv, { key: "a" }), new Recorder(kv, { key: "b" })];
  await until("created", () => watches.every((watch) => watch.createdAt !== undefined));
  await server.kill();
  await until("ends", () => watches.every((watch) => watch.end?.cause === "broken"));
  const refused = new Recorder(kv, { key: "a" });
  await until("end", () => refused.end?.cause === "broken");
  await server.restart();
  const again = new Recorder(kv, { key: "a" });
  await until("created", () => again.createdAt !== undefined);
  await put(kv, "a");
  await until("the event", () => again.events.length === 1);
  assert.equal(watches[0]?.events.length, 0);
});

test("a silent server breaks watches: by the keepalive, or for want of a first answer", async (context) => {
  const server = await TestEtcd.start();
  context.after(() => server.end());
  const kv = server.connect({ timeoutMs: 1500, keepaliveMs: 300, keepaliveTimeoutMs: 300 });
  context.after(() => kv.close());
  const watch = new Recorder(kv, { key: "a" });
  await until("created", () => watch.createdAt !== undefined);
  server.stop();
  await until("the keepalive breaks it", () => watch.end?.cause === "broken");
  const unanswered = new Recorder(kv, { key: "a" });
  await until("no first answer", () => unanswered.end?.cause === "broken");
  server.cont();
});
