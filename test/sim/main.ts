/** `npm run sim -- --seeds N --seed S`: simulates N seeds from S on; each prints its hash, a failed one its last lines. */
import { parseArgs } from "node:util";
import { simulate } from "./simulation.ts";

const EXIT_BAD_INPUT = 2;
const DEFAULT_SEEDS = "50";
const SHOWN_VIOLATIONS = 10;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  process.stderr.write(`sim: --${flag} ${text}: must be a whole number from 1; such as --seeds 50 --seed 1\n`);
  process.exit(EXIT_BAD_INPUT);
}

function flags(): { readonly seeds: number; readonly first: number } {
  const options = {
    seeds: { type: "string", default: DEFAULT_SEEDS },
    seed: { type: "string", default: "1" },
  } as const;
  try {
    const { values } = parseArgs({ options });
    return { seeds: wholeNumber("seeds", values.seeds), first: wholeNumber("seed", values.seed) };
  } catch (error) {
    process.stderr.write(`sim: ${error instanceof Error ? error.message : error}; usage: --seeds N --seed S\n`);
    process.exit(EXIT_BAD_INPUT);
  }
}

async function main(): Promise<number> {
  const { seeds, first } = flags();
  const started = performance.now();
  let failed = 0;
  let virtualMs = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const { hash, lines, violations, tail, virtualMs: took } = await simulate(seed);
    virtualMs += took;
    print(`seed ${seed} ${hash.slice(0, 16)} ${lines} lines ${violations.length === 0 ? "ok" : "FAILED"}`);
    if (violations.length === 0) continue;
    failed++;
    for (const line of violations.slice(0, SHOWN_VIOLATIONS)) print(`  ${line}`);
    for (const line of tail) print(`    ${line}`);
  }
  const seconds = (performance.now() - started) / 1000;
  print(`${Math.round(virtualMs / 1000)} virtual seconds in ${seconds.toFixed(1)} s`);
  print(`${seeds - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
