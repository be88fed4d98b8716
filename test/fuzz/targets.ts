/**
 * The decoders of peers' bytes, and what must hold for any bytes: nothing is thrown, a rejection has a known reason and one
 * bounded printable line, and what is accepted comes back unchanged when it is encoded and judged again.
 */
import assert from "node:assert/strict";
import { type Policy, policyName } from "../../src/model/policy.ts";
import type { Judged } from "../../src/model/resource.ts";
import { adaptClusterConfig, encodeClusterConfig, judgeClusterConfig } from "../../src/wire/cluster-config.ts";
import { Fields } from "../../src/wire/fields.ts";
import { encodeIdentity } from "../../src/wire/identity.ts";
import { encodeIp } from "../../src/wire/ip.ts";
import { parseJson } from "../../src/wire/json.ts";
import { encodeLocalEndpoint, judgeLocalEndpoint } from "../../src/wire/local-endpoint.ts";
import { encodeLocalService, judgeLocalService } from "../../src/wire/local-service.ts";
import { encodeNode } from "../../src/wire/node.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { parsePolicyManifest } from "../../src/wire/parse-policy.ts";
import { encodePolicy, judgePolicy } from "../../src/wire/policy.ts";
import { REJECTION_REASONS } from "../../src/wire/refusal.ts";
import { judge } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { validatePolicies } from "../../src/wire/validate-policies.ts";
import { BERGEN, golden } from "../golden/values.ts";

export interface Target {
  readonly name: string;
  readonly suffix: string;
  readonly seed: Uint8Array;
  /** Judges the bytes, checks what must hold, and says whether they were accepted. */
  readonly check: (suffix: string, bytes: Uint8Array) => boolean;
  /** How many times as long one run takes as one of the others; default 1. */
  readonly cost?: number;
}

const LONGEST_DETAIL = 400;
const REASONS: ReadonlySet<string> = new Set(REJECTION_REASONS);

function holds<T>(judged: Judged<T>, again: (value: T) => Judged<T>): boolean {
  if (judged.ok) {
    assert.deepEqual(again(judged.value), judged);
    return true;
  }
  const { reason, detail } = judged.rejection;
  assert(REASONS.has(reason), reason);
  assert.match(detail, /^[ -~]+$/);
  assert(detail.length <= LONGEST_DETAIL, detail);
  return false;
}

function target<T>(
  name: string,
  suffix: string,
  judgeBytes: (suffix: string, bytes: Uint8Array) => Judged<T>,
  encode: (value: T) => Uint8Array,
): Target {
  const check = (key: string, bytes: Uint8Array): boolean =>
    holds(judgeBytes(key, bytes), (value) => judgeBytes(key, encode(value)));
  return { name, suffix, seed: golden(name), check };
}

/** An accepted policy is what the agent reads of what the exporter would publish of the same document. */
function checkPolicy(suffix: string, bytes: Uint8Array): boolean {
  return holds(judgePolicy(suffix, bytes), ({ source }) => {
    const document = new Fields(parseJson(bytes)).fields("document");
    return judgePolicy(suffix, encodePolicy(parsePolicyManifest(document, source)));
  });
}

const FILE = "shop.yaml";
const LONGEST_PROBLEM = 1000;

/** Every problem is one printable line that names file and line, and every policy that is read reaches the agents as it was read. */
function checkPolicyText(_: string, bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  const { policies, problems } = validatePolicies(FILE, text);
  for (const problem of problems) {
    assert.match(problem, /^shop\.yaml:[1-9]\d*: [ -~]+$/);
    assert(problem.length <= LONGEST_PROBLEM, problem);
  }
  const published: Policy[] = [];
  for (const object of parseManifests(FILE, text).objects) {
    if (object.kind !== "Policy") continue;
    assert.equal(object.policy.source, object.source);
    const judged = judgePolicy(policyName(object.policy), encodePolicy(object));
    assert.deepEqual(judged, { ok: true, value: object.policy });
    published.push(object.policy);
  }
  for (const policy of policies) assert(published.some((other) => other.source === policy.source));
  return problems.length === 0;
}

export const TARGETS: readonly Target[] = [
  target("ip-host", "10.31.4.17", (key, bytes) => judge("ip", BERGEN, key, bytes), encodeIp),
  target("ip-prefix", "2001:db8:31::/48", (key, bytes) => judge("ip", BERGEN, key, bytes), encodeIp),
  target(
    "identity",
    "197121",
    (key, bytes) => judge("identities", BERGEN, key, bytes),
    ({ labels }) => encodeIdentity(labels),
  ),
  target("node", "bgo-n1.example", (key, bytes) => judge("nodes", BERGEN, key, bytes), encodeNode),
  target("service", "shop/cart", (key, bytes) => judge("services", BERGEN, key, bytes), encodeService),
  target("local-service", "shop/cart", judgeLocalService, encodeLocalService),
  target("local-endpoint", "shop/cart-7f9d", judgeLocalEndpoint, encodeLocalEndpoint),
  { name: "policy", suffix: "CiliumNetworkPolicy/shop/cart", seed: golden("policy"), check: checkPolicy },
  { name: "policy-yaml", suffix: "", seed: golden("policy-yaml"), check: checkPolicyText, cost: 8 },
  target("cluster-config", "key", judgeClusterConfig, encodeClusterConfig),
  target(
    "cluster-config-cached",
    "key",
    (key, bytes) => adaptClusterConfig(bytes, key),
    (bytes) => bytes,
  ),
];
