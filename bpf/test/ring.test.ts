// The ring, read from its pages: in order, whole, within a limit, and on where the last process stopped.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { EventRing, LoadedObject } from "../../src/kernel/door.ts";
import { testRun } from "../../src/kernel/test-run.ts";
import { mapOf } from "./entries.ts";
import { COUNT, decodeCountValue, encodeCountKey, event, probeRequest } from "./probe.ts";
import { kernel, Stage } from "./stage.ts";

const PACKET = Buffer.alloc(64);
const EVERYTHING = 1_000_000;
/** With its header. */
const RECORD_BYTES = 24;

let stage: Stage;
let object: LoadedObject;
let ring: EventRing;

async function load(): Promise<void> {
  object = stage.keep(await kernel.load(probeRequest(stage, 1)));
  ring = object.rings.get("events") ?? assert.fail();
}

before(async () => {
  stage = new Stage();
  await load();
});
after(() => stage.close());

/** The program runs so often; every third of its events is thrown away. */
function report(times: number): void {
  testRun(object, "report", { packet: PACKET, repeat: times });
}

function drained(limit = EVERYTHING): number[] {
  const numbers: number[] = [];
  const taken = ring.drain(limit, (bytes) => {
    const { number, version } = event.decode(bytes);
    assert.equal(version, 1);
    numbers.push(Number(number));
  });
  assert.equal(taken, numbers.length);
  return numbers;
}

function counted(index: number): number {
  const value = mapOf(object, "counts").lookup(encodeCountKey({ index }));
  return value === undefined ? 0 : Number(decodeCountValue(value).packets);
}

/** Numbers of events kept of those from `from` up to, not including, `to`. */
function kept(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index).filter((number) => number % 3 !== 2);
}

test("records come in order, whole, up to the limit; discarded ones do not come", () => {
  assert.deepEqual(drained(), []);
  report(30);
  assert.deepEqual(drained(7), kept(0, 30).slice(0, 7));
  assert.deepEqual(drained(0), []);
  assert.deepEqual(drained(), kept(0, 30).slice(7));
  assert.deepEqual(drained(), []);
});

test("round and round the ring, nothing is lost or read twice", () => {
  const first = counted(COUNT.events);
  const rounds = Math.ceil((5 * ring.capacityBytes) / RECORD_BYTES / 100);
  const numbers: number[] = [];
  for (let round = 0; round < rounds; round++) {
    report(100);
    numbers.push(...drained(50), ...drained());
  }
  assert.deepEqual(numbers, kept(first, first + 100 * rounds));
  assert.equal(counted(COUNT.lost), 0);
});

test("a full ring loses what comes, the programs count it, and it goes on once there is room", () => {
  const first = counted(COUNT.events);
  const fits = Math.floor((ring.capacityBytes - 1) / RECORD_BYTES);
  report(fits + 50);
  assert.equal(counted(COUNT.events) - first + counted(COUNT.lost), fits + 50);
  assert(counted(COUNT.lost) >= 50 && counted(COUNT.lost) < 60, `${counted(COUNT.lost)} lost`);
  assert.deepEqual(drained(), kept(first, counted(COUNT.events)));
  report(9);
  assert.equal(drained().length, 6);
});

test("the next process goes on where the last one stopped; a closed ring is empty", async () => {
  const first = counted(COUNT.events);
  report(10);
  const seen = drained(2);
  const old = ring;
  object.close();
  assert.equal(
    old.drain(EVERYTHING, () => assert.fail("closed")),
    0,
  );
  await load();
  assert(object.adopted.includes("events"));
  assert.deepEqual([...seen, ...drained()], kept(first, first + 10));
});

test("a reader that throws has read the record it threw at", () => {
  const first = counted(COUNT.events);
  report(12);
  assert.throws(
    () =>
      ring.drain(EVERYTHING, () => {
        throw new Error("no");
      }),
    /no/,
  );
  assert.deepEqual(drained(), kept(first, first + 12).slice(1));
});
