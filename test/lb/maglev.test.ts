import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Candidate, endpointText } from "../../src/lb/backend.ts";
import { lookupTable, tableHash } from "../../src/lb/maglev.ts";
import { hash32 } from "../../src/model/hash.ts";

const SIZE = 1021;

function backend(number: number): Candidate {
  const address = number % 2 === 0 ? `10.1.${number >> 8}.${number & 255}` : `fd00:1::${number.toString(16)}`;
  return { cluster: "osaka", clusterId: 1, own: false, portName: "http", address, port: 8080, protocol: "TCP" };
}

const equal = (): number => 100;
const texts = (table: readonly Candidate[]): readonly string[] => table.map(endpointText);
const some = fc.uniqueArray(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 40 });

function countsOf(table: readonly Candidate[]): ReadonlyMap<string, number> {
  return new Map([...Map.groupBy(texts(table), (text) => text)].map(([text, all]) => [text, all.length]));
}

test("the table is the same in whatever order backends come, and whichever cluster is the own one", () => {
  fc.assert(
    fc.property(some, fc.nat(), (numbers, seed) => {
      const backends = numbers.map(backend);
      const rank = ({ address }: Candidate): number => hash32(address, seed);
      const shuffled = [...backends].sort((left, right) => rank(left) - rank(right));
      const elsewhere = shuffled.map((one) => ({ ...one, own: true, clusterId: 9, portName: "other" }));
      const weightOf = ({ port, address }: Candidate): number => 1 + ((port + address.length * 37) % 100);
      assert.deepEqual(texts(lookupTable(elsewhere, weightOf, SIZE)), texts(lookupTable(backends, weightOf, SIZE)));
    }),
    { numRuns: 50 },
  );
});

test("of equal weights no backend has two slots more than another; of nobody there is no table", () => {
  for (const count of [1, 2, 3, 10, 100, 1_000, 3_000]) {
    const table = lookupTable(
      Array.from({ length: count }, (_, index) => backend(index)),
      equal,
      SIZE,
    );
    const counts = [...countsOf(table).values()];
    assert.equal(table.length, SIZE);
    assert.equal(counts.length, Math.min(count, SIZE), "each has one, while there is one for each");
    assert(Math.max(...counts) - Math.min(...counts) <= 1);
  }
  assert.deepEqual(lookupTable([], equal, SIZE), []);
});

test("slots are in proportion to weights, to one or two", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 40 }), (weights) => {
      const backends = weights.map((_, index) => backend(index));
      const weightOf = (one: Candidate): number => weights[backends.indexOf(one)] ?? 0;
      const counts = countsOf(lookupTable(backends, weightOf, SIZE));
      const sum = weights.reduce((total, weight) => total + weight);
      for (const [index, one] of backends.entries()) {
        const share = (SIZE * (weights[index] ?? 0)) / sum;
        const found = counts.get(endpointText(one)) ?? 0;
        assert(Math.abs(found - share) < 2.5, `${found} slots of ${share}`);
      }
    }),
    { numRuns: 200 },
  );
});

test("weights that differ in their last bit only are the same", () => {
  const backends = [2, 4, 6].map(backend);
  const weightOf = (one: Candidate): number => (one === backends[0] ? 3.125 : 100);
  const nearly = (one: Candidate): number => (one === backends[0] ? 3.125 * (1 - Number.EPSILON) : 100);
  assert.notEqual(nearly(backends[0] as Candidate), weightOf(backends[0] as Candidate));
  assert.deepEqual(lookupTable(backends, nearly, SIZE), lookupTable(backends, weightOf, SIZE));
});

/** Which part of the slots that both tables have for others than `except` names another backend. */
function moved(before: readonly Candidate[], after: readonly Candidate[], except: string): number {
  const [left, right] = [texts(before), texts(after)];
  const others = left.map((text, slot) => [text, right[slot]]).filter((pair) => !pair.includes(except));
  return others.filter(([one, other]) => one !== other).length / others.length;
}

test("a backend that goes takes its own flows with it, and few of the others'", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 5_000 }), { minLength: 2, maxLength: 10 }), (numbers) => {
      const backends = numbers.map(backend);
      const gone = backends[0] as Candidate;
      const before = lookupTable(backends, equal, SIZE);
      const after = lookupTable(backends.slice(1), equal, SIZE);
      const part = moved(before, after, endpointText(gone));
      assert(part < 0.08, `${part} of the other flows moved`);
    }),
    { numRuns: 300 },
  );
});

test("with a hundred slots a backend, two of a hundred other flows move; at random nearly all would", () => {
  const backends = Array.from({ length: 100 }, (_, index) => backend(index));
  const gone = endpointText(backends[7] as Candidate);
  const rest = backends.filter((one) => endpointText(one) !== gone);
  const before = lookupTable(backends, equal, 16_381);
  assert(moved(before, lookupTable(rest, equal, 16_381), gone) < 0.02);
  const inTurn = (all: readonly Candidate[]) => Array.from({ length: 16_381 }, (_, slot) => all[slot % all.length]);
  assert(moved(inTurn(backends) as readonly Candidate[], inTurn(rest) as readonly Candidate[], gone) > 0.9);
});

test("a drain moves what it takes away, and little else", () => {
  const backends = Array.from({ length: 6 }, (_, index) => backend(index));
  const weightOf = (weight: number) => (one: Candidate) => (backends.indexOf(one) < 3 ? weight : 100);
  const tables = [100, 90, 80, 70, 60, 50].map((weight) => lookupTable(backends, weightOf(weight), SIZE));
  for (const [index, table] of tables.slice(1).entries()) {
    const before = texts(tables[index] ?? []);
    const changed = texts(table).filter((text, slot) => text !== before[slot]).length / SIZE;
    assert(changed < 0.12, `${changed} of all flows moved`);
  }
});

test("tables of this version are those of every other", () => {
  const backends = Array.from({ length: 7 }, (_, index) => backend(index + 1));
  const weightOf = (one: Candidate): number => 100 - backends.indexOf(one);
  assert.equal(tableHash(lookupTable(backends, equal, 251)), "bca6a167");
  assert.equal(tableHash(lookupTable(backends, weightOf, 251)), "b4e2197c");
});
