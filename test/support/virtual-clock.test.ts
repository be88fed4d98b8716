import assert from "node:assert/strict";
import { test } from "node:test";
import { Slices, sleep } from "../../src/runtime/clock.ts";
import { VirtualClock } from "./virtual-clock.ts";

test("timers fire in order of time, then of creation", async () => {
  const clock = new VirtualClock();
  const fired: string[] = [];
  const at = (name: string, delayMs: number) => clock.after(delayMs, () => fired.push(`${name}@${clock.nowMs()}`));
  at("c", 20);
  at("a", 10);
  at("b", 10);
  at("never", 31);
  await clock.run(30);
  assert.deepEqual(fired, ["a@10", "b@10", "c@20"]);
  assert.equal(clock.nowMs(), 30);
  assert.equal(clock.pending, 1);
});

test("what a timer set free runs before the next timer", async () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  const wait = async (name: string): Promise<void> => {
    await sleep(clock, 10);
    for (let turn = 0; turn < 50; turn++) await undefined;
    seen.push(name);
  };
  const both = Promise.all([wait("first"), wait("second")]);
  clock.after(10, () => seen.push("timer"));
  await clock.advance(10);
  await both;
  assert.deepEqual(seen, ["first", "second", "timer"]);
});

test("timers set while running are honoured within the same run", async () => {
  const clock = new VirtualClock();
  const ticks: number[] = [];
  const tick = (): void => {
    ticks.push(clock.nowMs());
    clock.after(7, tick);
  };
  clock.after(0, tick);
  await clock.run(21);
  assert.deepEqual(ticks, [0, 7, 14, 21]);
});

test("a cancelled timer does not fire, and is not pending", async () => {
  const clock = new VirtualClock();
  const timer = clock.after(5, () => assert.fail("fired"));
  timer.cancel();
  timer.cancel();
  assert.equal(clock.pending, 0);
  await clock.run(10);
});

test("many random timers fire sorted", async () => {
  const clock = new VirtualClock();
  const fired: number[] = [];
  for (let index = 0; index < 500; index++) {
    const timer = clock.after((index * 7919) % 101, () => fired.push(clock.nowMs()));
    if (index % 3 === 0) timer.cancel();
  }
  await clock.run(200);
  assert.equal(fired.length, 333);
  assert.deepEqual(
    fired,
    fired.toSorted((left, right) => left - right),
  );
});

test("breathe lets what is due go first and takes no time", async () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  clock.after(0, () => seen.push("due"));
  const breath = clock.breathe().then(() => seen.push("breathed"));
  await clock.run(0);
  await breath;
  assert.deepEqual(seen, ["due", "breathed"]);
  await new Slices(clock).rest();
});

test("settle returns the outcome at the time it came", async () => {
  const clock = new VirtualClock();
  assert.equal(await clock.settle(sleep(clock, 1234).then(() => clock.nowMs())), 1234);
  await assert.rejects(clock.settle(Promise.reject(new Error("no"))), /no/);
  await assert.rejects(clock.settle(new Promise(() => undefined), 50), /nothing settled within 50 ms/);
});

test("time that stands still is an error, not a hang", async () => {
  const clock = new VirtualClock();
  const spin = (): void => void clock.after(0, spin);
  spin();
  await assert.rejects(clock.run(1), /time stands still/);
});

test("global timers follow the clock and come back", async () => {
  const clock = new VirtualClock();
  const real = [setTimeout, setInterval, clearTimeout, clearInterval, Date.now];
  const restore = clock.installGlobalTimers();
  const seen: string[] = [];
  try {
    const started = Date.now();
    const interval = setInterval(() => seen.push(`interval@${Date.now() - started}`), 40);
    setTimeout((name: string) => seen.push(`${name}@${Date.now() - started}`), 50, "timeout").unref();
    clearTimeout(setTimeout(() => assert.fail("cleared"), 10));
    const late = setTimeout(() => seen.push(`late@${Date.now() - started}`), 60);
    await clock.run(30);
    late.refresh();
    await clock.run(85);
    clearInterval(interval);
    await clock.run(1000);
  } finally {
    restore();
  }
  assert.deepEqual(seen, ["interval@40", "timeout@50", "interval@80"].concat("late@90"));
  assert.deepEqual([setTimeout, setInterval, clearTimeout, clearInterval, Date.now], real);
  assert.equal(clock.pending, 0);
});
