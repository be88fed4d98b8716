import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

/** Runs a program of a few lines in a process of its own and tells how it ended. */
function runProgram(body: string, argv: readonly string[] = []): { code: number | null; out: string; err: string } {
  const source = `
    import { runProgram } from "./src/runtime/lifecycle.ts";
    import { settingsSchema, text } from "./src/runtime/settings.ts";
    import { UserError } from "./src/runtime/user-error.ts";
    const schema = settingsSchema({ name: text.default("x").describe("A name.") });
    await runProgram("demo", schema, process.argv.slice(2), async (settings, signal) => { ${body} });
  `;
  const args = ["--input-type=module-typescript", "--eval", source, "demo", ...argv];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 20_000 });
  return { code: status, out: stdout, err: stderr };
}

test("a user error is one line and exit code 2", () => {
  const { code, err } = runProgram(`throw new UserError("manifest a.yaml:3: no kind");`);
  assert.equal(code, 2);
  assert.equal(err, "bulkhead demo: manifest a.yaml:3: no kind\n");
});

test("a bad flag is one line and exit code 2, and the program does not start", () => {
  const { code, out, err } = runProgram(`process.stdout.write("started");`, ["--nam", "y"]);
  assert.equal(code, 2);
  assert.equal(out, "");
  assert.equal(err.trimEnd().split("\n").length, 1);
});

test("a defect prints its trace and exits with 1, also outside main", () => {
  assert.equal(runProgram(`throw new TypeError("oops");`).code, 1);
  const stray = runProgram(`setTimeout(() => { throw new TypeError("stray"); }, 10); await new Promise(() => {});`);
  assert.equal(stray.code, 1);
  assert.match(stray.err, /stray/);
});

test("a signal aborts, main winds down, exit code 0", () => {
  const body = `
    setTimeout(() => process.kill(process.pid, "SIGTERM"), 20);
    const alive = setInterval(() => {}, 1000);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    clearInterval(alive);
    process.stdout.write("wound down");`;
  const { code, out } = runProgram(body);
  assert.equal(out, "wound down");
  assert.equal(code, 0);
});

test("--help prints the settings", () => {
  const { code, out } = runProgram(`process.stdout.write("started");`, ["--help"]);
  assert.equal(code, 0);
  assert.match(out, /--name +A name\. \(x\)/);
  assert.doesNotMatch(out, /started/);
});
