import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Spool, type Waiting } from "../../src/events/spool.ts";
import { SEVERITIES, type Severity } from "../../src/model/event.ts";

const event = (number: number, severity: Severity, bytes = 1): Waiting => ({ number, severity, bytes });
const numbers = (events: readonly Waiting[]): readonly number[] => events.map(({ number }) => number);

test("the oldest of the least severity goes, be it the newcomer", () => {
  const spool = new Spool({ maxWaiting: 3, maxWaitingBytes: 100 });
  assert.deepEqual(spool.add(event(1, "info")), []);
  assert.deepEqual(spool.add(event(2, "error")), []);
  assert.deepEqual(spool.add(event(3, "info")), []);
  assert.deepEqual(numbers(spool.add(event(4, "warning"))), [1]);
  assert.deepEqual(numbers(spool.add(event(5, "error"))), [3]);
  assert.deepEqual(numbers(spool.add(event(6, "info"))), [6]);
  assert.deepEqual(numbers(spool.add(event(7, "error"))), [4]);
  assert.deepEqual(numbers(spool.add(event(8, "error"))), [2]);
  assert.deepEqual(numbers(spool.take(10)), [5, 7, 8]);
});

test("bytes bound it too, and one that is larger than all is not kept", () => {
  const spool = new Spool({ maxWaiting: 100, maxWaitingBytes: 10 });
  spool.add(event(1, "info", 4));
  spool.add(event(2, "info", 4));
  assert.deepEqual(numbers(spool.add(event(3, "info", 4))), [1]);
  assert.deepEqual(numbers(spool.add(event(4, "error", 11))), [2, 3, 4]);
  assert.equal(spool.size, 0);
});

test("what was sent but not acknowledged is sent again first, and never goes", () => {
  const spool = new Spool({ maxWaiting: 2, maxWaitingBytes: 100 });
  spool.add(event(1, "info"));
  assert.deepEqual(numbers(spool.take(1)), [1]);
  spool.add(event(2, "error"));
  assert.deepEqual(numbers(spool.add(event(3, "error"))), [2]);
  assert.deepEqual(numbers(spool.take(2)), [1, 3]);
  const [first] = spool.take(2);
  assert(first);
  spool.settle(first);
  spool.settle(first);
  assert.deepEqual(numbers(spool.take(2)), [3]);
});

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ add: fc.constantFrom(...SEVERITIES), bytes: fc.integer({ min: 1, max: 8 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ take: fc.integer({ min: 1, max: 4 }), settled: fc.integer({ min: 0, max: 4 }) }),
  },
);

test("whatever happens: bounded, and each event is waiting, settled or given up, once", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const spool = new Spool({ maxWaiting: 10, maxWaitingBytes: 30 });
      const fate = new Map<number, string>();
      const decide = (number: number, is: string): void => {
        assert(!fate.has(number), `${number} is ${fate.get(number)} and ${is}`);
        fate.set(number, is);
      };
      let made = 0;
      for (const one of steps) {
        if ("add" in one) {
          for (const gone of spool.add(event(++made, one.add, one.bytes))) decide(gone.number, "gone");
        } else {
          for (const sent of spool.take(one.take).slice(0, one.settled)) {
            spool.settle(sent);
            decide(sent.number, "settled");
          }
        }
        assert(spool.size <= 10);
        assert.equal(spool.size + fate.size, made);
      }
    }),
  );
});
