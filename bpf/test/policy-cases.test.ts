// The cases of test/policy as packets through the endpoint programs, and random ones: the kernel must say what the reference and a person say.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SCENARIOS } from "../../test/policy/cases/all.ts";
import { casesOf, type Scenario, worldOf } from "../../test/policy/cases/case.ts";
import { NAMESPACES } from "../../test/policy/cases/namespaces.ts";
import { emptyComparison } from "../../test/policy/random/compare.ts";
import { compareKernelLife } from "../../test/policy/random/kernel.ts";
import { evaluate } from "../../test/policy/reference/evaluate.ts";
import { disagreement } from "../../test/policy/ways/compiled.ts";
import { KernelNode } from "../../test/policy/ways/kernel.ts";
import { Stage } from "./stage.ts";

const SEED = 20_261_122;
const TUPLES = 10_000;

let stage: Stage;
let kernel: KernelNode;

before(async () => {
  stage = new Stage();
  kernel = await KernelNode.open(stage);
});

after(() => stage.close());

async function faultsOf(scenario: Scenario): Promise<string[]> {
  const world = worldOf(scenario);
  await kernel.program(world);
  const faults: string[] = [];
  for (const { line, family, tuple, verdict, reason } of casesOf(scenario)) {
    const { rules } = evaluate(world, tuple);
    const fault = disagreement({ verdict, reason, rules }, await kernel.judge(tuple));
    if (fault !== undefined) faults.push(`${family} ${line}: ${fault}`);
  }
  return faults;
}

for (const [group, scenarios] of Object.entries(SCENARIOS)) {
  describe(group, () => {
    for (const scenario of scenarios) {
      test(scenario.title, async () => assert.deepEqual(await faultsOf(scenario), []));
    }
  });
}

test("a policy that is not programmed is noticed", async () => {
  const scenario = NAMESPACES[0];
  assert(scenario !== undefined);
  const world = worldOf(scenario);
  await kernel.program({ ...world, policies: [] });
  const faults: (string | undefined)[] = [];
  for (const { tuple } of casesOf(scenario))
    faults.push(disagreement(evaluate(world, tuple), await kernel.judge(tuple)));
  assert(faults.some((fault) => fault !== undefined));
});

test(`${TUPLES} random packets: the kernel agrees with the reference and with the compiled entries`, async () => {
  const comparison = emptyComparison();
  for (let seed = SEED; comparison.tuples < TUPLES; seed++) await compareKernelLife(kernel, seed, comparison);
  assert.deepEqual(comparison.faults.slice(0, 10), []);
});
