// Runs one tier's test files with node:test and prints only what failed.
import { relative } from "node:path";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { addTallies, NOTHING_RAN, type Tally } from "./tally.ts";
import type { FileTier } from "./tiers.ts";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Lines of a failed file's own output that are shown. */
const SHOWN_LINES = 60;

/** How a test says, by a diagnostic, that it passed although something was wrong that is known: it is always shown. */
export const TOLERATED = "TOLERATED";

/** Runs the files (absolute paths). A file that holds no test counts as failed, one left out or to do as skipped. */
export async function runFiles(tier: FileTier, files: readonly string[]): Promise<Tally> {
  const output = new Map<string, string[]>();
  const failedFiles = new Set<string>();
  /** Reasons for tests that were left out, each told once. */
  const said = new Set<string>();
  let tally = NOTHING_RAN;
  const stream = run({ cwd: ROOT, files: [...files], concurrency: tier.concurrency, timeout: tier.timeoutMs });
  for await (const event of stream) {
    if (event.type === "test:stdout" || event.type === "test:stderr") {
      if (tier.live) process.stdout.write(event.data.message);
      else output.set(event.data.file, [...(output.get(event.data.file) ?? []), event.data.message]);
    }
    if (event.type === "test:diagnostic" && event.data.message.startsWith(TOLERATED)) print(event.data.message);
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { name, file = "", details, skip, todo } = event.data;
    if (details.type === "suite" && event.type === "test:pass") continue;
    const empty = event.type === "test:pass" && name === file;
    const failed = event.type === "test:fail" || empty;
    if (failed) {
      failedFiles.add(file);
      const reason = event.type === "test:fail" ? event.data.details.error : "the file holds no test";
      printFailure(`${relative(ROOT, file)}:${event.data.line ?? 1} ${name === file ? "" : name}`, reason);
    }
    const left = !failed && (skip !== undefined || todo !== undefined);
    if (typeof skip === "string" && !said.has(skip)) print(`${relative(ROOT, file)}: ${skip}`);
    if (typeof skip === "string") said.add(skip);
    tally = addTallies(tally, { passed: failed || left ? 0 : 1, failed: failed ? 1 : 0, skipped: left ? 1 : 0 });
  }
  for (const file of failedFiles) {
    const lines = (output.get(file) ?? []).join("").trimEnd().split("\n").slice(-SHOWN_LINES);
    if (lines.join("") !== "") print(`--- output of ${relative(ROOT, file)}\n${lines.join("\n")}`);
  }
  return tally;
}

function printFailure(where: string, error: unknown): void {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  const lines = text.split("\n").filter((line) => !/^\s+at .*\(?node:internal/.test(line));
  print(`FAILED ${where}\n  ${lines.join("\n  ")}`);
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
