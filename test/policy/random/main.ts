/**
 * `node test/policy/random/main.ts [--tuples 1000000] [--kernel 10000] [--seed N]`: random packets through the reference and the compiled entries,
 * and as many as `--kernel` says through the programs in the kernel too. Prints its seed.
 */
import { parseArgs } from "node:util";
import { Stage } from "../../../bpf/test/stage.ts";
import { KernelNode } from "../ways/kernel.ts";
import { type Comparison, compareLife, emptyComparison, TUPLES_PER_SEED } from "./compare.ts";
import { compareKernelLife, KERNEL_TUPLES_PER_SEED } from "./kernel.ts";

const SHOWN_FAULTS = 20;
const SEEDS = 2 ** 31;

const { values } = parseArgs({
  options: {
    tuples: { type: "string", default: "1000000" },
    kernel: { type: "string", default: "10000" },
    seed: { type: "string", default: String(Date.now() % SEEDS) },
  },
});

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function report(what: string, { tuples, faults, outcomes }: Comparison, startedMs: number): void {
  for (const fault of faults.slice(0, SHOWN_FAULTS)) print(`  ${fault}`);
  for (const [outcome, count] of [...outcomes].sort()) print(`  ${outcome}: ${count}`);
  print(`policy: ${tuples} tuples, ${what}, in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
}

function compareEntries(first: number, tuples: number): Comparison {
  const comparison = emptyComparison();
  const startedMs = performance.now();
  for (let seed = first; comparison.tuples < tuples; seed++) compareLife(seed, comparison);
  report("reference and compiled entries", comparison, startedMs);
  return comparison;
}

async function compareKernel(first: number, tuples: number): Promise<Comparison> {
  const comparison = emptyComparison();
  const startedMs = performance.now();
  const stage = new Stage();
  try {
    const kernel = await KernelNode.open(stage);
    for (let seed = first; comparison.tuples < tuples; seed++) await compareKernelLife(kernel, seed, comparison);
  } finally {
    await stage.close();
  }
  report("reference, compiled entries and the kernel", comparison, startedMs);
  return comparison;
}

const first = Number(values.seed);
print(`policy: seed ${first}, ${TUPLES_PER_SEED} tuples a seed, in the kernel ${KERNEL_TUPLES_PER_SEED}`);
const parts = [compareEntries(first, Number(values.tuples))];
if (Number(values.kernel) > 0) parts.push(await compareKernel(first, Number(values.kernel)));
const sum = (count: (part: Comparison) => number): number => parts.reduce((total, part) => total + count(part), 0);
const failed = sum(({ faults }) => faults.length);
print(`${sum(({ tuples }) => tuples) - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
