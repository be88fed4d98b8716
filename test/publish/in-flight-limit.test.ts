import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InFlightLimit } from "../../src/publish/in-flight-limit.ts";

/** Of the Txns of one round trip, all sent at once: how long each takes. */
type Round = readonly number[];

class HandClock {
  #nowMs = 0;
  readonly nowMs = (): number => this.#nowMs;

  advance(byMs: number): void {
    this.#nowMs += byMs;
  }
}

/** What is allowed after each round. */
function allowedAfter(rounds: readonly Round[], most = 8): readonly number[] {
  const clock = new HandClock();
  const limit = new InFlightLimit(clock, most);
  const after: number[] = [];
  for (const latencies of rounds) {
    const sent = latencies
      .toSorted((left, right) => left - right)
      .map((latencyMs) => ({ latencyMs, txn: limit.sent() }));
    for (const { latencyMs, txn } of sent) {
      clock.advance(txn.atMs + latencyMs - clock.nowMs());
      limit.answered(txn);
    }
    after.push(limit.allowed);
  }
  return after;
}

const rounds = (count: number, round: Round): readonly Round[] => Array.from({ length: count }, () => round);

const CASES: readonly {
  readonly what: string;
  readonly given: readonly Round[];
  readonly allowed: readonly number[];
}[] = [
  { what: "one more a round while quick", given: rounds(4, [5]), allowed: [2, 3, 4, 5] },
  { what: "one more, however many answers a round has", given: rounds(3, [5, 6, 7]), allowed: [2, 3, 4] },
  { what: "never above the most", given: rounds(9, [5]), allowed: [2, 3, 4, 5, 6, 7, 8, 8, 8] },
  { what: "half when slow, rounded down", given: [...rounds(4, [5]), [61]], allowed: [2, 3, 4, 5, 2] },
  {
    what: "half once, however many of the round are slow",
    given: [...rounds(7, [5]), [90, 91, 92]],
    allowed: [2, 3, 4, 5, 6, 7, 8, 4],
  },
  {
    what: "half again when the next round is slow",
    given: [...rounds(7, [5]), [90], [90], [90], [90]],
    allowed: [2, 3, 4, 5, 6, 7, 8, 4, 2, 1, 1],
  },
  { what: "60 ms are not slow where 5 are the lowest", given: [[5], [60]], allowed: [2, 3] },
  { what: "what is always 500 ms away is not slow", given: rounds(3, [500]), allowed: [2, 3, 4] },
  { what: "1,051 ms are slow there", given: [[500], [500], [1_051]], allowed: [2, 3, 1] },
];

for (const { what, given, allowed } of CASES)
  test(`Txns in flight: ${what}`, () => assert.deepEqual(allowedAfter(given), allowed));

test("what became slow for good is the new measure within two windows", () => {
  const after = allowedAfter([...rounds(7, [5]), ...rounds(200, [400])]);
  assert.equal(Math.min(...after.slice(7, 100)), 1);
  assert.equal(after.at(-1), 8);
});

test("a failure halves, once a round trip", () => {
  const clock = new HandClock();
  const limit = new InFlightLimit(clock, 8);
  for (let round = 0; round < 7; round++) limit.answered(limit.sent());
  assert.equal(limit.allowed, 8);
  const sent = Array.from({ length: 8 }, () => limit.sent());
  for (const txn of sent) limit.failed(txn);
  assert.equal(limit.allowed, 4);
});

test("always from 1 to the most, whatever happens; and back at the most after as many quick rounds", () => {
  const latency = fc.integer({ min: 0, max: 10_000 });
  const outcome = fc.record({ round: fc.array(latency, { minLength: 1, maxLength: 5 }), fails: fc.boolean() });
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 50 }), fc.integer({ min: 1, max: 64 }), (outcomes, most) => {
      const clock = new HandClock();
      const limit = new InFlightLimit(clock, most);
      const inBounds = (): void => assert(limit.allowed >= 1 && limit.allowed <= most, `${limit.allowed}`);
      for (const { round, fails } of outcomes) {
        const sent = round.map((latencyMs) => ({ latencyMs, txn: limit.sent() }));
        for (const { latencyMs, txn } of sent) {
          clock.advance(latencyMs);
          if (fails) limit.failed(txn);
          else limit.answered(txn);
          inBounds();
        }
      }
      for (let round = 0; round < most; round++) {
        limit.answered(limit.sent());
        inBounds();
      }
      assert.equal(limit.allowed, most);
    }),
  );
});
