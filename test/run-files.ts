// Runs one tier's test files with node:test and prints only what failed, and which files took long.
import { relative } from "node:path";
import { ROOT, runFile, type TestEvent } from "./run-file.ts";
import { addTallies, NOTHING_RAN, type Tally } from "./tally.ts";
import type { FileTier } from "./tiers.ts";

/** Lines of a failed file's own output that are shown. */
const SHOWN_LINES = 60;
/** Files that took longer are named at the end of the tier. */
const SLOW_MS = 10_000;
/** A lab is taken down after the last test of a file: half a minute where the machine is busy. */
const END_MS = 120_000;

/** How a test says, by a diagnostic, that it passed although something was wrong that is known: it is always shown. */
export const TOLERATED = "TOLERATED";

/**
 * Runs the files (absolute paths), the queues at the same time. A file that holds no test counts as failed, one left out or to do as skipped.
 * A file that has not ended `endMs` after its last test is ended and has failed.
 */
export async function runFiles(tier: FileTier, queues: readonly (readonly string[])[], endMs = END_MS): Promise<Tally> {
  /** Reasons for tests that were left out, each told once. */
  const said = new Set<string>();
  const took: { readonly file: string; readonly ms: number }[] = [];
  // What several files print at once nobody could read.
  const live = tier.live && queues.length * tier.concurrency === 1;
  const env = tier.thorough ? { THOROUGH: "1" } : {};
  let tally = NOTHING_RAN;
  const worker = async (waiting: string[]): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const started = performance.now();
      const report = new FileReport(file, { live, shown: tier.live }, said);
      const stuck = await runFile(file, { testMs: tier.timeoutMs, endMs, env }, (event) => report.add(event));
      tally = addTallies(tally, report.end(stuck));
      took.push({ file, ms: performance.now() - started });
    }
  };
  const workers = queues.map((queue) => {
    const waiting = [...queue];
    return Array.from({ length: tier.concurrency }, () => worker(waiting));
  });
  await Promise.all(workers.flat());
  for (const { file, ms } of took.sort((a, b) => b.ms - a.ms).filter(({ ms }) => ms > SLOW_MS))
    print(`${(ms / 1000).toFixed(1).padStart(8)} s  ${relative(ROOT, file)}`);
  return tally;
}

/** Whether what a file prints is shown at all, and at once. */
type Shown = { readonly shown: boolean; readonly live: boolean };

/** What is printed of one file, and how it counts. */
class FileReport {
  readonly #file: string;
  readonly #how: Shown;
  readonly #said: Set<string>;
  #output = "";
  #tally: Tally = NOTHING_RAN;

  constructor(file: string, how: Shown, said: Set<string>) {
    this.#file = file;
    this.#how = how;
    this.#said = said;
  }

  add(event: TestEvent): void {
    if (event.type === "test:stdout" || event.type === "test:stderr") {
      if (this.#how.live) process.stdout.write(event.data.message);
      else this.#output += event.data.message;
    }
    if (event.type === "test:diagnostic" && event.data.message.startsWith(TOLERATED)) print(event.data.message);
    if (event.type !== "test:pass" && event.type !== "test:fail") return;
    const { name, file = "", line = 1, details, skip, todo } = event.data;
    if (details.type === "suite" && event.type === "test:pass") return;
    const whole = name === this.#file;
    if (event.type === "test:fail") {
      printFailure(`${relative(ROOT, file)}:${line} ${whole ? "" : name}`, event.data.details.error);
      this.#count("failed");
    } else if (whole) {
      printFailure(`${relative(ROOT, file)}:${line} `, "the file holds no test");
      this.#count("failed");
    } else {
      if (typeof skip === "string" && !this.#said.has(skip)) print(`${relative(ROOT, file)}: ${skip}`);
      if (typeof skip === "string") this.#said.add(skip);
      this.#count(skip !== undefined || todo !== undefined ? "skipped" : "passed");
    }
  }

  /** `stuck`: why the file was ended, undefined when it ended by itself. */
  end(stuck: string | undefined): Tally {
    const name = relative(ROOT, this.#file);
    if (stuck !== undefined) {
      print(`FAILED ${name}: ${stuck}; of its tests ${this.#tally.failed} had failed`);
      this.#count("failed");
    }
    const lines = this.#output.trimEnd().split("\n");
    const shown = this.#how.shown ? lines : this.#tally.failed > 0 ? lines.slice(-SHOWN_LINES) : [];
    if (shown.join("") !== "") print(`--- output of ${name}\n${shown.join("\n")}`);
    return this.#tally;
  }

  #count(as: keyof Tally): void {
    this.#tally = addTallies(this.#tally, { ...NOTHING_RAN, [as]: 1 });
  }
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
