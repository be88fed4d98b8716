// Random worlds and packets: the reference and the compiled entries must say the same, also after changes that are compiled as such.
import { seededRandom } from "../../../src/runtime/random.ts";
import { evaluate } from "../reference/evaluate.ts";
import type { Tuple, World } from "../reference/world.ts";
import { CompiledNode, disagreement, misexplained } from "../ways/compiled.ts";
import type { Spoiler } from "../ways/spoilers.ts";
import { changedWorld } from "./changes.ts";
import { Choose } from "./choose.ts";
import { randomTuple } from "./tuples.ts";
import { randomWorld } from "./world.ts";

/** A world and what becomes of it. */
const VERSIONS = 5;
const TUPLES_PER_VERSION = 400;
export const TUPLES_PER_SEED = VERSIONS * TUPLES_PER_VERSION;

export interface Version {
  readonly world: World;
  readonly tuples: readonly Tuple[];
}

/** A mesh's life with packets at each stage; the same for the same seed. */
export function* lifeOf(seed: number, versions = VERSIONS, tuples = TUPLES_PER_VERSION): Generator<Version> {
  const choose = new Choose(seededRandom(seed));
  const first = randomWorld(choose);
  let world = first;
  for (let version = 0; version < versions; version++) {
    if (version > 0) world = changedWorld(choose, world, first);
    yield { world, tuples: Array.from({ length: tuples }, () => randomTuple(choose, world)) };
  }
}

export interface Comparison {
  tuples: number;
  /** By `verdict reason`. */
  readonly outcomes: Map<string, number>;
  /** One line each. */
  readonly faults: string[];
}

export function emptyComparison(): Comparison {
  return { tuples: 0, outcomes: new Map(), faults: [] };
}

export function compareLife(seed: number, comparison: Comparison, spoiler?: Spoiler): void {
  let node: CompiledNode | undefined;
  let version = 0;
  for (const { world, tuples } of lifeOf(seed)) {
    if (node === undefined) node = new CompiledNode(world, spoiler);
    else node.become(world);
    for (const tuple of tuples) {
      const expected = evaluate(world, tuple);
      const text = `${expected.verdict} ${expected.reason}`;
      comparison.tuples++;
      comparison.outcomes.set(text, (comparison.outcomes.get(text) ?? 0) + 1);
      const found = node.judge(tuple);
      const fault = disagreement(expected, found) ?? misexplained(expected, found, node.explain(tuple));
      if (fault !== undefined) comparison.faults.push(`seed ${seed}.${version}: ${JSON.stringify(tuple)}: ${fault}`);
    }
    version++;
  }
}
