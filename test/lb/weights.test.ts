import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Candidate } from "../../src/lb/backend.ts";
import { type Part, parts, slots } from "../../src/lb/weights.ts";
import { FULL_WEIGHT } from "../../src/model/drain.ts";
import type { Affinity } from "../../src/model/resource.ts";
import { CLUSTERS, OSAKA, OWN, VIRGINIA } from "../tables/world.ts";

type Sizes = Readonly<Record<string, number>>;
type Weights = Readonly<Record<string, number>>;

/** So many backends of each cluster. */
function backends(sizes: Sizes): Candidate[] {
  return CLUSTERS.flatMap(({ name, id }) =>
    Array.from({ length: sizes[name] ?? 0 }, (_, index): Candidate => {
      const address = `10.${id}.${index >> 8}.${index & 255}`;
      return { address, port: 80, protocol: "TCP", portName: "", cluster: name, clusterId: id, own: name === OWN.name };
    }),
  );
}

const weighed =
  (weights: Weights) =>
  ({ cluster }: Candidate): number =>
    weights[cluster] ?? FULL_WEIGHT;

/** Slots by cluster, of a global service. */
function divided(sizes: Sizes, weights: Weights, affinity: Affinity = "none"): Record<string, number> {
  const offered = backends(sizes);
  const partOf = parts({ global: true, affinity }, offered, weighed(weights));
  const used = offered.filter((candidate) => partOf(candidate).weight > 0);
  const chosen = slots(used, (candidate) => partOf(candidate).weight);
  return Object.fromEntries(
    [...Map.groupBy(chosen, ({ cluster }) => cluster)].map(([name, all]) => [name, all.length]),
  );
}

const TWO_EACH = { amsterdam: 2, osaka: 2, virginia: 2 };

test("nothing drained: one slot a backend, and so where all are drained alike", () => {
  assert.deepEqual(divided(TWO_EACH, {}), TWO_EACH);
  assert.deepEqual(divided(TWO_EACH, { amsterdam: 40, osaka: 40, virginia: 40 }), TWO_EACH);
});

test("a cluster that is drained gets its part, then nothing", () => {
  assert.deepEqual(divided(TWO_EACH, { osaka: 50 }), { amsterdam: 4, osaka: 2, virginia: 4 });
  assert.deepEqual(divided(TWO_EACH, { osaka: 1 }), { amsterdam: 20, osaka: 1, virginia: 20 });
  assert.deepEqual(divided(TWO_EACH, { osaka: 0 }), { amsterdam: 2, virginia: 2 });
});

test("everything drained: everything stays, by affinity too, and it is said", () => {
  const none = { amsterdam: 0, osaka: 0, virginia: 0 };
  assert.deepEqual(divided(TWO_EACH, none), TWO_EACH);
  assert.deepEqual(divided(TWO_EACH, none, "local"), { amsterdam: 2 });
  assert.deepEqual(divided({ osaka: 3 }, { osaka: 0 }), { osaka: 3 });
  const [osaka] = backends({ osaka: 1 }) as [Candidate];
  const part = parts({ global: true, affinity: "none" }, [osaka], () => 0)(osaka);
  assert.deepEqual(part, { weight: 100, why: "used: drained, but nothing else is left" } satisfies Part);
});

test("affinity: what the preferred side gives up goes to the other one", () => {
  assert.deepEqual(divided(TWO_EACH, { amsterdam: 70 }, "local"), { amsterdam: 20, osaka: 9, virginia: 9 });
  assert.deepEqual(divided(TWO_EACH, { amsterdam: 0 }, "local"), { osaka: 2, virginia: 2 });
  assert.deepEqual(divided(TWO_EACH, { osaka: 0 }, "remote"), { virginia: 2 });
  assert.deepEqual(divided(TWO_EACH, { osaka: 0, virginia: 0 }, "remote"), { amsterdam: 2 });
});

test("a service that is not global knows its own cluster only, drained or not", () => {
  const offered = backends(TWO_EACH);
  const partOf = parts({ global: false, affinity: "none" }, offered, weighed({ amsterdam: 0 }));
  assert.deepEqual(
    offered.map((one) => partOf(one).weight),
    [100, 100, 0, 0, 0, 0],
  );
});

const sizes = fc.record(Object.fromEntries(CLUSTERS.map(({ name }) => [name, fc.nat({ max: 60 })])));
const weights = fc.record(Object.fromEntries(CLUSTERS.map(({ name }) => [name, fc.nat({ max: FULL_WEIGHT })])));
const affinities = fc.constantFrom<Affinity>("none", "local", "remote");
const totalOf = (slotsOf: Sizes): number => Object.values(slotsOf).reduce((sum, count) => sum + count, 0);

test("some slot is left wherever there is a backend, none belongs to a cluster of weight 0 unless all are, and they are few", () => {
  fc.assert(
    fc.property(sizes, weights, affinities, (size, weight, affinity) => {
      const found = divided(size, weight, affinity);
      const backendCount = totalOf(size);
      assert.equal(totalOf(found) > 0, backendCount > 0);
      assert(totalOf(found) <= Math.max(200, backendCount), "slots are bounded");
      const alive = CLUSTERS.some(({ name }) => (size[name] ?? 0) > 0 && (weight[name] ?? 0) > 0);
      if (alive) for (const { name } of CLUSTERS) if (weight[name] === 0) assert.equal(found[name], undefined, name);
    }),
    { numRuns: 2_000 },
  );
});

/** Of clusters that are not drained to the end. */
const some = fc.record(
  Object.fromEntries(CLUSTERS.map(({ name }) => [name, fc.integer({ min: 1, max: FULL_WEIGHT })])),
);

test("the less weight, the smaller the share, without affinity and with it", () => {
  fc.assert(
    fc.property(sizes, some, affinities, fc.constantFrom(OSAKA, VIRGINIA, OWN), (size, weight, affinity, { name }) => {
      let before = Number.POSITIVE_INFINITY;
      for (let step = FULL_WEIGHT; step >= 0; step -= 5) {
        const other = CLUSTERS.some(
          (one) => one.name !== name && (size[one.name] ?? 0) > 0 && (weight[one.name] ?? 0) > 0,
        );
        if (!other) return;
        const found = divided(size, { ...weight, [name]: step }, affinity);
        const share = (found[name] ?? 0) / totalOf(found);
        // Slots are whole: two shares that are nearly the same may come out the other way round.
        assert(share <= before + 0.07, `${share} at ${step} after ${before}`);
        before = Math.min(before, share);
      }
      assert.equal(before, 0);
    }),
    { numRuns: 500 },
  );
});
