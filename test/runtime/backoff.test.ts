import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Backoff, retry } from "../../src/runtime/backoff.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const settings = { baseMs: 100, capMs: 5_000 };

test("every delay lies between base and cap, and between base and three times the one before", () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const backoff = new Backoff(seededRandom(seed), settings);
      let previousMs = settings.baseMs;
      for (let attempt = 0; attempt < 30; attempt++) {
        const delayMs = backoff.nextMs();
        assert(delayMs >= settings.baseMs && delayMs <= Math.min(settings.capMs, 3 * previousMs));
        previousMs = delayMs;
      }
    }),
  );
});

test("a thousand clients that fail together do not come back together", () => {
  const delays = Array.from({ length: 1000 }, (_, seed) => {
    const backoff = new Backoff(seededRandom(seed), settings);
    for (let attempt = 0; attempt < 5; attempt++) backoff.nextMs();
    return Math.floor(backoff.nextMs() / 100);
  });
  const peak = Math.max(
    ...Map.groupBy(delays, (slot) => slot)
      .values()
      .map((slot) => slot.length),
  );
  assert(peak < 400, `${peak} of 1000 in one tenth of a second`);
});

test("retry goes on until success, stops at a final error and at abort", async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const options = { clock, random: seededRandom(1), signal: stop.signal, backoff: settings };
  let attempts = 0;
  const third = retry(options, async () => {
    attempts++;
    if (attempts < 3) throw new Error("not yet");
    return attempts;
  });
  assert.equal(await clock.settle(third), 3);

  const final = retry(options, () => Promise.reject(new UserError("no use")));
  await assert.rejects(clock.settle(final), /no use/);

  const endless = retry(options, () => Promise.reject(new Error("down")));
  clock.after(60_000, () => stop.abort());
  await assert.rejects(clock.settle(endless));
  assert.equal(clock.nowMs() < 120_000, true);
});
