// A family: maps made whole before they are seen, swapped in place, found again by the next process.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { KernelError, type KernelMapFamily, type LoadedObject, type MapEntries } from "../../src/kernel/door.ts";
import { testRun } from "../../src/kernel/test-run.ts";
import { encodePolicyKey, encodePolicyValue, POLICY_FAMILY, POLICY_SLOTS } from "../../src/maps/policy-map.ts";
import { entriesOf, rowsOf } from "./entries.ts";
import { probeRequest } from "./probe.ts";
import { kernel, Stage } from "./stage.ts";

const NO_MAP = 1000;
const NO_ENTRY = 1001;
const MANY = 200;
const LARGE = 3000;
/** One wait of the kernel is 4 to 90 ms: one after another these would take longer. */
const TOGETHER_MS = 400;

let stage: Stage;
let object: LoadedObject;
let policies: KernelMapFamily;

before(() => {
  stage = new Stage();
});
after(() => stage.close());

async function load(): Promise<[LoadedObject, KernelMapFamily]> {
  const loaded = stage.keep(await kernel.load(probeRequest(stage, 1)));
  const family = loaded.families.get("policies");
  assert(family !== undefined);
  return [loaded, family];
}

beforeEach(async () => {
  [object, policies] = await load();
  await policies.remove([...(await policies.read()).keys()]);
});

/** Allows these identities, each by the rule of this number. */
function allowing(rules: Readonly<Record<number, number>>): MapEntries {
  const pairs = Object.entries(rules).map(([identity, rule]): [Uint8Array, Uint8Array] => [
    encodePolicyKey({ prefixLength: 32, identity: Number(identity), protocol: 0, port: 0 }),
    encodePolicyValue({ rule, verdict: 1 }),
  ]);
  return entriesOf(pairs);
}

/** What the program finds. */
function ask(slot: number, identity: number): number {
  const packet = Buffer.alloc(64);
  packet.writeUInt32LE(slot, 14);
  packet.writeUInt32LE(identity, 18);
  return testRun(object, "ask", { packet }).verdict;
}

test("maps are put, read by programs, changed in place, replaced and removed", async () => {
  assert.equal(policies.maxMaps, POLICY_SLOTS);
  assert.equal(ask(3, 7), NO_MAP);
  const [three, four] = await policies.put([
    { slot: 3, entries: allowing({ 7: 70 }) },
    { slot: POLICY_SLOTS - 1, entries: allowing({}) },
  ]);
  assert.deepEqual([ask(3, 7), ask(3, 8), ask(POLICY_SLOTS - 1, 7), ask(4, 7)], [70, NO_ENTRY, NO_ENTRY, NO_MAP]);
  await three?.update(allowing({ 8: 80 }));
  await four?.update(allowing({ 1: 10 }));
  assert.deepEqual([ask(3, 7), ask(3, 8), ask(POLICY_SLOTS - 1, 1)], [70, 80, 10]);
  const { keys } = allowing({ 7: 0, 9: 0, 8: 0 });
  await three?.remove(keys, 3);
  assert.deepEqual([ask(3, 7), ask(3, 8), (await three?.dump())?.count], [NO_ENTRY, NO_ENTRY, 0]);
  await policies.put([{ slot: 3, entries: allowing({ 7: 71 }) }]);
  assert.equal(ask(3, 7), 71);
  await assert.rejects(three?.dump() ?? assert.fail(), /was closed/);
  await policies.remove([3, 5]);
  assert.equal(ask(3, 7), NO_MAP);
  assert.deepEqual([...(await policies.read()).keys()], [POLICY_SLOTS - 1]);
});

test("the next process finds the maps with their entries and changes the same ones", async () => {
  await policies.put([
    { slot: 1, entries: allowing({ 5: 50, 6: 60 }) },
    { slot: 2, entries: allowing({ 5: 51 }) },
  ]);
  const rows = await rowsOf((await policies.read()).get(1) ?? assert.fail());
  object.close();
  await assert.rejects(policies.read(), /was closed/);
  [object, policies] = await load();
  assert(object.adopted.includes("policies"));
  const found = await policies.read();
  assert.deepEqual([...found.keys()], [1, 2]);
  const one = found.get(1) ?? assert.fail();
  assert.deepEqual(await rowsOf(one), rows);
  await one.update(allowing({ 5: 55 }));
  assert.deepEqual([ask(1, 5), ask(1, 6), ask(2, 5)], [55, 60, 51]);
  assert.equal((await policies.read()).get(1), one);
});

test("a map larger than one batch is filled, read and emptied whole", async () => {
  const rules = Object.fromEntries(Array.from({ length: LARGE }, (_, index) => [index, index + 1]));
  const [map] = await policies.put([{ slot: 1, entries: allowing(rules) }]);
  assert.deepEqual([ask(1, 0), ask(1, LARGE - 1)], [1, LARGE]);
  assert.equal(new Set(await rowsOf(map ?? assert.fail())).size, LARGE);
  await map?.remove(allowing(rules).keys, LARGE);
  assert.equal((await map?.dump())?.count, 0);
});

test("another process changed slots: reading sees it", async () => {
  const [, other] = await load();
  await policies.put([{ slot: 1, entries: allowing({ 5: 50 }) }]);
  const before_ = (await policies.read()).get(1);
  await other.put([{ slot: 1, entries: allowing({ 5: 51 }) }]);
  await other.put([{ slot: 2, entries: allowing({}) }]);
  const found = await policies.read();
  assert.deepEqual([...found.keys()], [1, 2]);
  assert.notEqual(found.get(1), before_);
  await other.remove([1, 2]);
  assert.equal((await policies.read()).size, 0);
});

test(`${MANY} maps wait for the kernel together, and the loop stays free`, async () => {
  const slots = Array.from({ length: MANY }, (_, index) => index + 1);
  const start = performance.now();
  let ticks = 0;
  const ticking = setInterval(() => ticks++, 1);
  await policies.put(slots.map((slot) => ({ slot, entries: allowing({ [slot]: slot }) })));
  const putMs = performance.now() - start;
  assert.deepEqual([ask(1, 1), ask(MANY, MANY), ask(MANY, 1)], [1, MANY, NO_ENTRY]);
  assert(putMs < TOGETHER_MS, `put in ${putMs} ms`);
  const ticksBefore = ticks;
  await policies.remove(slots);
  clearInterval(ticking);
  assert.deepEqual([ask(1, 1), ask(MANY, MANY)], [NO_MAP, NO_MAP]);
  assert(ticks - ticksBefore > MANY / 2, `${ticks - ticksBefore} ticks`);
});

test("a map that does not fit changes nothing", async () => {
  await policies.put([{ slot: 1, entries: allowing({ 5: 50 }) }]);
  const rules = Object.fromEntries(Array.from({ length: POLICY_FAMILY.maxEntries + 1 }, (_, index) => [index, 1]));
  const tooMany = [
    { slot: 1, entries: allowing({ 5: 51 }) },
    { slot: 2, entries: allowing(rules) },
  ];
  await assert.rejects(policies.put(tooMany), (error) => {
    assert(error instanceof KernelError);
    assert.deepEqual([error.full, error.done], [true, 0]);
    return true;
  });
  assert.deepEqual([ask(1, 5), ask(2, 5)], [50, NO_MAP]);
  await assert.rejects(policies.put([{ slot: POLICY_SLOTS, entries: allowing({}) }]), /has no slot/);
});

test("the programs are replaced by ones without the family, or with other structs: refused before loading", async () => {
  const refuse = (more: Parameters<typeof probeRequest>[2], message: RegExp): Promise<void> =>
    assert.rejects(kernel.load(probeRequest(stage, 1, more)), message);
  const { key } = POLICY_FAMILY;
  await refuse({ families: [] }, /map policies is not expected/);
  await refuse({ families: [POLICY_FAMILY, { ...POLICY_FAMILY, name: "rules" }] }, /map rules is expected/);
  await refuse({ families: [{ ...POLICY_FAMILY, key: { ...key, sizeBytes: 16 } }] }, /are not LPM tries of 16 \+ 8/);
  await refuse({ families: [{ ...POLICY_FAMILY, key: { ...key, name: "rule_key" } }] }, /struct rule_key is expected/);
  await refuse(
    { families: [{ ...POLICY_FAMILY, key: { ...key, fields: [] } }] },
    /struct policy_key has prefix_length/,
  );
  await refuse({ structs: [{ name: "lost", sizeBytes: 4, fields: [] }] }, /struct lost is expected/);
  await refuse({ rings: [] }, /map events is not expected/);
  await refuse({ rings: ["events", "more"] }, /map more is expected/);
  await refuse({ devicePrograms: { from: "from_probe", to: "nobody" } }, /program nobody is expected/);
});
