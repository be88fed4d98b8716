/** `npm run sim -- --seeds N --seed S [--faults W10,L05]`: simulates N seeds from S on; each prints its hash, a failed one its last lines. */
import { parseArgs } from "node:util";
import { UserError } from "../../src/runtime/user-error.ts";
import { Coverage } from "./coverage.ts";
import { ROWS, rowsOf } from "./faults/table.ts";
import { simulate } from "./simulation.ts";

const EXIT_BAD_INPUT = 2;
const DEFAULT_SEEDS = "50";
const SHOWN_VIOLATIONS = 10;
const USAGE = "usage: --seeds N --seed S [--faults W10,L05] [--trace] | --list";

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new UserError(`--${flag} ${text}: must be a whole number from 1; such as --seeds 50 --seed 1`);
}

function flags() {
  const options = {
    seeds: { type: "string", default: DEFAULT_SEEDS },
    seed: { type: "string", default: "1" },
    faults: { type: "string" },
    trace: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  } as const;
  const { values } = parseArgs({ options });
  return {
    seeds: wholeNumber("seeds", values.seeds),
    first: wholeNumber("seed", values.seed),
    rows: values.faults === undefined ? undefined : rowsOf(values.faults),
    trace: values.trace,
    list: values.list,
  };
}

function list(): number {
  for (const { id, title, weight } of ROWS) print(`${id}  ${weight}  ${title}`);
  return 0;
}

async function run({ seeds, first, rows, trace }: ReturnType<typeof flags>): Promise<number> {
  const started = performance.now();
  const coverage = new Coverage(rows ?? ROWS);
  let failed = 0;
  let virtualMs = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const outcome = await simulate(seed, { ...(rows && { rows }), ...(trace && { onLine: print }) });
    const { hash, lines, violations, tail, virtualMs: took, faults } = outcome;
    virtualMs += took;
    coverage.add(outcome);
    const verdict = violations.length === 0 ? "ok" : "FAILED";
    print(`seed ${seed} ${hash.slice(0, 16)} ${lines} lines ${verdict} ${[...faults.keys()].sort().join(",")}`);
    if (violations.length === 0) continue;
    failed++;
    for (const line of violations.slice(0, SHOWN_VIOLATIONS)) print(`  ${line}`);
    if (!trace) for (const line of tail) print(`    ${line}`);
  }
  const seconds = (performance.now() - started) / 1000;
  for (const line of coverage.lines()) print(line);
  const faults = coverage.faults();
  for (const line of faults) print(line);
  print(
    `${Math.round(virtualMs / 1000)} virtual seconds in ${seconds.toFixed(1)} s, ${(seeds / seconds).toFixed(1)} seeds/s`,
  );
  print(`${seeds - failed} passed, ${failed + faults.length} failed`);
  return failed + faults.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  try {
    const given = flags();
    return given.list ? list() : await run(given);
  } catch (error) {
    const bad = error instanceof UserError || (error instanceof TypeError && "code" in error);
    if (!bad) throw error;
    process.stderr.write(`sim: ${error.message}${error instanceof UserError ? "" : `; ${USAGE}`}\n`);
    return EXIT_BAD_INPUT;
  }
}

process.exitCode = await main();
