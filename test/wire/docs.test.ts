import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { REJECTION_REASONS } from "../../src/wire/refusal.ts";
import { validatePolicies } from "../../src/wire/validate-policies.ts";

test("docs/WIRE.md explains every reason of rejection and no other", () => {
  const page = readFileSync(new URL("../../docs/WIRE.md", import.meta.url), "utf8");
  const section = page.split("## Rejections")[1]?.split("\n## ")[0] ?? "";
  const explained = [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
  assert.deepEqual(explained, [...REJECTION_REASONS]);
});

test("every example of docs/POLICY.md is a policy", () => {
  const page = readFileSync(new URL("../../docs/POLICY.md", import.meta.url), "utf8");
  const examples = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map((match) => match[1] ?? "");
  assert(examples.length >= 3);
  for (const example of examples) {
    const { policies, problems } = validatePolicies("POLICY.md", example);
    assert.deepEqual([policies.length, problems], [1, []]);
  }
});
