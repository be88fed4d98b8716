import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Breaker, BreakerOpenError } from "../../src/runtime/breaker.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

let clock: VirtualClock;
let restoreGlobals: () => void;

beforeEach(() => {
  clock = new VirtualClock();
  restoreGlobals = clock.installGlobalTimers();
});
afterEach(() => restoreGlobals());

function newBreaker(action: () => Promise<string>): Breaker<string> {
  const backoff = { baseMs: 1_000, capMs: 8_000 };
  return new Breaker({ name: "osaka", clock, random: seededRandom(7), failureThreshold: 3, backoff }, action);
}

test("it opens after the threshold, refuses without trying, and closes on success", async () => {
  let up = false;
  let attempts = 0;
  const breaker = newBreaker(async () => {
    attempts++;
    if (!up) throw new Error("refused");
    return "listed";
  });
  for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(breaker.fire(), /refused/);
  assert.equal(breaker.state, "open");
  await assert.rejects(breaker.fire(), BreakerOpenError);
  assert.equal(attempts, 3);

  up = true;
  await clock.advance(breaker.waitMs());
  assert.equal(breaker.state, "half-open");
  assert.equal(await breaker.fire(), "listed");
  assert.equal(breaker.state, "closed");
  assert.equal(breaker.waitMs(), 0);
  assert.equal(breaker.failures, 3);
  breaker.stop();
});

test("each time it reopens it waits a jittered delay, never above the cap", async () => {
  const breaker = newBreaker(() => Promise.reject(new Error("refused")));
  const waits = new Set<number>();
  for (let attempt = 0; attempt < 12; attempt++) {
    await assert.rejects(breaker.fire());
    const waitMs = breaker.waitMs();
    assert(waitMs < 8_001);
    if (waitMs > 0) waits.add(waitMs);
    await clock.advance(waitMs);
  }
  assert(waits.size > 4, "the delays differ");
  breaker.stop();
});

test("stop leaves no timer behind", async () => {
  const breaker = newBreaker(() => Promise.reject(new Error("refused")));
  for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(breaker.fire());
  breaker.stop();
  assert.equal(clock.pending, 0);
});
