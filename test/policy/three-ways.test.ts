// Every case as a person judged it, as the reference judges it, and as compiled entries judge it. The kernel's word: bpf/test/policy-cases.test.ts.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SCENARIOS } from "./cases/all.ts";
import { type Case, casesOf, type Scenario, worldOf } from "./cases/case.ts";
import { evaluate, type Outcome } from "./reference/evaluate.ts";
import { CompiledNode, disagreement } from "./ways/compiled.ts";
import { SPOILERS, type Spoiler } from "./ways/spoilers.ts";

const FEWEST_LINES = 150;
const all = Object.values(SCENARIOS).flat();

function outcomeText({ verdict, reason }: Pick<Outcome, "verdict" | "reason">): string {
  return `${verdict} ${reason}`;
}

function agreesWithPerson(scenario: Scenario, one: Case): void {
  const outcome = evaluate(worldOf(scenario), one.tuple);
  assert.equal(outcomeText(outcome), outcomeText(one), `reference, ${one.family}: ${one.line}`);
  if (one.rule === undefined) return;
  const named = outcome.rules.some((rule) => rule === one.rule || rule.endsWith(` ${one.rule}`));
  assert(named, `reference, ${one.family}: ${one.line}: rules are ${outcome.rules.join(", ")}`);
}

function disagreements(scenario: Scenario, spoiler?: Spoiler): string[] {
  const world = worldOf(scenario);
  const node = new CompiledNode(world, spoiler);
  return casesOf(scenario).flatMap(({ line, family, tuple }) => {
    const fault = disagreement(evaluate(world, tuple), node.judge(tuple));
    return fault === undefined ? [] : [`${family} ${line}: ${fault}`];
  });
}

for (const [group, scenarios] of Object.entries(SCENARIOS)) {
  describe(group, () => {
    for (const scenario of scenarios) {
      test(scenario.title, () => {
        for (const one of casesOf(scenario)) agreesWithPerson(scenario, one);
        assert.deepEqual(disagreements(scenario), []);
      });
    }
  });
}

test(`there are at least ${FEWEST_LINES} cases, in both families, both directions and every protocol`, () => {
  const cases = all.flatMap(casesOf);
  const distinct = new Set(all.flatMap((scenario) => casesOf(scenario).map(({ line }) => `${scenario.title} ${line}`)));
  assert(distinct.size >= FEWEST_LINES, `${distinct.size} cases`);
  const kinds = new Set(cases.map(({ family, tuple }) => `${family} ${tuple.direction} ${tuple.protocol}`));
  for (const direction of ["ingress", "egress"]) {
    for (const protocol of ["TCP", "UDP", "SCTP"]) {
      for (const family of ["v4", "v6"]) assert(kinds.has(`${family} ${direction} ${protocol}`), protocol);
    }
    assert(kinds.has(`v4 ${direction} ICMP`) && kinds.has(`v6 ${direction} ICMPv6`), direction);
  }
});

describe("a mistake in the compiled way is noticed", () => {
  for (const spoiler of SPOILERS) {
    test(spoiler, () => {
      assert(all.some((scenario) => disagreements(scenario, spoiler).length > 0));
    });
  }
});
