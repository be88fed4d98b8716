import assert from "node:assert/strict";
import { test } from "node:test";
import { textsOf } from "./files.ts";
import { parse } from "./parse.ts";
import { cFunctionSizeFaults, fileSizeFaults, functionSizeFaults } from "./sizes.ts";

const CODE = /^(src|bpf|deploy|test|e2e|bench|bin|\.ci)\//;

test("no file is longer than the maximum", () => {
  const files = textsOf((path) => CODE.test(path) && !/LICENSE|golden/.test(path));
  assert.deepEqual(
    Object.entries(files).flatMap(([path, text]) => fileSizeFaults(path, text)),
    [],
  );
});

test("no TypeScript function is longer than the maximum", () => {
  const trees = parse(textsOf((path) => CODE.test(path) && path.endsWith(".ts")));
  assert.deepEqual(
    [...trees].flatMap(([path, tree]) => functionSizeFaults(path, tree)),
    [],
  );
});

test("no C function is longer than the maximum", () => {
  const files = textsOf((path) => CODE.test(path) && /\.[ch]$/.test(path));
  assert.deepEqual(
    Object.entries(files).flatMap(([path, text]) => cFunctionSizeFaults(path, text)),
    [],
  );
});

const body = (lines: number): string => "  1;\n".repeat(lines);

test("a function of 71 lines is refused, one of 70 passes", () => {
  const forms = (lines: number): string[] => [
    `function a() {\n${body(lines - 2)}}`,
    `const a = () => {\n${body(lines - 2)}};`,
    `class A { a() {\n${body(lines - 2)}} }`,
  ];
  const faults = (text: string): readonly string[] =>
    [...parse({ "src/a.ts": text })].flatMap(([path, tree]) => functionSizeFaults(path, tree));
  for (const text of forms(71)) assert.equal(faults(text).length, 1, text);
  for (const text of forms(70)) assert.deepEqual(faults(text), []);
});

test("a C function of 71 lines is refused, one of 70 passes", () => {
  const forms = (lines: number): string[] => [
    `SEC("cgroup/connect4")\nint a(void *c) {\n${body(lines - 2)}}`,
    `static __always_inline int\na(void *c)\n{\n${body(lines - 2)}}`,
  ];
  for (const text of forms(71)) assert.equal(cFunctionSizeFaults("bpf/a.c", text).length, 1, text);
  for (const text of forms(70)) assert.deepEqual(cFunctionSizeFaults("bpf/a.c", text), []);
});

test("a file of 601 lines is refused, one of 600 passes", () => {
  assert.equal(fileSizeFaults("src/a.ts", body(601)).length, 1);
  assert.deepEqual(fileSizeFaults("src/a.ts", body(600)), []);
});
