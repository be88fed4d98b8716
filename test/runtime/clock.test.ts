import assert from "node:assert/strict";
import { test } from "node:test";
import { afterRunning, every, Slices, sleep, sleepRunning, systemClock } from "../../src/runtime/clock.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

test("sleep ends at its time, or at once when aborted, and leaves no timer", async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  await clock.settle(sleep(clock, 500, stop.signal));
  assert.equal(clock.nowMs(), 500);
  const long = sleep(clock, 1_000_000, stop.signal);
  clock.after(10, () => stop.abort());
  await clock.settle(long);
  assert.equal(clock.nowMs(), 510);
  assert.equal(clock.pending, 0);
  await clock.settle(sleep(clock, 1_000, stop.signal));
  assert.equal(clock.nowMs(), 510, "an aborted signal does not wait");
});

test("time in which nothing ran counts as a slice at most", async () => {
  const clock = new VirtualClock();
  const called: string[] = [];
  afterRunning(clock, 1_100, () => called.push("running"));
  clock.after(1_100, () => called.push("plain"));
  afterRunning(clock, 900, () => called.push("cancelled")).cancel();
  await clock.run(900);
  clock.stall(2_500);
  await clock.advance(99);
  assert.deepEqual(called, ["plain"]);
  await clock.advance(1);
  assert.deepEqual(called, ["plain", "running"]);
  await clock.settle(sleepRunning(clock, 1_000));
  assert.equal(clock.pending, 0);
});

test("every runs at its interval until aborted", async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const times: number[] = [];
  every(clock, 100, stop.signal, () => times.push(clock.nowMs()));
  await clock.run(350);
  stop.abort();
  await clock.run(1_000);
  assert.deepEqual(times, [100, 200, 300]);
});

test("slices let timers run during long work", async () => {
  const slices = new Slices(systemClock, 1);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const endMs = systemClock.nowMs() + 100;
  while (systemClock.nowMs() < endMs) await slices.rest();
  clearInterval(timer);
  assert(ticks > 5, `${ticks} ticks`);
});
