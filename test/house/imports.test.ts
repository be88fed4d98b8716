import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf, textsOf } from "./files.ts";
import { importFaults } from "./imports.ts";
import { parse } from "./parse.ts";
import { ROOMS } from "./rooms.ts";

function faultsOf(files: Readonly<Record<string, string>>): readonly string[] {
  return [...parse(files)].flatMap(([path, tree]) => importFaults(path, tree));
}

test("every import of src/ goes down the room table", () => {
  assert.deepEqual(faultsOf(textsOf((path) => /^src\/.*\.ts$/.test(path))), []);
});

const REFUSED: readonly (readonly [path: string, text: string, reason: RegExp])[] = [
  ["src/attic/a.ts", "export const a = 1;", /in no room/],
  ["src/programs/a.ts", "export const a = 1;", /in no room/],
  ["src/model/a.ts", 'import { a } from "../wire/a.ts";', /not below/],
  ["src/model/a.ts", 'import type { A } from "../runtime/a.ts";', /not below/],
  ["src/wire/a.ts", 'export { a } from "../maps/a.ts";', /not below/],
  ["src/wire/a.ts", 'export * from "../runtime/a.ts";', /pure and runtime is not/],
  ["src/lb/a.ts", 'export type A = import("../follow/a.ts").A;', /not below/],
  ["src/mirror/a.ts", 'export const a = () => import("../ingest/a.ts");', /not below/],
  ["src/programs/cli/a.ts", 'import { a } from "../agent/a.ts";', /not below/],
  ["src/bulkhead.ts", "export const a = (name: string) => import(name);", /plain string/],
  ["src/mirror/a.ts", 'import { a } from "../../test/a.ts";', /outside src/],
  ["src/mirror/a.ts", 'import { a } from "../model/a.js";', /does not end in \.ts/],
  ["src/mirror/a.ts", 'import { Etcd3 } from "etcd3";', /package etcd3 has no place/],
  ["src/disk/a.ts", 'import { x } from "@grpc/grpc-js/build/src/x.js";', /package @grpc\/grpc-js has no place/],
  ["src/disk/a.ts", 'import { readFileSync } from "fs";', /package fs has no place/],
  ["src/wire/a.ts", 'import { readFileSync } from "node:fs";', /in pure room wire/],
  ["src/kv/a.ts", 'import { createRequire } from "node:module";', /goes around/],
];

for (const [path, text, reason] of REFUSED) {
  test(`${path} is refused: ${text}`, () => {
    const faults = faultsOf({ [path]: text });
    assert.equal(faults.length, 1);
    assert.match(faults[0] ?? "", reason);
  });
}

test("imports that go down, stay inside or are listed pass", () => {
  const allowed = {
    "src/wire/a.ts": 'import { a } from "../model/a.ts"; import { b } from "./b.ts"; import { parse } from "yaml";',
    "src/lb/a.ts": 'import { createHash } from "node:crypto"; import type { T } from "../tables/t.ts";',
    "src/kv/a.ts":
      'import { Etcd3 } from "etcd3"; import net from "node:net"; import { clock } from "../runtime/c.ts";',
    "src/bulkhead.ts": 'export const a = () => import("./programs/cli/main.ts");',
  };
  assert.deepEqual(faultsOf(allowed), []);
});

test("src/README.md has one line per room, with the table's floor and purity", () => {
  const readme = textOf("src/README.md");
  const rows = readme.matchAll(/^\| (\d) \| `([^`]+)` \| (yes)? ?\| \S/gm);
  const told = Array.from(rows, ([, floor, name, pure]) => `${floor} ${name} ${pure === "yes" ? "pure" : "impure"}`);
  const held = ROOMS.map(({ floor, name, pure }) => `${floor} ${name} ${pure ? "pure" : "impure"}`);
  assert.deepEqual(told.sort(), held.sort());
});
