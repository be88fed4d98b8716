import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { projectFiles, ROOT, textOf, textsOf } from "./files.ts";
import { pathFaults, shellOf, textFaults } from "./text.ts";

/** The one script that may use bash: only CI runs it. */
const BASH = ".ci/run";
const scripts = Object.entries(textsOf((path) => !/\.(ts|md|json)$/.test(path))).filter(([, text]) => shellOf(text));

test("files are named after what they hold", () => {
  assert.deepEqual(projectFiles().flatMap(pathFaults), []);
});

test("no file names a machine's path or a registry's host, and bpf/ is marked with its licence", () => {
  const faults = Object.entries(textsOf(() => true)).flatMap(([path, text]) => textFaults(path, text));
  assert.deepEqual(faults, []);
});

test("shell scripts are executable, POSIX and parse", () => {
  assert.notEqual(scripts.length, 0);
  for (const [path, text] of scripts) {
    accessSync(resolve(ROOT, path), constants.X_OK);
    const shell = path === BASH ? "bash" : "sh";
    assert.equal(shellOf(text), shell, `${path} must be a ${shell} script`);
    const parsed = spawnSync(shell, ["-n", resolve(ROOT, path)], { encoding: "utf8" });
    assert.equal(parsed.status, 0, parsed.stderr);
  }
});

test("both licences are complete", () => {
  assert.match(textOf("LICENSE"), /Apache License\s+Version 2\.0[\s\S]*END OF TERMS AND CONDITIONS/);
  assert.match(
    textOf("bpf/LICENSE.GPL-2.0"),
    /GNU GENERAL PUBLIC LICENSE\s+Version 2[\s\S]*END OF TERMS AND CONDITIONS/,
  );
  assert.match(textOf("bpf/LICENSE.BSD-2-Clause"), /The Bulkhead authors[\s\S]*POSSIBILITY OF SUCH DAMAGE/);
});

for (const path of ["src/util/a.ts", "src/kv/helpers.ts", "test/common/a.ts", "src/kv/index.ts", "src/a.mjs"]) {
  test(`a file called ${path} is refused`, () => assert.equal(pathFaults(path).length, 1));
}

const FOREIGN: readonly string[] = [
  `cd ${["", "work", "main"].join("/")}`,
  `see ${["..", "shared", "x.md"].join("/")}`,
  `https://registry.${["npmjs", "org"].join(".")}/koffi`,
];

for (const text of FOREIGN) {
  test(`a file that says "${text}" is refused`, () => assert.equal(textFaults("docs/a.md", text).length, 1));
}

test("ordinary text passes, and C without its licence is refused", () => {
  assert.deepEqual(textFaults("docs/a.md", "see ./work/x, https://example.org/home/ and svc.cluster.local"), []);
  assert.equal(textFaults("bpf/a.bpf.c", "int a;").length, 1);
  assert.deepEqual(textFaults("bpf/a.h", "/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */\nint a;"), []);
});

test("the shell of a script is read from its first line", () => {
  assert.equal(shellOf("#!/bin/sh\n"), "sh");
  assert.equal(shellOf("#!/usr/bin/env bash\n"), "bash");
  assert.equal(shellOf("#!/usr/bin/env node\n"), undefined);
});
