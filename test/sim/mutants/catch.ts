/** Looks for a seed that catches a mutant: first the one that is known to, then all from 1 on. */
import { rowsOf } from "../faults/table.ts";
import { simulate } from "../simulation.ts";
import type { Mutant } from "./mutant.ts";

/** The seed, or undefined: none of `seeds` noticed. */
export async function catches(mutant: Mutant, seeds: number): Promise<number | undefined> {
  const { warps, invariant, seed: known, focus, faults } = mutant;
  const stopAt = focus?.evidence ?? new RegExp(`^${invariant}: `);
  const rows = faults === undefined ? undefined : rowsOf(faults);
  for (const seed of [known, ...Array.from({ length: seeds }, (_, index) => index + 1)]) {
    const { violations } = await simulate(seed, { warps, stopAt, ...(rows && { rows }) });
    if (violations.some((line) => stopAt.test(line))) return seed;
  }
  return undefined;
}
