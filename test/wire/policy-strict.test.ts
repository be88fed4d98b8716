/** Nothing in a policy is passed over: one change anywhere in a document that is read, and it is refused as a whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { policyName } from "../../src/model/policy.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { judgePolicy } from "../../src/wire/policy.ts";
import { validatePolicies } from "../../src/wire/validate-policies.ts";
import { goldenPolicyText } from "../golden/values.ts";
import { examplePolicies } from "./policies.ts";

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
type Path = readonly (string | number)[];

const TEXTS = [...Object.values(examplePolicies), ...goldenPolicyText().split("---\n")];

/** The documents as agents get them. */
const DOCUMENTS: readonly (readonly [key: string, document: Json])[] = TEXTS.flatMap(
  (text) => parseManifests("f.yaml", text).objects,
).map((object) => {
  assert(object.kind === "Policy");
  return [policyName(object.policy), plain(object.document)];
});

function plain(tree: unknown): Json {
  if (tree instanceof Map) return Object.fromEntries([...tree].map(([name, member]) => [name, plain(member)]));
  if (Array.isArray(tree)) return tree.map(plain);
  assert(tree === null || ["string", "number", "boolean"].includes(typeof tree));
  return tree as Json;
}

function isObject(value: Json): value is { readonly [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every place of a document with what is there. */
function* places(value: Json, path: Path = []): Generator<readonly [Path, Json]> {
  yield [path, value];
  if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* places(item, [...path, index]);
  else if (isObject(value)) for (const [name, member] of Object.entries(value)) yield* places(member, [...path, name]);
}

function changed(value: Json, path: Path, change: (old: Json) => Json): Json {
  const [step, ...rest] = path;
  if (step === undefined) return change(value);
  if (Array.isArray(value)) return value.map((item, index) => (index === step ? changed(item, rest, change) : item));
  assert(isObject(value));
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, name === step ? changed(member, rest, change) : member]),
  );
}

/** Not for machines, or names that are data. */
function isFree(path: Path): boolean {
  return ["matchLabels", "annotations"].includes(String(path.at(-1)));
}

/** @param key that of the document before the change. */
function refuses(document: Json, key: string, what: string): void {
  const text = JSON.stringify(document);
  const { policies, problems } = validatePolicies("f.yaml", text);
  assert.deepEqual(policies, [], `${what}: ${text}`);
  assert.equal(problems.length, 1, what);
  assert.match(problems[0] ?? "", /^f\.yaml:1: [ -~]+$/);
  const value = new TextEncoder().encode(`{"source":"f.yaml:1","document":${text}}`);
  assert.equal(judgePolicy(key, value).ok, false, what);
}

test("a field more, anywhere", () => {
  let count = 0;
  for (const [key, document] of DOCUMENTS) {
    for (const [path, value] of places(document)) {
      if (!isObject(value) || isFree(path)) continue;
      for (const [name, given] of [
        ["extra", "x"],
        ["Spec", {}],
        ["__proto__x", null],
      ] as const) {
        refuses(
          changed(document, path, (old) => ({ ...(old as object), [name]: given })),
          key,
          `${path.join(".")}.${name}`,
        );
        count++;
      }
    }
  }
  assert(count > 200, `${count}`);
});

test("a field misspelt, anywhere", () => {
  let count = 0;
  for (const [key, document] of DOCUMENTS) {
    for (const [path, value] of places(document)) {
      if (!isObject(value) || isFree(path)) continue;
      for (const name of Object.keys(value)) {
        const misspelt = (old: Json): Json =>
          Object.fromEntries(
            Object.entries(old as object).map(([field, member]) => [field === name ? `${field}s` : field, member]),
          );
        refuses(changed(document, path, misspelt), key, `${path.join(".")}.${name}s`);
        count++;
      }
    }
  }
  assert(count > 100, `${count}`);
});

test("a value of another type, anywhere", () => {
  let count = 0;
  for (const [key, document] of DOCUMENTS) {
    for (const [path, value] of places(document)) {
      const inside = path.at(-1);
      if (path.length === 0 || inside === "description") continue;
      for (const given of [null, true, 7.5, -1, [[]], { a: [] }] as readonly Json[]) {
        if (typeof given === typeof value && typeof value === "boolean") continue;
        if (given === null && isNullable(document, path)) continue;
        refuses(
          changed(document, path, () => given),
          key,
          `${path.join(".")} = ${JSON.stringify(given)}`,
        );
        count++;
      }
    }
  }
  assert(count > 1000, `${count}`);
});

/** Where null is absence, as Kubernetes has it. */
function isNullable(document: Json, path: Path): boolean {
  const rules = isObject(document) && document.kind === "NetworkPolicy" && /^spec\.(in|e)gress$/.test(path.join("."));
  return rules || path.at(-1) === "annotations" || path.join(".") === "metadata.labels";
}
