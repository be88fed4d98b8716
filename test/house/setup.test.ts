import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { ROOT } from "./files.ts";

// deploy/setup in a folder of its own, on a PATH that holds only what a test puts there: nothing here can install.
const TOOLS: readonly string[] = [
  "sh",
  "dirname",
  "tr",
  "sed",
  "find",
  "mkdir",
  "flock",
  "basename",
  "mv",
  "rm",
  "cat",
];
const PROVIDED: readonly string[] = ["etcd", "etcdctl", "llvm-objdump", "bpftool", "ip", "tc", "nft", "curl", "npm"];

type Answers = Readonly<Record<string, string>>;
type Outcome = { readonly status: number | null; readonly said: string; readonly left: readonly string[] };

/**
 * Runs the script where each command of `answers` has that body and bpf/ holds `sources`, as often as `times` says.
 * `status` and `said` are the last run's; `left` is what all of them added to the folder.
 */
function setUp(answers: Answers, options: readonly string[], sources: Answers = {}, times = 1): Outcome {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-setup-"));
  try {
    for (const part of ["bin", "deploy", "bpf"]) mkdirSync(join(folder, part));
    copyFileSync(resolve(ROOT, "deploy/setup"), join(folder, "deploy/setup"));
    for (const [name, text] of Object.entries(sources)) writeFileSync(join(folder, "bpf", name), text);
    for (const tool of TOOLS) symlinkSync(where(tool), join(folder, "bin", tool));
    const commands = { ...Object.fromEntries(PROVIDED.map((name) => [name, "exit 9"])), ...answers };
    for (const [name, body] of Object.entries(commands)) {
      writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${body}\n`);
      chmodSync(join(folder, "bin", name), 0o755);
    }
    const environment = { encoding: "utf8", env: { PATH: join(folder, "bin") } } as const;
    const runs = Array.from({ length: times }, () => spawnSync(join(folder, "deploy/setup"), options, environment));
    const left = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.startsWith("build"));
    return { status: runs.at(-1)?.status ?? null, said: runs.at(-1)?.stderr ?? "", left: left.sort() };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function where(tool: string): string {
  return ["/usr/bin", "/bin"].map((folder) => join(folder, tool)).find(existsSync) ?? `/usr/bin/${tool}`;
}

/** A command that answers `uname -s` and `uname -m`. */
const uname = (system: string, machine: string): string => `[ "$1" = -s ] && echo ${system} || echo ${machine}`;
const LINUX: Answers = { uname: uname("Linux", "x86_64"), id: "echo 1000" };
const REFUSALS: readonly (readonly [title: string, answers: Answers, line: RegExp])[] = [
  ["another system", { uname: uname("Darwin", "arm64") }, /^setup: needs Linux \(this is Darwin\).*\n$/],
  ["another machine", { uname: uname("Linux", "riscv64") }, /^setup: needs an x86_64 or aarch64 machine.*\n$/],
  ["another distribution", LINUX, /^setup: needs what these Debian 12 packages provide.*: clang .*openssl .*\n$/],
  ["no root", { ...LINUX, "apt-get": "exit 9" }, /^setup: needs (root|what these Debian).*clang .*\n$/],
];

for (const [title, answers, line] of REFUSALS) {
  test(`set-up refuses ${title} in one line, before it changes anything`, () => {
    const { status, said, left } = setUp(answers, []);
    assert.equal(status, 2, said);
    assert.match(said, line);
    assert.deepEqual(left, []);
  });
}

test("set-up refuses an unknown argument", () => {
  assert.equal(setUp(LINUX, ["--dokcer"]).status, 2);
});

const CLANG = 'while [ $# -gt 1 ]; do [ "$1" != -o ] || echo object >"$2"; shift; done';
const SOURCES: Answers = { "a.bpf.c": "", "b.bpf.c": "", "b.h": "" };

test("set-up --bpf compiles each program, and says nothing when none is out of date", () => {
  const first = setUp({ ...LINUX, clang: CLANG }, ["--bpf"], SOURCES);
  assert.equal(first.status, 0, first.said);
  assert.equal(first.said, "setup: compiling bpf/a.bpf.c\nsetup: compiling bpf/b.bpf.c\n");
  const objects = ["build", "build/bpf", "build/bpf/a.bpf.o", "build/bpf/b.bpf.o", "build/setup.lock"];
  assert.deepEqual(first.left, objects);
  const second = setUp({ ...LINUX, clang: CLANG }, ["--bpf"], SOURCES, 2);
  assert.deepEqual(second, { status: 0, said: "", left: objects });
});

test("set-up --bpf leaves no object behind when clang refuses", () => {
  const { status, said, left } = setUp({ ...LINUX, clang: "exit 1" }, ["--bpf"], SOURCES);
  assert.equal(status, 1);
  assert.match(said, /clang refused bpf\/a\.bpf\.c/);
  assert.deepEqual(left, ["build", "build/bpf", "build/setup.lock"]);
});
