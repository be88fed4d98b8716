/** Looks for a seed that catches a mutant: first the one that is known to, then all from 1 on. */
import { simulate } from "../simulation.ts";
import type { Mutant } from "./mutant.ts";

/** The seed, or undefined: none of `seeds` noticed. */
export async function catches({ warps, invariant, seed: known }: Mutant, seeds: number): Promise<number | undefined> {
  for (const seed of [known, ...Array.from({ length: seeds }, (_, index) => index + 1)]) {
    const { violations } = await simulate(seed, { warps, stopAt: invariant });
    if (violations.some((line) => line.startsWith(`${invariant}: `))) return seed;
  }
  return undefined;
}
