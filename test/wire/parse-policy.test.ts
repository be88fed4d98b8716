import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Peer, PortRule, Requirement } from "../../src/model/policy.ts";
import { validatePolicies } from "../../src/wire/validate-policies.ts";
import {
  ciliumPolicyText,
  clusterwidePolicyText,
  examplePolicies,
  networkPolicyText,
  policyOf,
  refusedPolicies,
  ruleOf,
  specOf,
} from "./policies.ts";

const is = (key: string, value: string, source = "k8s"): Requirement => ({
  source,
  key,
  operator: "In",
  values: [value],
});
const SHOP = is("io.kubernetes.pod.namespace", "shop");
const endpoints = (requirements: readonly Requirement[], mentionsCluster = false): Peer => ({
  kind: "endpoints",
  selector: { requirements },
  mentionsCluster,
});
const tcp = (first: number, last = first): PortRule => ({ protocol: "TCP", first, last });

for (const [what, text] of Object.entries(examplePolicies)) {
  test(`read: ${what}`, () => {
    const { policies, problems, others } = validatePolicies("guard.yaml", text);
    assert.deepEqual([policies.length, problems, others], [1, [], 0]);
  });
}

for (const [what, text, line] of refusedPolicies) {
  test(`refused: ${what}`, () => {
    const { policies, problems } = validatePolicies("guard.yaml", text);
    assert.deepEqual(policies, []);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", /^guard\.yaml:[1-9]\d*: [ -~]+$/);
    assert.match(problems[0] ?? "", line);
  });
}

test("a refusal names the line of the field", () => {
  const text = `# one
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: guard, namespace: shop}
spec:
  endpointSelector: {}
  ingress:
  - fromEndpoints: [{}]
    toPorts:
    - ports: [{port: "80"}]
      rules: {http: [{}]}
`;
  const [problem = ""] = validatePolicies("guard.yaml", text).problems;
  assert.match(problem, /^guard\.yaml:11: spec\.ingress\[0\]\.toPorts\[0\]\.rules: is not enforced/);
});

test("the whole of a NetworkPolicy", () => {
  const policy = policyOf(examplePolicies["pods, namespaces and addresses"] ?? "");
  assert.deepEqual(policy, {
    kind: "NetworkPolicy",
    namespace: "shop",
    name: "guard",
    source: "guard.yaml:1",
    audit: false,
    specs: [
      {
        subject: { requirements: [SHOP, is("app", "cart")] },
        defaultDeny: { ingress: true, egress: true },
        rules: [
          {
            direction: "ingress",
            verdict: "allow",
            path: "ingress[0]",
            peers: [
              endpoints([SHOP, { source: "k8s", key: "tier", operator: "In", values: ["front", "edge"] }]),
              endpoints([is("io.cilium.k8s.namespace.labels.team", "fin"), is("app", "till")]),
              { kind: "cidr", cidr: "198.51.100.0/24", except: ["198.51.100.7/32"] },
            ],
            ports: [tcp(8080), { protocol: "UDP", first: 9000, last: 9100 }, { protocol: "TCP", name: "metrics" }],
          },
          {
            direction: "egress",
            verdict: "allow",
            path: "egress[0]",
            peers: [endpoints([])],
            ports: [{ protocol: "UDP", first: 53, last: 53 }],
          },
        ],
      },
    ],
  });
});

test("the whole of a Cilium policy with deny rules", () => {
  assert.deepEqual(specOf(examplePolicies["deny before allow"] ?? ""), {
    subject: { requirements: [SHOP] },
    defaultDeny: { ingress: true, egress: true },
    rules: [
      {
        direction: "ingress",
        verdict: "deny",
        path: "ingressDeny[0]",
        peers: [{ kind: "cidr", cidr: "203.0.113.0/24", except: ["203.0.113.128/25"] }],
      },
      { direction: "egress", verdict: "allow", path: "egress[0]", peers: [{ kind: "entity", entity: "world" }] },
      {
        direction: "egress",
        verdict: "allow",
        path: "egress[1]",
        ports: [
          { protocol: "ICMP", type: 8 },
          { protocol: "ICMPv6", type: 128 },
        ],
      },
      {
        direction: "egress",
        verdict: "deny",
        path: "egressDeny[0]",
        peers: [{ kind: "cidr", cidr: "2001:db8:dead::/48", except: [] }],
        ports: [tcp(25)],
      },
    ],
  });
});

test("specs: each on its own, spec first, audit for all", () => {
  const { audit, specs } = policyOf(examplePolicies["several specs"] ?? "");
  assert.equal(audit, true);
  assert.deepEqual(
    specs.map(({ defaultDeny, rules }) => [defaultDeny, rules.map(({ path }) => path)]),
    [
      [{ ingress: true, egress: false }, ["specs[0].ingress[0]"]],
      [{ ingress: false, egress: true }, ["specs[1].egress[0]"]],
    ],
  );
  const both = `${ciliumPolicyText("endpointSelector: {}, egress: [{}]")}specs: [{endpointSelector: {}, ingress: [{}]}]\n`;
  assert.deepEqual(
    policyOf(both).specs.map(({ rules }) => rules[0]?.path),
    ["egress[0]", "specs[0].ingress[0]"],
  );
});

describe("default deny of a NetworkPolicy", () => {
  for (const [spec, ingress, egress] of [
    ["podSelector: {}", true, false],
    ["podSelector: {}, egress: []", true, true],
    ["podSelector: {}, egress: ", true, false],
    ["podSelector: {}, policyTypes: []", true, false],
    ["podSelector: {}, policyTypes: [Egress]", false, true],
    ["podSelector: {}, policyTypes: [Ingress], egress: []", true, false],
    ["podSelector: {}, policyTypes: [Ingress, Egress]", true, true],
    ["", true, false],
  ] as const) {
    test(`{${spec}}`, () => assert.deepEqual(specOf(networkPolicyText(spec)).defaultDeny, { ingress, egress }));
  }
});

describe("default deny of a Cilium policy", () => {
  for (const [rest, ingress, egress] of [
    ["ingress: [{}]", true, false],
    ["egressDeny: [{}]", false, true],
    ["ingress: [], egress: [{}]", false, true],
    ["ingress: [{}], enableDefaultDeny: {ingress: false}", false, false],
    ["ingress: [{}], enableDefaultDeny: {egress: true}", true, true],
    ["enableDefaultDeny: {egress: true}", false, true],
  ] as const) {
    test(rest, () =>
      assert.deepEqual(specOf(ciliumPolicyText(`endpointSelector: {}, ${rest}`)).defaultDeny, { ingress, egress }),
    );
  }
});

describe("peers of a Cilium rule", () => {
  const peers = (rule: string): readonly Peer[] | undefined =>
    ruleOf(ciliumPolicyText(`endpointSelector: {}, ingress: [{${rule}}]`)).peers;
  const clusterwide = (rule: string): readonly Peer[] | undefined =>
    ruleOf(clusterwidePolicyText(`endpointSelector: {}, ingress: [{${rule}}]`)).peers;
  const from = (labels: string): string => `fromEndpoints: [{matchLabels: {${labels}}}]`;

  test("none, with ports: anybody", () => assert.equal(peers('toPorts: [{ports: [{port: "80"}]}]'), undefined));
  test("none, with ICMP: anybody", () => assert.equal(peers("icmps: [{fields: [{type: 8}]}]"), undefined));
  test("none at all: nobody", () => assert.deepEqual(peers(""), []));
  test("none but authentication switched off: nobody", () =>
    assert.deepEqual(peers("authentication: {mode: disabled}"), []));
  test("an empty list: nobody, ports or not", () => {
    assert.deepEqual(peers("fromEndpoints: []"), []);
    assert.deepEqual(peers("fromCIDR: [], toPorts: [{}]"), []);
  });
  test("several kinds: their union", () =>
    assert.deepEqual(peers("fromEndpoints: [{}], fromEntities: [host], fromCIDR: [10.0.0.0/8]"), [
      endpoints([SHOP]),
      { kind: "entity", entity: "host" },
      { kind: "cidr", cidr: "10.0.0.0/8", except: [] },
    ]));
  test("{}: the own namespace, or every pod for a clusterwide policy", () => {
    assert.deepEqual(peers("fromEndpoints: [{}]"), [endpoints([SHOP])]);
    assert.deepEqual(clusterwide("fromEndpoints: [{}]"), [endpoints([])]);
  });
  test("a word about the namespace lifts the own one", () => {
    for (const [key, source] of [
      ["io.kubernetes.pod.namespace", "any"],
      ["k8s:io.kubernetes.pod.namespace", "k8s"],
      ["any:io.kubernetes.pod.namespace", "any"],
    ] as const) {
      const text = from(`"${key}": bank`);
      assert.deepEqual(peers(text), [endpoints([is("io.kubernetes.pod.namespace", "bank", source)])]);
    }
    const byLabel = from('"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": bank');
    const key = "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name";
    assert.deepEqual(peers(byLabel), [endpoints([is(key, "bank")])]);
  });
  test("a word about the cluster", () => {
    const key = "io.cilium.k8s.policy.cluster";
    assert.deepEqual(peers(from(`${key}: oslo`)), [endpoints([SHOP, is(key, "oslo", "any")], true)]);
    assert.deepEqual(peers(from(`"k8s:${key}": oslo`)), [endpoints([SHOP, is(key, "oslo")], true)]);
    const exists = `fromEndpoints: [{matchExpressions: [{key: "k8s:${key}", operator: Exists}]}]`;
    const anyCluster: Requirement = { source: "k8s", key, operator: "Exists", values: [] };
    assert.deepEqual(clusterwide(exists), [endpoints([anyCluster], true)]);
  });
  test("reserved labels are left alone", () =>
    assert.deepEqual(peers(from('"reserved:host": ""')), [endpoints([is("host", "", "reserved")], true)]));
  test("keys: without source any, k8s, any", () =>
    assert.deepEqual(clusterwide(from('app: a, "k8s:b": c, "any:x.example/d": ""')), [
      endpoints([is("app", "a", "any"), is("b", "c"), is("x.example/d", "", "any")]),
    ]));
  test("a long label of a namespace", () => {
    const key = `io.cilium.k8s.namespace.labels.${"a".repeat(60)}`;
    assert.deepEqual(clusterwide(from(`"k8s:${key}": b`)), [endpoints([is(key, "b")])]);
  });
});

test("a NetworkPolicy speaks of the cluster in its podSelector only", () => {
  const key = "io.cilium.k8s.policy.cluster";
  const mentions = (peer: string): boolean => {
    const [found] = ruleOf(networkPolicyText(`podSelector: {}, ingress: [{from: [${peer}]}]`)).peers ?? [];
    assert(found?.kind === "endpoints");
    return found.mentionsCluster;
  };
  assert.equal(mentions(`{podSelector: {matchLabels: {${key}: oslo}}}`), true);
  assert.equal(mentions(`{podSelector: {matchExpressions: [{key: ${key}, operator: Exists}]}}`), true);
  assert.equal(mentions(`{podSelector: {matchExpressions: [{key: ${key}, operator: NotIn, values: [oslo]}]}}`), true);
  assert.equal(mentions(`{podSelector: {matchLabels: {${key}: ""}}}`), false);
  assert.equal(mentions(`{namespaceSelector: {matchLabels: {${key}: oslo}}}`), false);
  assert.equal(mentions("{podSelector: {}}"), false);
});

test("a NetworkPolicy without peers, or with none listed, means anybody", () => {
  for (const rule of ["{}", "{from: []}"]) {
    assert.deepEqual(ruleOf(networkPolicyText(`podSelector: {}, ingress: [${rule}]`)), {
      direction: "ingress",
      verdict: "allow",
      path: "ingress[0]",
    });
  }
});

describe("ports of a Cilium rule", () => {
  const ports = (rule: string): readonly PortRule[] | undefined =>
    ruleOf(ciliumPolicyText(`endpointSelector: {}, ingress: [{fromEntities: [all], ${rule}}]`)).ports;
  const every = (first: number, last: number): readonly PortRule[] =>
    (["TCP", "UDP", "SCTP"] as const).map((protocol) => ({ protocol, first, last }));

  test("ANY and no protocol: each of three", () => {
    for (const protocol of ["", ", protocol: ANY"]) {
      assert.deepEqual(ports(`toPorts: [{ports: [{port: "80"${protocol}}]}]`), every(80, 80));
      const names = (["TCP", "UDP", "SCTP"] as const).map((protocolName) => ({ protocol: protocolName, name: "web" }));
      assert.deepEqual(ports(`toPorts: [{ports: [{port: "web"${protocol}}]}]`), names);
    }
  });
  test("0: every port of the protocol", () => {
    assert.deepEqual(ports('toPorts: [{ports: [{port: "0", protocol: TCP}]}]'), [tcp(0, 65_535)]);
    assert.deepEqual(ports('toPorts: [{ports: [{port: "0"}]}]'), every(0, 65_535));
  });
  test("a range", () =>
    assert.deepEqual(ports('toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}]}]'), [tcp(80, 90)]));
  test("no list of ports: every protocol and port, whatever stands beside it", () => {
    for (const rule of ["toPorts: [{}]", "toPorts: [{ports: []}]", 'toPorts: [{ports: [{port: "80"}]}, {}]']) {
      assert.equal(ports(rule), undefined);
    }
  });
  test("ICMP types by number, number as text and name", () =>
    assert.deepEqual(
      ports('icmps: [{fields: [{type: 0}, {type: "3"}]}, {fields: [{type: PacketTooBig, family: IPv6}]}]'),
      [
        { protocol: "ICMP", type: 0 },
        { protocol: "ICMP", type: 3 },
        { protocol: "ICMPv6", type: 2 },
      ],
    ));
});

test("two documents of one policy in a file: the first counts, the other is a problem", () => {
  const one = networkPolicyText("podSelector: {}");
  const { policies, problems } = validatePolicies("guard.yaml", `${one}---\n${one}`);
  assert.equal(policies.length, 1);
  assert.deepEqual(problems, [
    "guard.yaml:5: NetworkPolicy/shop/guard: is already defined in guard.yaml:1; remove one of the two",
  ]);
});

test("a policy that is too large for etcd is a problem before it is applied", () => {
  const cidrs = Array.from({ length: 60_000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`);
  const text = ciliumPolicyText(`endpointSelector: {}, ingress: [{fromCIDR: [${cidrs.join(",")}]}]`);
  const { policies, problems } = validatePolicies("guard.yaml", text);
  assert.deepEqual(policies, []);
  assert.match(
    problems[0] ?? "",
    /^guard\.yaml:1: CiliumNetworkPolicy\/shop\/guard: has \d+ bytes; the limit is 524288; make it smaller$/,
  );
});

test("texts that grow when they are read are refused in short time", () => {
  const levels = Array.from({ length: 30 }, (_, level) => `l${level + 1}: &l${level + 1} [*l${level}, *l${level}]`);
  const bomb = `x: {l0: &l0 [a], ${levels.join(", ")}}`;
  const deep = `spec: ${"[".repeat(5_000)}${"]".repeat(5_000)}`;
  const head = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\n";
  for (const text of [bomb, deep]) {
    const before = process.cpuUsage();
    const { policies, problems } = validatePolicies("guard.yaml", head + text);
    const { user, system } = process.cpuUsage(before);
    assert.deepEqual(policies, []);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", /^guard\.yaml:\d+: [ -~]{1,400}$/);
    assert(user + system < 2_000_000, `${(user + system) / 1000} ms`);
  }
});

test("what is no policy is counted, and judged as ever", () => {
  const text = `apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: apps/v1\nkind: Deployment\n`;
  assert.deepEqual(validatePolicies("guard.yaml", text), { policies: [], problems: [], others: 2 });
});
