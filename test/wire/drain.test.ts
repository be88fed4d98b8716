import assert from "node:assert/strict";
import { test } from "node:test";
import { isEmptied, NO_DRAIN, weightOf } from "../../src/model/drain.ts";
import { encodeDrain, judgeDrain, MAX_DRAINED_SERVICES } from "../../src/wire/drain.ts";
import { DRAIN } from "../golden/values.ts";

const judged = (text: string) => judgeDrain("key", new TextEncoder().encode(text));
const RAMP = { weight: 40, target: 0, step: 10, stepMs: 6_000 };
const record = (members: object) => JSON.stringify({ version: 1, ...members });
const servicesOf = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, RAMP]));

for (const [what, text, reason, where] of [
  ["a weight above 100", record({ all: { ...RAMP, weight: 101 } }), "malformed", /all\.weight/],
  ["a weight below 0", record({ all: { ...RAMP, weight: -1 } }), "malformed", /all\.weight/],
  ["half a weight", record({ all: { ...RAMP, weight: 0.5 } }), "malformed", /all\.weight/],
  ["no weight", record({ all: { target: 0, step: 1, stepMs: 1 } }), "malformed", /all\.weight/],
  ["no steps", record({ all: { ...RAMP, step: 0 } }), "malformed", /all\.step/],
  ["steps of no time", record({ all: { ...RAMP, stepMs: 0 } }), "malformed", /all\.stepMs/],
  ["a service that is no name", record({ services: servicesOf(["../../etc"]) }), "malformed", /namespace\/name/],
  ["too many services", record({ services: servicesOf(numbered(MAX_DRAINED_SERVICES + 1)) }), "too-large", /201 serv/],
  ["too many bytes", record({ padding: "x".repeat(65_536) }), "too-large", /limit is 65536/],
  ["another version", '{"version":2}', "unsupported", /version 2/],
  ["a weight said twice", '{"version":1,"all":{"weight":0,"weight":100}}', "duplicate-name", /weight/],
  ["a weight in other letters", '{"version":1,"all":{"Weight":0}}', "folded-name", /Weight/],
  ["no JSON", "yes", "malformed", /./],
] as const) {
  test(`refused: ${what}`, () => {
    const refused = judged(text);
    assert(!refused.ok);
    assert.equal(refused.rejection.reason, reason);
    assert.match(refused.rejection.detail, where);
  });
}

function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `demo/s${index}`);
}

test("as many services as are allowed are read as they were written", () => {
  const services = new Map(Object.entries(servicesOf(numbered(MAX_DRAINED_SERVICES).toSorted())));
  const drain = { all: RAMP, services };
  assert.deepEqual(judgeDrain("key", encodeDrain(drain)), { ok: true, value: drain });
});

test("an empty marker moves no traffic", () => {
  assert.deepEqual(judged(""), { ok: true, value: NO_DRAIN });
  assert.equal(weightOf(NO_DRAIN, "demo/hello"), 100);
});

test("of a service the smaller weight counts, and a cluster is empty only where all of it is to stay at 0", () => {
  assert.deepEqual(
    ["shop/cart", "shop/search", "shop/other"].map((name) => weightOf(DRAIN, name)),
    [40, 0, 40],
  );
  const [arrived, returning] = [
    { ...RAMP, weight: 0 },
    { ...RAMP, weight: 0, target: 100 },
  ];
  assert.equal(isEmptied({ all: arrived, services: new Map() }), true);
  for (const all of [RAMP, returning]) assert.equal(isEmptied({ all, services: new Map() }), false);
  assert.equal(isEmptied({ services: new Map([["shop/cart", arrived]]) }), false);
});
