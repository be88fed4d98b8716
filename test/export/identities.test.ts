import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IdentityBook, type StoredIdentity } from "../../src/export/identities.ts";

const FIRST = 7 * 65_536 + 256;
const LAST = 7 * 65_536 + 65_535;

const labelSets = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 30 });
const storedIdentities = fc.uniqueArray(
  fc.record(
    {
      id: fc.oneof(fc.integer({ min: FIRST, max: FIRST + 40 }), fc.integer({ min: 1, max: LAST })),
      labels: fc.string({ minLength: 1, maxLength: 2 }),
    },
    { requiredKeys: ["id"] },
  ),
  { maxLength: 30, selector: ({ id }) => id },
);

function idsOf(book: IdentityBook, labels: readonly string[]): readonly (number | undefined)[] {
  return labels.map((one) => book.identityOf(one));
}

function storedOf(book: IdentityBook): readonly StoredIdentity[] {
  return [...book.entries()].map(([labels, id]) => ({ id, labels }));
}

test("numbers start at the first of the range, one per label set", () => {
  const book = new IdentityBook(7, []);
  assert.deepEqual(idsOf(book, ["a", "b", "a"]), [FIRST, FIRST + 1, FIRST]);
});

test("property: never one number for two label sets, never a number that etcd holds for something else", () => {
  fc.assert(
    fc.property(storedIdentities, labelSets, (stored, wanted) => {
      const book = new IdentityBook(7, stored);
      const ids = idsOf(book, wanted);
      assert.equal(new Set(ids).size, wanted.length);
      for (const [index, id] of ids.entries()) {
        assert.ok(id !== undefined && id >= FIRST && id <= LAST);
        const held = stored.find((one) => one.id === id);
        if (held) assert.equal(held.labels, wanted[index]);
      }
    }),
  );
});

test("property: what comes later, in whatever order, changes no number given out before", () => {
  fc.assert(
    fc.property(labelSets, labelSets, fc.integer(), (first, later, seed) => {
      const book = new IdentityBook(7, []);
      const before = idsOf(book, first);
      const shuffled = [...later].sort((left, right) => (left + seed < right + seed ? 1 : -1));
      idsOf(book, shuffled);
      assert.deepEqual(idsOf(book, first), before);
    }),
  );
});

test("property: a restart from etcd gives every label set its number again, in whatever order they come", () => {
  fc.assert(
    fc.property(labelSets, (wanted) => {
      const book = new IdentityBook(7, []);
      const before = idsOf(book, wanted);
      const again = new IdentityBook(7, [...storedOf(book)].reverse());
      assert.deepEqual(idsOf(again, [...wanted].reverse()).toReversed(), before);
    }),
  );
});

test("a number whose labels cannot be read, or that is out of range, is not given out again", () => {
  const book = new IdentityBook(7, [{ id: FIRST }, { id: 5, labels: "a" }]);
  assert.deepEqual(idsOf(book, ["a", "b"]), [FIRST + 1, FIRST + 2]);
});

test("two numbers for one label set: the lower one counts, the other is not given to anybody", () => {
  const book = new IdentityBook(7, [
    { id: FIRST + 1, labels: "a" },
    { id: FIRST, labels: "a" },
  ]);
  assert.deepEqual(idsOf(book, ["a", "b"]), [FIRST, FIRST + 2]);
});

test("memory fills what etcd lost and yields where etcd says otherwise", () => {
  const remembered = [
    ["a", FIRST],
    ["b", FIRST + 1],
  ] as const;
  assert.deepEqual(idsOf(new IdentityBook(7, [], remembered), ["b", "a"]), [FIRST + 1, FIRST]);
  const other = new IdentityBook(7, [{ id: FIRST, labels: "z" }], remembered);
  assert.deepEqual(idsOf(other, ["z", "b", "a"]), [FIRST, FIRST + 1, FIRST + 2]);
});

test("a range that is used up gives no number, and keeps those given", () => {
  const stored = Array.from({ length: LAST - FIRST }, (_, index) => ({ id: FIRST + index, labels: `set-${index}` }));
  const book = new IdentityBook(7, stored);
  assert.equal(book.identityOf("last"), LAST);
  assert.equal(book.identityOf("one more"), undefined);
  assert.equal(book.identityOf("last"), LAST);
  assert.equal(book.identityOf("set-0"), FIRST);
});

test("scopes: where etcd has them, where pods are, and both when a namespace changes sides", () => {
  const book = new IdentityBook(7, [
    { id: FIRST, labels: "a", scope: "shared" },
    { id: FIRST, labels: "a", scope: "local" },
    { id: FIRST + 1, labels: "b", scope: "local" },
  ]);
  assert.equal(book.identityOf("b", "shared"), FIRST + 1);
  assert.equal(book.identityOf("c", "local"), FIRST + 2);
  assert.deepEqual(
    [...book.entries()],
    [
      ["a", FIRST, ["shared", "local"]],
      ["b", FIRST + 1, ["shared", "local"]],
      ["c", FIRST + 2, ["local"]],
    ],
  );
  assert.deepEqual([...new IdentityBook(7, [], book.entries()).entries()], [...book.entries()]);
});

const NOBODY = { shared: new Set<number>(), local: new Set<number>() };

test("taken back: what was idle at two passes so far apart, and nothing else", () => {
  const book = new IdentityBook(7, []);
  const [a, b, highest] = idsOf(book, ["a", "b", "c"]);
  const used = { shared: new Set([b ?? 0]), local: new Set<number>() };
  assert.deepEqual(book.sweep(used, 1_000, 500, 10), [], "the first pass only looks");
  assert.deepEqual(book.sweep(used, 1_400, 500, 10), [], "too early");
  assert.deepEqual(book.sweep(used, 1_500, 500, 10), [["shared", a]]);
  assert.deepEqual(
    [...book.entries()].map(([labels]) => labels),
    ["b", "c"],
    "c has the highest number, which stays",
  );
  assert.equal(book.identityOf("a"), (highest ?? 0) + 1, "numbers go upwards");
});

test("a label set that is asked for again, or that nobody can vouch for, begins anew", () => {
  const book = new IdentityBook(7, []);
  idsOf(book, ["a", "b"]);
  book.sweep(NOBODY, 0, 500, 10);
  book.identityOf("a");
  assert.deepEqual(book.sweep(NOBODY, 500, 500, 10), []);
  book.wake();
  assert.deepEqual(book.sweep(NOBODY, 1_000, 500, 10), []);
  assert.deepEqual(book.sweep(NOBODY, 1_500, 500, 10), [["shared", FIRST]]);
});

test("each side is looked at by itself; the number is free when nobody is told of it any more", () => {
  const book = new IdentityBook(7, []);
  for (const scope of ["shared", "local"] as const) book.identityOf("a", scope);
  book.identityOf("b");
  const local = { shared: new Set<number>(), local: new Set([FIRST]) };
  book.sweep(local, 0, 500, 10);
  assert.deepEqual(book.sweep(local, 500, 500, 10), [["shared", FIRST]]);
  assert.deepEqual([...book.entries()][0], ["a", FIRST, ["local"]]);
  book.sweep(NOBODY, 1_000, 500, 10);
  assert.deepEqual(book.sweep(NOBODY, 1_500, 500, 10), [["local", FIRST]]);
});

test("no more at once than asked for", () => {
  const book = new IdentityBook(7, []);
  idsOf(book, ["a", "b", "c", "d", "e"]);
  book.sweep(NOBODY, 0, 500, 3);
  assert.equal(book.sweep(NOBODY, 500, 500, 3).length, 3);
  assert.equal(book.sweep(NOBODY, 500, 500, 3).length, 1);
});

test("a number comes again only after all higher ones, over restarts too", () => {
  const stored = [
    { id: FIRST + 1, labels: "b" },
    { id: LAST - 1, labels: "z" },
  ];
  const book = new IdentityBook(7, stored);
  assert.deepEqual(idsOf(book, ["c", "d", "e"]), [LAST, FIRST, FIRST + 2]);
});

test("property: whatever comes and goes, no number in use is taken back, and none is given while another has it", () => {
  const step = fc.record({ labels: fc.nat(8), used: fc.uniqueArray(fc.nat(8)), restart: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let book = new IdentityBook(7, []);
      const known = new Map<string, number>();
      for (const [time, { labels, used, restart }] of steps.entries()) {
        if (restart) book = new IdentityBook(7, storedOf(book));
        const id = book.identityOf(`set-${labels}`);
        assert.ok(id !== undefined);
        for (const [other, number] of known) assert.ok(number !== id || other === `set-${labels}`);
        known.set(`set-${labels}`, id);
        const shared = new Set(used.flatMap((one) => known.get(`set-${one}`) ?? []));
        for (const [, number] of book.sweep({ shared, local: new Set() }, time * 1_000, 2_000, 3)) {
          assert.ok(!shared.has(number));
          for (const [name, held] of known) if (held === number) known.delete(name);
        }
      }
    }),
  );
});
