/** `npm run fuzz -- --runs N --seed S`: N runs of every decoder; the last line counts decoders that held. */
import { parseArgs } from "node:util";
import { messageOf } from "../../src/runtime/user-error.ts";
import { fuzz } from "./run.ts";
import { TARGETS } from "./targets.ts";

const DEFAULT_RUNS = 100_000;

function wholeNumber(flag: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new Error(`--${flag} ${text}: must be a whole number`);
  return Number(text);
}

function main(args: readonly string[]): number {
  let runs: number;
  let seed: number;
  try {
    const options = { runs: { type: "string" }, seed: { type: "string" } } as const;
    const { values } = parseArgs({ args: [...args], options, strict: true });
    runs = wholeNumber("runs", values.runs ?? String(DEFAULT_RUNS));
    seed = wholeNumber("seed", values.seed ?? "1");
  } catch (error) {
    process.stderr.write(`fuzz: ${messageOf(error)}; use --runs N --seed S\n`);
    return 2;
  }
  let failed = 0;
  for (const target of TARGETS) {
    try {
      const { name, accepted, rejected } = fuzz(target, runs, seed);
      process.stdout.write(`${name}: seed ${seed}, ${accepted} accepted, ${rejected} rejected\n`);
    } catch (error) {
      failed++;
      process.stdout.write(`${target.name}: seed ${seed}: ${String(error)}\n`);
    }
  }
  process.stdout.write(`${TARGETS.length - failed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
