/** What is remembered of one compilation to the next must never show. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Compiled, compile } from "../../src/export/compile.ts";
import { drive } from "../../src/export/drive.ts";
import { IdentityBook } from "../../src/export/identities.ts";
import { Memo } from "../../src/export/memo.ts";
import { joinManifests } from "../../src/export/world.ts";
import { Slices } from "../../src/runtime/clock.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import type { Manifest } from "../../src/wire/manifest.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { BILLING, OSAKA, podText } from "./scene.ts";

const BASE = BILLING["/m/00-base.yaml"] ?? "";

const [NAMESPACE = "", NODE = ""] = BASE.split("---");

/** Documents that may be there, by slot: one variant of each, or none. */
const SLOTS: readonly (readonly string[])[] = [
  [
    NAMESPACE,
    NAMESPACE.replace("team: fin", "team: ops"),
    NAMESPACE.replace("labels:", 'annotations: {clustermesh.cilium.io/global: "false"}, labels:'),
  ],
  [NODE, NODE.replace("192.0.2.14", "192.0.2.15")],
  ...["a", "b", "c"].map((name) => [
    podText(name),
    podText(name, { ip: "10.77.3.82" }).replace("hostIP: 192.0.2.14, ", ""),
    podText(name, { labels: "app: till" }).replace(
      "metadata: {",
      'metadata: {annotations: {policy.bulkhead.io/audit: "true"}, ',
    ),
  ]),
];

function told({ parts, refused, owners, problems }: Compiled) {
  return { parts, refused, owners, problems };
}

test("property: a compilation that remembers the one before says what one says that does not, whatever changes", async () => {
  const random = seededRandom(11);
  const clock = new VirtualClock();
  const parsed = new Map<string, readonly Manifest[]>();
  const objectsOf = (text: string): readonly Manifest[] => {
    const objects = parsed.get(text) ?? parseManifests("a.yaml", text).objects;
    parsed.set(text, objects);
    return objects;
  };
  const memo = new Memo();
  let book = new IdentityBook(OSAKA.id, []);
  let owners: Compiled["owners"] = new Map();
  let changes = 0;
  for (let round = 0; round < 400; round++) {
    const texts = SLOTS.flatMap((variants) => variants[Math.floor(random.next() * (variants.length + 1))] ?? []);
    const world = await drive(joinManifests([texts.flatMap(objectsOf)]), new Slices(clock));
    // A new term: numbers stay, the book is another.
    if (random.next() < 0.1) book = new IdentityBook(OSAKA.id, [], book.entries());
    const input = { cluster: OSAKA, world, owners, book };
    // First the one that may forget to ask the book for a number.
    const quick = await compile({ ...input, memo }, new Slices(clock));
    const full = await compile(input, new Slices(clock));
    assert.deepEqual(told(quick), told(full), `round ${round}`);
    if (full.owners.size !== owners.size) changes++;
    owners = full.owners;
  }
  assert.ok(changes > 50, "something changes");
  assert.ok(book.size >= 4, `${book.size} identities`);
});

test("what did not change is not made again: the same bytes", async () => {
  const { objects } = parseManifests("a.yaml", `${BASE}---${podText("a")}`);
  const clock = new VirtualClock();
  const world = await drive(joinManifests([objects]), new Slices(clock));
  const input = { cluster: OSAKA, world, owners: new Map(), book: new IdentityBook(OSAKA.id, []), memo: new Memo() };
  const [first, second] = [await compile(input, new Slices(clock)), await compile(input, new Slices(clock))];
  const [key, value] = [...(first.parts.get("ip") ?? [])][0] ?? ["", undefined];
  assert.ok(value);
  assert.equal(second.parts.get("ip")?.get(key), value);
});
