// Random packets through the programs: the kernel must say what the reference says, and name the very rule that the compiled entries name.
import { isDeepStrictEqual } from "node:util";
import { evaluate } from "../reference/evaluate.ts";
import { disagreement } from "../ways/compiled.ts";
import type { KernelNode } from "../ways/kernel.ts";
import { type Comparison, lifeOf } from "./compare.ts";

const VERSIONS = 2;
const TUPLES_PER_VERSION = 100;
export const KERNEL_TUPLES_PER_SEED = VERSIONS * TUPLES_PER_VERSION;

export async function compareKernelLife(kernel: KernelNode, seed: number, comparison: Comparison): Promise<void> {
  for (const { world, tuples } of lifeOf(seed, VERSIONS, TUPLES_PER_VERSION)) {
    const node = await kernel.program(world);
    for (const tuple of tuples.toSorted((left, right) => left.endpoint.localeCompare(right.endpoint))) {
      const found = await kernel.judge(tuple);
      const compiled = node.judge(tuple);
      const fault =
        disagreement(evaluate(world, tuple), found) ??
        (isDeepStrictEqual(found, compiled) ? undefined : `kernel names rule ${found.rule}, entries ${compiled.rule}`);
      comparison.tuples++;
      if (fault !== undefined) comparison.faults.push(`kernel, seed ${seed}: ${JSON.stringify(tuple)}: ${fault}`);
    }
  }
}
