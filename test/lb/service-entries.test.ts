import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { backendKey, type Candidate } from "../../src/lb/backend.ts";
import { ServiceEntries } from "../../src/lb/service-entries.ts";
import { readFrontends } from "./entries.ts";

const FRONTEND = { address: "10.9.0.1", port: 80, protocol: "TCP" } as const;
const KEY = "10.9.0.1:80/TCP";

function backend(number: number): Candidate {
  const said = { cluster: "osaka", clusterId: 1, own: false, portName: "http" };
  return { ...said, address: `10.1.${number >> 8}.${number & 255}`, port: 80, protocol: "TCP" };
}

const texts = (backends: readonly Candidate[]): readonly string[] => backends.map(backendKey).sort();

/** How many of `left` are not in `right`, each as often as it is there. */
function without(left: readonly string[], right: readonly string[]): number {
  const rest = [...right];
  return left.filter((text) => {
    const at = rest.indexOf(text);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  }).length;
}

const some = fc.array(fc.integer({ min: 1, max: 9 }).map(backend), { maxLength: 12 });

test("slots hold what was placed last, and as many entries change as backends came and went", () => {
  fc.assert(
    fc.property(fc.array(some, { minLength: 1, maxLength: 8 }), (rounds) => {
      const entries = new ServiceEntries();
      let before: readonly string[] | undefined;
      for (const backends of rounds) {
        entries.place(FRONTEND, backends);
        const now = texts(backends);
        const frontends = readFrontends(entries.services.entries(), entries.backends.entries(), false);
        assert.deepEqual(frontends.get(KEY), now);
        const [came, went] = [without(now, before ?? []), without(before ?? [], now)];
        const moved = Math.max(0, went - came);
        const counted = came === went && before !== undefined ? 0 : 1;
        const changed = entries.services.takeChanged().size;
        assert(changed <= came + 2 * moved + counted, `${changed} entries for ${came} that came and ${went} that went`);
        before = now;
      }
    }),
    { numRuns: 500 },
  );
});

test("of 5,000 backends one goes: the last takes its slot; another comes in its place: nobody moves", () => {
  const entries = new ServiceEntries();
  const all = Array.from({ length: 5_000 }, (_, index) => backend(index + 1));
  entries.place(FRONTEND, all);
  const changedBy = (backends: readonly Candidate[]): number => {
    entries.services.takeChanged();
    entries.place(FRONTEND, backends);
    return entries.services.takeChanged().size;
  };
  assert.equal(changedBy(all.slice(1)), 3, "the slot, the last one, the count");
  assert.equal(changedBy([backend(6_000), ...all.slice(2)]), 1, "the slot");
  assert.equal(
    changedBy([...all.slice(2).reverse(), backend(6_000)]),
    0,
    "the order in which they are named says nothing",
  );
  assert.equal(changedBy(all.slice(2)), 3);
  entries.remove(KEY);
  assert.equal(entries.services.size + entries.backends.size, 0);
});
