import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BatchLimits, type Lane, type Write, WriteQueue } from "../../src/publish/queue.ts";

/** The same queue the slow and obvious way: one list, looked through from its beginning each time. */
class PlainQueue {
  #waiting: { readonly write: Write; readonly doubtful: boolean }[] = [];
  #inFlight: Write[] = [];

  add(added: Write): void {
    const at = this.#waiting.findIndex(({ write }) => write.key === added.key);
    const older = this.#waiting[at];
    if (!older) {
      this.#waiting.push({ write: added, doubtful: false });
      return;
    }
    const { lane, since, atMs } = older.write;
    const entry = {
      write: { ...added, lane: lane === "live" ? lane : added.lane, since, atMs },
      doubtful: older.doubtful,
    };
    const moves = !older.doubtful && lane === "bulk" && added.lane === "live";
    if (moves) this.#waiting = [...this.#waiting.toSpliced(at, 1), entry];
    else this.#waiting[at] = entry;
  }

  take({ maxOperations, maxBytes, puts, bulk }: BatchLimits): readonly Write[] {
    const rank = (doubtful: boolean, lane: Lane): number => (doubtful ? 0 : lane === "live" ? 1 : 2);
    const mayGo = ({ key, lane, value }: Write): boolean =>
      this.#inFlight.every((one) => one.key !== key) && (puts || value === undefined) && (bulk || lane === "live");
    const ordered = this.#waiting
      .toSorted((left, right) => rank(left.doubtful, left.write.lane) - rank(right.doubtful, right.write.lane))
      .filter(({ write }) => mayGo(write));
    const batch: Write[] = [];
    let bytes = 0;
    for (const { write } of ordered) {
      bytes += write.key.length + (write.value?.length ?? 0) + 64;
      if (batch.length === maxOperations || (batch.length > 0 && bytes > maxBytes)) break;
      batch.push(write);
    }
    this.#waiting = this.#waiting.filter(({ write }) => !batch.includes(write));
    this.#inFlight.push(...batch);
    return batch;
  }

  settle(batch: readonly Write[]): void {
    this.#inFlight = this.#inFlight.filter((write) => !batch.includes(write));
  }

  putBack(batch: readonly Write[]): void {
    this.settle(batch);
    for (const write of batch) {
      const newer = this.#waiting.find((one) => one.write.key === write.key);
      this.#waiting = this.#waiting.filter((one) => one !== newer);
      const { scope, since, atMs } = write;
      this.#waiting.push({ write: newer ? { ...newer.write, scope, since, atMs } : write, doubtful: true });
    }
  }

  isOpen(sequence: number): boolean {
    return [...this.#waiting.map(({ write }) => write), ...this.#inFlight].some(({ since }) => since <= sequence);
  }

  get size(): number {
    return this.#waiting.length + this.#inFlight.length;
  }
}

const adding = fc.record({
  key: fc.integer({ min: 0, max: 12 }).map((number) => `k/${number}`),
  bytes: fc.option(fc.integer({ min: 0, max: 300 }), { nil: undefined }),
  lane: fc.constantFrom<Lane>("live", "bulk"),
});
const limits = fc.record({
  maxOperations: fc.integer({ min: 1, max: 6 }),
  maxBytes: fc.constantFrom(100, 400, 10_000),
  puts: fc.boolean(),
  bulk: fc.boolean(),
});
const step = fc.oneof(
  { weight: 6, arbitrary: adding.map((add) => ({ add })) },
  { weight: 3, arbitrary: limits.map((take) => ({ take })) },
  { weight: 2, arbitrary: fc.record({ settle: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ putBack: fc.nat() }) },
);

test("whatever is added, taken, settled and put back, it is what one list looked through each time would give", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
      const queue = new WriteQueue();
      const plain = new PlainQueue();
      const batches: { readonly ours: readonly Write[]; readonly theirs: readonly Write[] }[] = [];
      let since = 0;
      for (const one of steps) {
        if ("add" in one) {
          const { key, bytes, lane } = one.add;
          since++;
          const value = bytes === undefined ? {} : { value: new Uint8Array(bytes) };
          const write: Write = { key, lane, scope: "s", since, atMs: since, ...value };
          queue.add(write);
          plain.add(write);
        } else if ("take" in one) {
          const batch = { ours: queue.take(one.take), theirs: plain.take(one.take) };
          assert.deepEqual(batch.ours, batch.theirs);
          if (batch.ours.length > 0) batches.push(batch);
        } else {
          const settles = "settle" in one;
          const [batch] = batches.splice((settles ? one.settle : one.putBack) % (batches.length || 1), 1);
          if (!batch) continue;
          for (const [of, given] of [
            [queue, batch.ours],
            [plain, batch.theirs],
          ] as const) {
            if (settles) of.settle(given);
            else of.putBack(given);
          }
        }
        assert.equal(queue.size, plain.size);
        for (let sequence = 0; sequence <= since; sequence++)
          assert.equal(queue.isOpen(sequence), plain.isOpen(sequence), `${sequence} is open`);
      }
    }),
  );
});
