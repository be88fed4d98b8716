/** Policies and endpoint records on their way through the own etcd. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { policyName } from "../../src/model/policy.ts";
import { judgeLocalEndpoint } from "../../src/wire/local-endpoint.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { encodePolicy, judgePolicy } from "../../src/wire/policy.ts";
import type { RejectionReason } from "../../src/wire/refusal.ts";
import { golden, goldenPolicyText } from "../golden/values.ts";
import { examplePolicies } from "./policies.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const POLICY = new TextDecoder().decode(golden("policy"));
const ENDPOINT = new TextDecoder().decode(golden("local-endpoint"));

test("what agents read is what the exporter read", () => {
  for (const text of [...Object.values(examplePolicies), goldenPolicyText()]) {
    for (const object of parseManifests("f.yaml", text).objects) {
      assert(object.kind === "Policy");
      const judged = judgePolicy(policyName(object.policy), encodePolicy(object));
      assert.deepEqual(judged, { ok: true, value: object.policy });
    }
  }
});

test("only what has a meaning is published", () => {
  const text = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: b, uid: c, labels: {d: e}, annotations: {f: g}, creationTimestamp: null}
spec: {podSelector: {}}
status: {conditions: []}
`;
  const [object] = parseManifests("f.yaml", text).objects;
  assert(object?.kind === "Policy");
  const published = new TextDecoder().decode(encodePolicy(object));
  assert.equal(
    published,
    '{"source":"f.yaml:1","document":{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",' +
      '"metadata":{"name":"a","namespace":"b"},"spec":{"podSelector":{}}}}',
  );
});

test("a file name that is no plain text is told as plain text", () => {
  const [object] = parseManifests("f.yaml", goldenPolicyText()).objects;
  assert(object?.kind === "Policy");
  const judged = judgePolicy(
    "CiliumNetworkPolicy/shop/cart",
    encodePolicy({ ...object, source: "b\u00fc\u0000\n.yaml:1" }),
  );
  assert.equal(judged.ok && judged.value.source, "b\\u00fc\\u0000");
  const long = judgePolicy("CiliumNetworkPolicy/shop/cart", encodePolicy({ ...object, source: "\u00fc".repeat(255) }));
  assert.equal(long.ok, true);
});

describe("a policy is rejected", () => {
  const suffix = "CiliumNetworkPolicy/shop/cart";
  const cases: readonly (readonly [RejectionReason, string, string, string?])[] = [
    ["wrong-key", "", "", "CiliumNetworkPolicy/shop/till"],
    ["wrong-key", "", "", "CiliumNetworkPolicy/cart"],
    ["wrong-key", "", "", "NetworkPolicy/shop/cart"],
    ["wrong-key", "", "", `${suffix}/`],
    ["wrong-key", '"namespace":"shop"', '"namespace":"bank"'],
    ["malformed", '"source":"shop.yaml:1"', '"source":"a\\nb"'],
    ["malformed", '"source":"shop.yaml:1"', '"source":7'],
    ["folded-name", '"source"', '"Source"'],
    ["malformed", '"kind":"CiliumNetworkPolicy"', '"kind":"Pod"'],
    ["malformed", "cilium.io/v2", "cilium.io/v1"],
    ["malformed", '"app":"cart"', '"app":"ca rt"'],
    ["malformed", '"fromEndpoints"', '"fromEndpoint"'],
    ["malformed", '"endPort":8090', '"endPort":8.09e3'],
    ["unsupported", '"icmps":', '"toFQDNs":'],
    ["duplicate-name", '"spec":{', '"spec":{"ingress":[],'],
    ["malformed", "}]}}}", "}]}}"],
  ];
  for (const [reason, from, to, other] of cases) {
    test(`${reason}: ${to || other}`, () => {
      assert(POLICY.includes(from));
      const judged = judgePolicy(other ?? suffix, bytes(POLICY.replace(from, to)));
      assert.equal(judged.ok ? "accepted" : judged.rejection.reason, reason);
    });
  }

  test("too-large", () => {
    const judged = judgePolicy(suffix, bytes(POLICY + " ".repeat(512 * 1024)));
    assert.equal(judged.ok ? "accepted" : judged.rejection.reason, "too-large");
  });
});

describe("an endpoint record is rejected", () => {
  const cases: readonly (readonly [RejectionReason, string, string, string?])[] = [
    ["wrong-key", "", "", "shop/cart"],
    ["wrong-key", '"shop"', '"bank"'],
    ["malformed", '"shop"', '"a/b"', "a/b/cart-7f9d"],
    ["malformed", '"cart-7f9d"', '""', "shop/"],
    ["malformed", "true", '"true"'],
    ["folded-name", '"audit"', '"Audit"'],
    ["too-large", "}", `${" ".repeat(5000)}}`],
  ];
  for (const [reason, from, to, suffix] of cases) {
    test(`${reason}: ${to.trim() || suffix}`, () => {
      const judged = judgeLocalEndpoint(suffix ?? "shop/cart-7f9d", bytes(ENDPOINT.replace(from, to)));
      assert.equal(judged.ok ? "accepted" : judged.rejection.reason, reason);
    });
  }
});
