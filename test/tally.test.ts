import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { addTallies, type Tally, tallyLine, tallyOfOutput } from "./tally.ts";

test("a tally reads as one line and adds up", () => {
  assert.equal(tallyLine({ passed: 3, failed: 0, skipped: 0 }), "3 passed, 0 failed");
  assert.equal(tallyLine({ passed: 3, failed: 1, skipped: 2 }), "3 passed, 1 failed, 2 skipped");
  const sum = addTallies({ passed: 1, failed: 2, skipped: 3 }, { passed: 4, failed: 5, skipped: 6 });
  assert.deepEqual(sum, { passed: 5, failed: 7, skipped: 9 });
});

test("a program counts by its last line, and never as passed when it failed", () => {
  assert.deepEqual(tallyOfOutput("hello\n", 0), { passed: 1, failed: 0, skipped: 0 });
  assert.deepEqual(tallyOfOutput("hello\n7 passed, 0 failed\n", 0), { passed: 7, failed: 0, skipped: 0 });
  assert.deepEqual(tallyOfOutput("7 passed, 2 failed, 1 skipped", 1), { passed: 7, failed: 2, skipped: 1 });
  assert.deepEqual(tallyOfOutput("7 passed, 0 failed", 1), { passed: 7, failed: 1, skipped: 0 });
  assert.deepEqual(tallyOfOutput("", 1), { passed: 0, failed: 1, skipped: 0 });
});

const FILES: Readonly<Record<string, string>> = {
  "mixed.test.ts": `import test, { describe } from "node:test";
test("passes", () => {});
test("fails", () => { console.log("seen"); throw new Error("no"); });
test("left out", { skip: "why" }, () => {});
test.todo("to do");
describe("suite", () => { test("inside", () => {}); });`,
  "empty.test.ts": "export const a = 1;",
  "crash.test.ts": 'throw new Error("boom");',
  "left-open.test.ts": `import { after, test } from "node:test";
after(() => console.log("cleaned up"));
test("fails", () => { process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); throw new Error("no"); });`,
  "left-child.test.ts": `import { spawn } from "node:child_process";
import { test } from "node:test";
test("passes", () => { console.log("child " + spawn("sleep", ["600"], { stdio: "inherit" }).pid); });`,
  "left-orphan.test.ts": `import { execFileSync } from "node:child_process";
import { test } from "node:test";
test("passes", () => { execFileSync("sh", ["-c", "sleep 20 &"], { stdio: "inherit" }); });`,
  "busy.test.ts": `import { test } from "node:test";
test("never ends", () => { for (;;); });`,
};

/** What the runner prints for the files, and the tally it returns. It runs in a process of its own: it cannot nest. */
function runnerOn(
  names: readonly string[],
  limits = { testMs: 20_000, endMs: 20_000 },
): { readonly printed: string; readonly tally: Tally } {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-run-"));
  try {
    for (const name of names) writeFileSync(join(folder, name), FILES[name] ?? "");
    const tier = { name: "x", files: "", concurrency: names.length, timeoutMs: limits.testMs, live: false };
    const files = names.map((name) => join(folder, name));
    const script = `import { runFiles } from ${JSON.stringify(import.meta.resolve("./run-files.ts"))};
const tally = await runFiles(${JSON.stringify(tier)}, [${JSON.stringify(files)}], ${limits.endMs});
process.stdout.write("\\n" + JSON.stringify(tally));
process.exit();`;
    const { NODE_TEST_CONTEXT: _nested, ...env } = process.env;
    writeFileSync(join(folder, "main.ts"), script);
    const { stdout } = spawnSync(process.execPath, [join(folder, "main.ts")], { encoding: "utf8", env });
    const lines = stdout.split("\n");
    return { printed: lines.slice(0, -1).join("\n"), tally: JSON.parse(lines.at(-1) ?? "") as Tally };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("the runner counts tests, not suites, and shows what failed with its output", () => {
  const { printed, tally } = runnerOn(["mixed.test.ts"]);
  assert.deepEqual(tally, { passed: 2, failed: 1, skipped: 2 });
  assert.match(printed, /FAILED .*mixed\.test\.ts:3 fails\n {2}Error: no/);
  assert.match(printed, /output of .*mixed\.test\.ts\nseen/);
  assert.doesNotMatch(printed, /passes|left out/);
});

test("a file without a test and a file that crashes have failed", () => {
  assert.deepEqual(runnerOn(["empty.test.ts"]).tally, { passed: 0, failed: 1, skipped: 0 });
  const crashed = runnerOn(["crash.test.ts"]);
  assert.deepEqual(crashed.tally, { passed: 0, failed: 1, skipped: 0 });
  assert.match(crashed.printed, /boom/);
});

test("a file that leaves something running is ended, has failed, and the next one runs", () => {
  const files = ["left-open.test.ts", "left-child.test.ts", "left-orphan.test.ts", "mixed.test.ts"];
  const { printed, tally } = runnerOn(files, { testMs: 20_000, endMs: 3000 });
  const why = "its tests are done, but it did not end within 3 s";
  const ended = (file: string, processes: number, failed: number): RegExp =>
    new RegExp(
      `${file}.test.ts: ${why}: ${processes} processes of it ended by force; of its tests ${failed} had failed$`,
      "m",
    );
  assert.match(printed, ended("left-open", 1, 1));
  assert.match(printed, /output of .*left-open\.test\.ts\ncleaned up/);
  assert.match(printed, ended("left-child", 2, 0));
  assert.match(printed, ended("left-orphan", 0, 0));
  assert.deepEqual(tally, { passed: 4, failed: 5, skipped: 2 });
  const child = /^child (\d+)$/m.exec(printed)?.[1];
  assert(child !== undefined);
  assert.equal(commandOf(Number(child)), "");
});

/** Empty when no such process runs any more, reaped or not. */
function commandOf(pid: number): string {
  return existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
}

test("a file whose test cannot be stopped from inside is ended too", () => {
  const { printed, tally } = runnerOn(["busy.test.ts"], { testMs: 1000, endMs: 1000 });
  assert.match(printed, /^FAILED .*busy\.test\.ts: it had tests to run, but it did not end within 2 s: 1 processes/m);
  assert.deepEqual(tally, { passed: 0, failed: 1, skipped: 0 });
});
