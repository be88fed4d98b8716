import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Candidate } from "../../src/lb/backend.ts";
import { type Part, parts, slots } from "../../src/lb/weights.ts";
import { FULL_WEIGHT } from "../../src/model/drain.ts";
import type { Affinity, Routing } from "../../src/model/resource.ts";
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

function routing(given: Partial<Routing>): { readonly routing: Routing } {
  return { routing: { prefer: [], weights: new Map(), spillBelow: 0, unready: 0, ...given } };
}

/** Slots by cluster, of a global service. */
function divided(
  sizes: Sizes,
  weights: Weights,
  affinity: Affinity = "none",
  more: Partial<Routing> = {},
): Record<string, number> {
  const offered = backends(sizes);
  const partOf = parts({ global: true, affinity, ...routing(more) }, offered, weighed(weights));
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
  assert.deepEqual(divided(TWO_EACH, { amsterdam: 70 }, "local"), { amsterdam: 10, osaka: 2, virginia: 2 });
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

/** Percentage of slots that are the cluster's. */
function percentage(found: Sizes, name: string): number {
  return Math.round((100 * (found[name] ?? 0)) / totalOf(found));
}

test("local backends that are missing: below the threshold their share goes elsewhere, in proportion, and back", () => {
  const shareAt = (ready: number, more: Partial<Routing> = {}): number => {
    const sizes = { amsterdam: ready, osaka: 4, virginia: 2 };
    return percentage(divided(sizes, {}, "local", { spillBelow: 50, unready: 10 - ready, ...more }), "amsterdam");
  };
  assert.deepEqual(
    [10, 8, 6, 5].map((ready) => shareAt(ready)),
    [100, 100, 100, 100],
  );
  for (const [ready, share] of [
    [4, 80],
    [3, 60],
    [2, 40],
    [1, 20],
  ] as const) {
    assert(Math.abs(shareAt(ready) - share) <= 3, `${shareAt(ready)} % with ${ready} of 10 ready`);
  }
  assert.equal(shareAt(0), 0);
  assert.deepEqual(
    [4, 1].map((ready) => shareAt(ready, { spillBelow: 0 })),
    [100, 100],
    "the last one is enough",
  );
});

test("a spill that has nowhere to go stays; drained remotes take none of it", () => {
  const spilling = { spillBelow: 100, unready: 3 };
  assert.deepEqual(divided({ amsterdam: 1 }, {}, "local", spilling), { amsterdam: 1 });
  assert.deepEqual(divided(TWO_EACH, { osaka: 0, virginia: 0 }, "local", spilling), { amsterdam: 2 });
  const drained = divided({ amsterdam: 1, osaka: 1, virginia: 1 }, { osaka: 0 }, "local", spilling);
  assert.deepEqual([drained["osaka"], percentage(drained, "amsterdam")], [undefined, 23]);
});

test("an ordered preference: the first cluster that is there takes all; what it gives up goes down the order", () => {
  const order = { prefer: ["osaka", "amsterdam"] };
  assert.deepEqual(divided(TWO_EACH, {}, "none", order), { osaka: 2 });
  assert.deepEqual(divided({ ...TWO_EACH, osaka: 0 }, {}, "none", order), { amsterdam: 2 });
  assert.deepEqual(divided({ virginia: 2 }, {}, "none", order), { virginia: 2 }, "who is not named is last");
  assert.deepEqual(divided(TWO_EACH, {}, "remote", { prefer: ["amsterdam"] }), { amsterdam: 2 }, "it beats affinity");
  assert.deepEqual(divided(TWO_EACH, { osaka: 50 }, "none", order), { osaka: 2, amsterdam: 2 });
  assert.deepEqual(divided(TWO_EACH, { osaka: 0 }, "none", order), { amsterdam: 2 });
  assert.deepEqual(divided(TWO_EACH, {}, "none", { prefer: ["nowhere"] }), TWO_EACH);
});

test("weights of clusters: within a tier, with drains, and 0 only where nothing else is left", () => {
  const half = { weights: new Map([["osaka", 50]]) };
  assert.deepEqual(divided(TWO_EACH, {}, "none", half), { amsterdam: 4, osaka: 2, virginia: 4 });
  assert.deepEqual(divided(TWO_EACH, { virginia: 50 }, "none", half), { amsterdam: 4, osaka: 2, virginia: 2 });
  assert.deepEqual(divided(TWO_EACH, {}, "none", { ...half, prefer: ["osaka"] }), { osaka: 2 }, "alone it has all");
  const off = { weights: new Map([["osaka", 0]]) };
  assert.deepEqual(divided(TWO_EACH, {}, "none", off), { amsterdam: 2, virginia: 2 });
  assert.deepEqual(divided(TWO_EACH, {}, "none", { ...off, prefer: ["osaka", "virginia"] }), { virginia: 2 });
  assert.deepEqual(divided({ osaka: 2 }, {}, "none", off), { osaka: 2 });
  const drained = { amsterdam: 0, virginia: 0 };
  assert.deepEqual(divided(TWO_EACH, drained, "none", off), { osaka: 2 }, "who is drained means it");
});

test("it is said how connections are divided", () => {
  const told = (sizes: Sizes, weights: Weights, affinity: Affinity, more: Partial<Routing>) => {
    const offered = backends(sizes);
    const partOf = parts({ global: true, affinity, ...routing(more) }, offered, weighed(weights));
    return Object.fromEntries(offered.map((one) => [one.cluster, partOf(one).why]));
  };
  assert.deepEqual(told({ amsterdam: 2, osaka: 3 }, {}, "local", { spillBelow: 50, unready: 8 }), {
    amsterdam: "used for 40 % of new connections, 2 of 10 are ready",
    osaka: "used for 60 % of new connections",
  });
  assert.deepEqual(told({ amsterdam: 1, osaka: 1 }, { osaka: 60 }, "none", { weights: new Map([["osaka", 50]]) }), {
    amsterdam: undefined,
    osaka: "used at weight 30 of 100",
  });
  const zero = { weights: new Map([["osaka", 0]]) };
  assert.deepEqual(told({ amsterdam: 1, osaka: 1 }, {}, "none", zero), { amsterdam: undefined, osaka: "of weight 0" });
  assert.deepEqual(told({ osaka: 1 }, {}, "none", zero), { osaka: "used: of weight 0, but nothing else is left" });
  assert.deepEqual(told(TWO_EACH, {}, "none", { prefer: ["virginia", "osaka"] }), {
    amsterdam: "preferred: virginia",
    osaka: "preferred: virginia",
    virginia: undefined,
  });
});

const sizes = fc.record(Object.fromEntries(CLUSTERS.map(({ name }) => [name, fc.nat({ max: 60 })])));
const weights = fc.record(Object.fromEntries(CLUSTERS.map(({ name }) => [name, fc.nat({ max: FULL_WEIGHT })])));
const affinities = fc.constantFrom<Affinity>("none", "local", "remote");
const totalOf = (slotsOf: Sizes): number => Object.values(slotsOf).reduce((sum, count) => sum + count, 0);

const routings = fc.record({
  prefer: fc.uniqueArray(fc.constantFrom("osaka", "virginia", "amsterdam", "nowhere"), { maxLength: 3 }),
  weights: fc
    .array(fc.tuple(fc.constantFrom("osaka", "amsterdam"), fc.nat({ max: FULL_WEIGHT })), { maxLength: 2 })
    .map((entries) => new Map(entries)),
  spillBelow: fc.nat({ max: 100 }),
  unready: fc.nat({ max: 20 }),
});

test("some slot is left wherever there is a backend, none belongs to a cluster of weight 0 unless all are, and they are few", () => {
  fc.assert(
    fc.property(sizes, weights, affinities, routings, (size, weight, affinity, more) => {
      const found = divided(size, weight, affinity, more);
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
