import assert from "node:assert/strict";
import { test } from "node:test";
import { Flows } from "../../src/flows/flows.ts";
import { FOLLOWER_MAX_FLOWS, type Lost } from "../../src/flows/follower.ts";
import { DROP_REASONS, type Flow } from "../../src/model/flow.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { bytesOf, FakeRing, names, refused } from "./stage.ts";

const BOOT_WALL_MS = Date.UTC(2026, 0, 1);

function stage({ flowsKept = 100, named = (): boolean => true } = {}) {
  const ring = new FakeRing();
  const clock = new VirtualClock();
  const metrics = new Metrics();
  const unknown: string[] = [];
  const stop = new AbortController();
  const flows = new Flows({
    ring,
    names,
    named,
    clock,
    metrics,
    flowsKept,
    cluster: "osaka",
    node: "osaka-1",
    bootWallMs: () => BOOT_WALL_MS,
    onUnknown: (address) => unknown.push(address),
  });
  return { ring, clock, metrics, unknown, stop, flows };
}

/** A flow is told by its bytes here. */
const numbered = (bytes: number) => refused({ bytes });

async function readAll(stream: AsyncIterable<Flow | Lost>): Promise<readonly (number | Lost)[]> {
  const read: (number | Lost)[] = [];
  for await (const line of stream) read.push("lost" in line ? line : line.bytes);
  return read;
}

test("the ring is read every 50 ms until the signal aborts; times are the wall's", async () => {
  const { ring, clock, flows, stop } = stage();
  flows.start(stop.signal);
  ring.put(numbered(1));
  assert.equal(flows.last(9).length, 0);
  await clock.advance(50);
  assert.equal(flows.last(9)[0]?.time, "2026-01-01T00:00:01.500Z");
  stop.abort();
  ring.put(numbered(2));
  await clock.advance(500);
  assert.equal(flows.last(9).length, 1);
  assert.equal(clock.pending, 0);
});

test("records wait for names, but not for ever", async () => {
  let known = false;
  const first = stage({ named: () => known });
  first.flows.start(first.stop.signal);
  first.ring.put(numbered(1));
  await first.clock.advance(3_000);
  assert.equal(first.flows.last(9).length, 0);
  known = true;
  await first.clock.advance(50);
  assert.equal(first.flows.last(9).length, 1);
  known = false;
  first.ring.put(numbered(2));
  await first.clock.advance(50);
  assert.equal(first.flows.last(9).length, 2, "asked at the start only");
  const second = stage({ named: () => false });
  second.flows.start(second.stop.signal);
  second.ring.put(numbered(1));
  await second.clock.advance(10_000);
  assert.equal(second.flows.last(9).length, 1);
});

test("one reading takes a bounded number of records; the rest comes next time", () => {
  const { ring, flows } = stage({ flowsKept: 10_000 });
  ring.put(...Array.from({ length: 1_500 }, (_, index) => numbered(index)));
  flows.drain();
  assert.equal(flows.last(10_000).length, 1_000);
  flows.drain();
  assert.deepEqual(
    flows.last(2).map(({ bytes }) => bytes),
    [1_498, 1_499],
  );
});

test("the last flows are kept, in order, and no more of them than asked", () => {
  const { ring, flows } = stage({ flowsKept: 3 });
  const kept = (count: number) => flows.last(count).map(({ bytes }) => bytes);
  assert.deepEqual(kept(3), []);
  ring.put(numbered(1), numbered(2));
  flows.drain();
  assert.deepEqual(kept(3), [1, 2]);
  ring.put(numbered(3), numbered(4));
  flows.drain();
  assert.deepEqual(kept(9), [2, 3, 4]);
  assert.deepEqual(kept(2), [3, 4]);
  assert.deepEqual(kept(0), []);
});

test("a stream gives the last flows, then the coming ones, without a gap and without repeating any", async () => {
  const { ring, flows, stop } = stage();
  ring.put(numbered(1), numbered(2), numbered(3));
  flows.drain();
  assert.deepEqual(await readAll(flows.stream(new Map([["last", "2"]]), stop.signal)), [2, 3]);
  assert.deepEqual(await readAll(flows.stream(new Map(), stop.signal)), [1, 2, 3]);
  const query = new Map([
    ["last", "1"],
    ["follow", "true"],
  ]);
  const reading = readAll(flows.stream(query, stop.signal));
  ring.put(numbered(4));
  flows.drain();
  await new Promise((resolve) => setImmediate(resolve));
  ring.put(numbered(5));
  flows.drain();
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  assert.deepEqual(await reading, [3, 4, 5]);
  assert.throws(() => flows.stream(new Map([["last", "-1"]]), stop.signal), UserError);
});

test("a reader that is slower than the flows loses some, is told how many, and goes on", async () => {
  const { ring, flows, stop, metrics } = stage();
  const stream = flows.follow(stop.signal)[Symbol.asyncIterator]();
  for (let sent = 0; sent < FOLLOWER_MAX_FLOWS + 500; sent += 500) {
    ring.put(...Array.from({ length: 500 }, (_, index) => numbered(sent + index)));
    flows.drain();
  }
  for (let index = 0; index < FOLLOWER_MAX_FLOWS; index++) {
    assert.equal(((await stream.next()).value as Flow).bytes, index);
  }
  assert.deepEqual((await stream.next()).value, { lost: 500 });
  ring.put(numbered(7));
  flows.drain();
  assert.equal(((await stream.next()).value as Flow).bytes, 7);
  assert.match(await metrics.text(), /bulkhead_flow_followers_lost_total 500/);
  const end = stream.next();
  stop.abort();
  assert.equal((await end).done, true);
  ring.put(...Array.from({ length: 1_000 }, (_, index) => numbered(index)));
  for (let round = 0; round < 4; round++) flows.drain();
  assert.match(await metrics.text(), /bulkhead_flow_followers_lost_total 500/, "nobody follows any more");
});

test("an address without identity is told once a second, and few in all", async () => {
  const { ring, clock, flows, unknown } = stage();
  const reason = DROP_REASONS.indexOf("identity-unknown");
  const from = (last: number) => refused({ reason, flow: { ...refused().flow, source: bytesOf(`10.9.0.${last}`) } });
  ring.put(from(1), from(1), from(2));
  flows.drain();
  assert.deepEqual(unknown, ["10.9.0.1", "10.9.0.2"]);
  ring.put(...Array.from({ length: 100 }, (_, index) => from(index)));
  flows.drain();
  assert.equal(unknown.length, 20);
  await clock.advance(1_000);
  ring.put(from(1));
  flows.drain();
  assert.equal(unknown.length, 21);
});
