import assert from "node:assert/strict";
import { test } from "node:test";
import { type RoutingWish, serviceRouting } from "../../src/wire/service-routing.ts";

const PREFER = "service.bulkhead.io/prefer";
const WEIGHTS = "service.bulkhead.io/weights";
const SPILL = "service.bulkhead.io/spill-below";
const LOCAL_FIRST = { global: true, affinity: "local" } as const;
const ANY = { global: true, affinity: "none" } as const;

function wished(
  annotations: Readonly<Record<string, string>>,
  wish: { global: boolean; affinity: "local" | "none" } = ANY,
) {
  return serviceRouting(new Map(Object.entries(annotations)), "osaka", wish);
}

function routing(given: Partial<RoutingWish>): RoutingWish {
  return { prefer: [], weights: new Map(), spillBelow: 0, ...given };
}

test("what annotations ask for; local is the cluster that declares the service", () => {
  for (const [annotations, wish, expected] of [
    [{}, ANY, undefined],
    [{ "service.cilium.io/global": "true" }, ANY, undefined],
    [{ [PREFER]: "local, virginia" }, ANY, routing({ prefer: ["osaka", "virginia"] })],
    [
      { [WEIGHTS]: "virginia=20,local = 80" },
      ANY,
      routing({ weights: new Map(Object.entries({ virginia: 20, osaka: 80 })) }),
    ],
    [{ [WEIGHTS]: "virginia=0" }, ANY, routing({ weights: new Map([["virginia", 0]]) })],
    [{ [SPILL]: "70" }, LOCAL_FIRST, routing({ spillBelow: 70 })],
    [{ [SPILL]: "70 %" }, LOCAL_FIRST, routing({ spillBelow: 70 })],
    [{ [SPILL]: "100", [PREFER]: "virginia,osaka" }, ANY, routing({ spillBelow: 100, prefer: ["virginia", "osaka"] })],
  ] as const) {
    assert.deepEqual(wished(annotations, wish), { routing: expected, problems: [] }, JSON.stringify(annotations));
  }
});

test("what makes no sense does not count, and it is said why and what to write", () => {
  for (const [annotations, wish, line] of [
    [
      { [PREFER]: "Osaka" },
      ANY,
      /prefer is "Osaka" and does not count: cluster name "Osaka" may hold only lower-case .*; write names of clusters/,
    ],
    [{ [PREFER]: "osaka,local" }, ANY, /osaka is named twice; name each cluster once/],
    [{ [PREFER]: "" }, ANY, /cluster name "" must have 1 to 32 characters/],
    [{ [WEIGHTS]: "virginia" }, ANY, /"virginia" is no weight; write CLUSTER=0 to 100/],
    [{ [WEIGHTS]: "virginia=101" }, ANY, /"virginia=101" is no weight/],
    [{ [WEIGHTS]: "virginia=1=2" }, ANY, /"virginia=1=2" is no weight/],
    [{ [WEIGHTS]: "virginia=1,virginia=2" }, ANY, /virginia is named twice/],
    [{ [SPILL]: "0" }, LOCAL_FIRST, /write a percentage from 1 to 100/],
    [{ [SPILL]: "most" }, LOCAL_FIRST, /spill-below is "most" and does not count: write a percentage/],
    [{ [SPILL]: "50" }, ANY, /spill-below changes nothing: no local backends are preferred; add .*prefer: "local"/],
    [{ [SPILL]: "50", [PREFER]: "virginia" }, LOCAL_FIRST, /spill-below changes nothing/],
    [
      { "service.bulkhead.io/prefers": "osaka" },
      ANY,
      /"service.bulkhead.io\/prefers" is not known; use service.bulkhead.io\/prefer, /,
    ],
    [{ [PREFER]: "osaka" }, { global: false, affinity: "none" }, /count only with service.cilium.io\/global: "true"/],
  ] as const) {
    const { routing: found, problems } = wished(annotations, wish);
    assert.equal(problems.length, 1, problems.join());
    assert.match(problems[0] ?? "", line);
    const others = JSON.stringify(annotations).includes('virginia"') && wish === LOCAL_FIRST;
    assert.deepEqual(found, others ? routing({ prefer: ["virginia"] }) : undefined);
  }
  const many = Array.from({ length: 65 }, (_, index) => `c${index}`);
  assert.match(wished({ [PREFER]: many.join() }).problems[0] ?? "", /names more than 64 clusters/);
  assert.match(wished({ [WEIGHTS]: many.map((name) => `${name}=1`).join() }).problems[0] ?? "", /names more than 64/);
});

test("one that makes no sense disturbs no other", () => {
  const { routing: found, problems } = wished({ [PREFER]: "local", [WEIGHTS]: "x" });
  assert.deepEqual(found, routing({ prefer: ["osaka"] }));
  assert.equal(problems.length, 1);
});
