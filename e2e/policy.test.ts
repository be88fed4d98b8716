/** Policy on real packets: the lab's cases, each proved by an answer or by the drop that the kernel reports, and what happens when things change. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { waitFor } from "../deploy/lab/lab.ts";
import { casesOf } from "../test/policy/cases/case.ts";
import { LAB } from "../test/policy/cases/lab.ts";
import { LAB_NAME, labMesh } from "../test/policy/cases/lab-world.ts";
import { plan, standing } from "./mesh.ts";
import { policyChanges } from "./policy-changes.ts";
import { PolicyLab, WITHIN_MS } from "./policy-lab.ts";
import { answerFaults, proveScenario } from "./policy-proof.ts";

const FEWEST_CASES = 40;
let scene: PolicyLab;

standing(LAB_NAME, async () => {
  scene = await PolicyLab.extend(plan(LAB_NAME));
});

test("the pods are where the cases say", () => {
  const say = (pod: { cluster: string; namespace: string; name: string; node: string; addresses: readonly string[] }) =>
    `${pod.cluster}:${pod.namespace}/${pod.name} on ${pod.node}: ${pod.addresses.join(" ")}`;
  assert.deepEqual(scene.lab.pods.map(say).sort(), labMesh("osaka-1").world.pods.map(say).sort());
});

test(`there are at least ${FEWEST_CASES} cases`, () => {
  const lines = LAB.flatMap((scenario) => [...new Set(casesOf(scenario).map(({ line }) => line))]);
  assert.ok(lines.length >= FEWEST_CASES, `${lines.length} lines`);
});

describe("cases", () => {
  for (const scenario of LAB) test(scenario.title, () => proveScenario(scene, scenario));
});

test("without the policies the packets that they drop are answered, and that is noticed", async () => {
  const [scenario] = LAB;
  assert.ok(scenario !== undefined);
  await scene.setPolicies("osaka", []);
  const unwanted = casesOf(scenario).filter(({ verdict }) => verdict === "dropped");
  await waitFor("every one of them is noticed", WITHIN_MS, async () =>
    (await answerFaults(scene, scenario)).length === unwanted.length ? true : undefined,
  );
});

describe("changes", () => policyChanges(() => scene));
