import assert from "node:assert/strict";
import { test } from "node:test";
import type { Policy } from "../../src/model/policy.ts";
import { endpointsText, policiesText, policyWords } from "../../src/report/policies.ts";
import { agent } from "./status-examples.ts";

const ledger = { name: "CiliumNetworkPolicy/demo/ledger", source: "ledger.yaml:3", audit: false, endpoints: 1 };

test("policies are a row each, with the pods they select on each node; versions that differ stand apart", () => {
  const text = policiesText([
    { ...agent("n2"), policies: [{ ...ledger, endpoints: 0 }] },
    { ...agent("n1"), policies: [ledger] },
    { ...agent("n3"), policies: [{ ...ledger, audit: true }] },
  ]);
  const lines = text.split("\n");
  assert.equal(lines.length, 3);
  assert.match(text, /amsterdam +CiliumNetworkPolicy\/demo\/ledger +enforced +n1 1, n2 0 +ledger\.yaml:3/);
  assert.match(text, /amsterdam +CiliumNetworkPolicy\/demo\/ledger +audit +n3 1 +ledger\.yaml:3/);
  assert.equal(policiesText([agent("n1")]), "no policy");
});

test("a policy in words says whom it selects and what each direction does", () => {
  const policy: Policy = {
    kind: "CiliumNetworkPolicy",
    namespace: "demo",
    name: "ledger",
    source: "ledger.yaml:3",
    audit: true,
    specs: [
      {
        subject: {
          requirements: [
            { source: "any", key: "app", operator: "In", values: ["ledger"] },
            { source: "k8s", key: "tier", operator: "NotIn", values: ["a", "b\u001b"] },
            { source: "k8s", key: "old", operator: "DoesNotExist", values: [] },
          ],
        },
        defaultDeny: { ingress: true, egress: false },
        rules: [
          { direction: "ingress", verdict: "allow", path: "ingress[0]" },
          { direction: "ingress", verdict: "allow", path: "ingress[1]" },
          { direction: "egress", verdict: "deny", path: "egressDeny[0]" },
        ],
      },
      { subject: { requirements: [] }, defaultDeny: { ingress: true, egress: true }, rules: [] },
    ],
  };
  assert.equal(
    policyWords(policy),
    [
      "ledger.yaml:3: CiliumNetworkPolicy/demo/ledger (audit)",
      "  pods with app=ledger and k8s:tier not in (a, b\\u001b) and no k8s:old: ingress denied unless allowed, 2 allow rules; egress open, 1 deny rule",
      "  every pod: ingress denied unless allowed; egress denied unless allowed",
    ].join("\n"),
  );
});

test("endpoints are a row each, those of unknown pods too", () => {
  const known = { device: "pod2", ifindex: 8, addresses: [], identity: 131_073, pod: "demo/ledger" };
  const { pod: _, ...unknown } = { ...known, device: "pod1", identity: 0 };
  const text = endpointsText([
    {
      ...agent("n1"),
      endpoints: [
        { ...known, ingress: "enforced", egress: "audit", policies: [ledger.name, "NetworkPolicy/demo/b"] },
        { ...unknown, ingress: "denied", egress: "denied", policies: [] },
      ],
    },
  ]);
  const [, first, second] = text.split("\n");
  assert.match(first ?? "", /^amsterdam +n1 +pod1 +unknown +0 +denied +denied$/);
  assert.match(
    second ?? "",
    /pod2 +demo\/ledger +131073 +enforced +audit +CiliumNetworkPolicy\/demo\/ledger NetworkPolicy\/demo\/b$/,
  );
});
