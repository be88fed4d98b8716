import assert from "node:assert/strict";
import { test } from "node:test";
import { textsOf } from "./files.ts";
import { parse } from "./parse.ts";
import { purityFaults } from "./purity.ts";

function faultsOf(files: Readonly<Record<string, string>>): readonly string[] {
  return [...parse(files)].flatMap(([path, tree]) => purityFaults(path, tree));
}

test("time and chance stay in runtime, and pure rooms are synchronous", () => {
  assert.deepEqual(faultsOf(textsOf((path) => /^src\/.*\.ts$/.test(path))), []);
});

const IMPURE: readonly string[] = [
  "setTimeout(() => {}, 1);",
  "const later = setInterval;",
  "globalThis.setTimeout(() => {}, 1);",
  "setImmediate(() => {});",
  "export const now = Date.now();",
  "export const now = new Date();",
  "export const now = new Date;",
  "export const now = Date();",
  "export const now = performance.now();",
  "export const chance = Math.random();",
  "export const now = process.hrtime.bigint();",
  "export const signal = AbortSignal.timeout(5);",
  'import { randomUUID } from "node:crypto";',
];

for (const text of IMPURE) {
  test(`refused outside runtime, allowed in it: ${text}`, () => {
    assert.equal(faultsOf({ "src/mirror/a.ts": text }).length > 0, true);
    assert.deepEqual(faultsOf({ "src/runtime/a.ts": text }), []);
  });
}

const ASYNCHRONOUS: readonly string[] = [
  "export async function a() {}",
  "export const a = async () => 1;",
  "export async function* a() {}",
  "export class A { async a() {} }",
  "export type A = Promise<number>;",
  "export const a = Promise.resolve(1);",
  "export const a = new Date(0);",
  "export const a = new WeakRef({});",
  "await 1; export {};",
  "export const a = (b: string, c: string) => b.localeCompare(c);",
  "export let count = 0;",
  "var count = 0;",
];

for (const text of ASYNCHRONOUS) {
  test(`refused in a pure room, allowed in another: ${text}`, () => {
    assert.equal(faultsOf({ "src/wire/a.ts": text }).length > 0, true);
    assert.deepEqual(faultsOf({ "src/mirror/a.ts": text }), []);
  });
}

test("members that only share a name with a global pass", () => {
  const text =
    "export const a = (s: Socket, c: C) => { s.setTimeout(5); c.now(); return { setTimeout: 1, Date: 2 }; };";
  assert.deepEqual(faultsOf({ "src/mirror/a.ts": text, "src/wire/a.ts": text }), []);
});
