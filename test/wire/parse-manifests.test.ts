import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { rounds } from "../support/rounds.ts";

const GOOD = `# a shop
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: fin}, annotations: {clustermesh.cilium.io/global: "true"}}
---
apiVersion: v1
kind: Service
metadata:
  name: cart
  namespace: shop
  annotations:
    service.cilium.io/global: "true"
spec:
  clusterIPs: [10.95.0.12, "2001:DB8:95::c"]
  selector: {app: cart}
  ports:
  - {name: web, port: 80, targetPort: http}
  - {name: dns, port: 53, protocol: UDP}
---
# nothing here
---
apiVersion: v1
kind: Pod
metadata:
  name: cart-0
  namespace: shop
  labels: {app: cart}
spec:
  serviceAccountName: cart
  nodeName: bgo-n1
  containers:
  - name: main
    command: ["serve", "--port=8080"]
    args: ["x"]
    ports: [{name: http, containerPort: 8080}]
status:
  hostIP: 192.0.2.21
  podIP: 10.31.4.17
  podIPs: [{ip: 10.31.4.17}, {ip: "2001:db8:31::11"}]
  conditions: [{type: Initialized, status: "True"}, {type: Ready, status: "False"}]
---
apiVersion: v1
kind: Node
metadata: {name: bgo-n1.example, labels: {zone: a}}
spec: {podCIDR: 10.31.4.0/24}
status:
  addresses:
  - {type: Hostname, address: bgo-n1}
  - {type: ExternalIP, address: 203.0.113.21}
  - {type: InternalIP, address: 192.0.2.21}
`;

test("reads the four kinds", () => {
  const { objects, problems } = parseManifests("shop.yaml", GOOD);
  assert.deepEqual(problems, []);
  assert.deepEqual(objects, [
    {
      kind: "Namespace",
      source: "shop.yaml:1",
      name: "shop",
      labels: new Map([["team", "fin"]]),
      annotations: new Map([["clustermesh.cilium.io/global", "true"]]),
    },
    {
      kind: "Service",
      source: "shop.yaml:5",
      name: "cart",
      namespace: "shop",
      labels: new Map(),
      annotations: new Map([["service.cilium.io/global", "true"]]),
      selector: new Map([["app", "cart"]]),
      clusterIps: ["10.95.0.12", "2001:db8:95::c"],
      ports: [
        { name: "web", protocol: "TCP", port: 80, targetPort: "http" },
        { name: "dns", protocol: "UDP", port: 53, targetPort: 53 },
      ],
      sessionAffinitySeconds: 0,
    },
    {
      kind: "Pod",
      source: "shop.yaml:21",
      name: "cart-0",
      namespace: "shop",
      labels: new Map([["app", "cart"]]),
      annotations: new Map(),
      serviceAccount: "cart",
      nodeName: "bgo-n1",
      podIps: ["10.31.4.17", "2001:db8:31::11"],
      hostIp: "192.0.2.21",
      ready: false,
      terminating: false,
      containers: [
        {
          name: "main",
          command: ["serve", "--port=8080"],
          args: ["x"],
          ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }],
        },
      ],
    },
    {
      kind: "Node",
      source: "shop.yaml:41",
      name: "bgo-n1.example",
      labels: new Map([["zone", "a"]]),
      addresses: [
        { type: "InternalIP", address: "192.0.2.21" },
        { type: "ExternalIP", address: "203.0.113.21" },
      ],
      podCidrs: ["10.31.4.0/24"],
    },
  ]);
});

function pod(rest: string): string {
  return `{apiVersion: v1, kind: Pod, metadata: {name: p}, ${rest}}`;
}

describe("pods", () => {
  const read = (rest: string): Record<string, unknown> => {
    const { objects, problems } = parseManifests("p.yaml", pod(rest));
    assert.deepEqual(problems, []);
    return { ...objects[0] };
  };
  const cases: readonly (readonly [string, string, Record<string, unknown>])[] = [
    ["not placed yet", "spec: {}", { podIps: [], ready: false, nodeName: "", hostIp: "", serviceAccount: "default" }],
    [
      "without condition, ready once it has an address",
      "status: {podIP: 10.0.0.9}",
      { podIps: ["10.0.0.9"], ready: true },
    ],
    ["ended pods hold no address", "status: {podIP: 10.0.0.9, phase: Succeeded}", { podIps: [], ready: false }],
    ["default namespace", "spec: {}", { namespace: "default" }],
  ];
  for (const [name, rest, held] of cases) {
    test(name, () => {
      const seen = read(rest);
      assert.deepEqual(Object.fromEntries(Object.keys(held).map((field) => [field, seen[field]])), held);
    });
  }

  test("terminating", () => {
    const text = '{apiVersion: v1, kind: Pod, metadata: {name: p, deletionTimestamp: "2026-01-01T00:00:00Z"}}';
    const [object] = parseManifests("p.yaml", text).objects;
    assert.equal(object?.kind === "Pod" && object.terminating, true);
  });
});

test("a headless service says so", () => {
  for (const spec of ["{clusterIP: None}", "{clusterIPs: [None]}"]) {
    const [object] = parseManifests(
      "s.yaml",
      `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: ${spec}}`,
    ).objects;
    assert.deepEqual(object?.kind === "Service" && object.clusterIps, ["None"]);
  }
});

const service = (spec: string): string => `apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n${spec}`;

const USE =
  "use v1 Namespace, Service, Pod, Node, networking.k8s.io/v1 NetworkPolicy, cilium.io/v2 CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy";

const PROBLEMS: readonly (readonly [string, string])[] = [
  ["kind: Pdo\napiVersion: v1", `f.yaml:1: "v1 Pdo" is not read; ${USE}`],
  ["just text", "f.yaml:1: must be an object"],
  ["apiVersion: v1\nkind: Pod", "f.yaml:1: metadata.name: \"\" must be a name of lower-case letters, digits and '-'"],
  [
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: Shop}",
    "f.yaml:3: metadata.name: \"Shop\" must be a name of lower-case letters, digits and '-'",
  ],
  [
    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations:\n    clustermesh.cilium.io/global: true",
    "f.yaml:6: metadata.annotations.clustermesh.cilium.io/global: must be a string in quotes",
  ],
  [
    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n    a: 'b;c'",
    'f.yaml:6: metadata.labels.a: "b;c" is no label value; use at most 63 of letters, digits, -_.',
  ],
  [service("  clusterIP: 10.0.0.300"), 'f.yaml:6: spec.clusterIP: "10.0.0.300" is no IP address'],
  [service("  clusterIP: 127.0.0.1"), 'f.yaml:6: spec.clusterIP: "127.0.0.1" is loopback'],
  [service("  ports:\n  - port: 70000"), "f.yaml:7: spec.ports[0].port: must be a whole number from 0 to 65535"],
  [service("  ports:\n  - name: a"), "f.yaml:7: spec.ports[0].port: must be a whole number from 1 to 65535"],
  [service("  ports:\n  - port: '80'"), "f.yaml:7: spec.ports[0].port: must be a whole number from 0 to 65535"],
  [
    service("  ports:\n  - port: 80\n    protocol: tcp"),
    'f.yaml:8: spec.ports[0].protocol: "tcp" must be TCP, UDP or SCTP',
  ],
  [
    service("  ports:\n  - port: 80\n  - port: 81"),
    'f.yaml:8: spec.ports[1].name: "" occurs twice; give every port a name of its own',
  ],
  [
    service("  ports:\n  - {port: 80}\n  - {name: b, port: 80}"),
    "f.yaml:8: spec.ports[1].port: TCP 80 occurs twice; keep one",
  ],
  [service("  sessionAffinity: Sometimes"), 'f.yaml:6: spec.sessionAffinity: "Sometimes" must be None or ClientIP'],
  [
    service("  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}"),
    "f.yaml:7: spec.sessionAffinityConfig.clientIP.timeoutSeconds: must be a whole number from 1 to 86400",
  ],
  ["a: [1", "f.yaml:1: bad YAML: "],
  ["apiVersion: v1\nkind: Pod\n  metadata: {}", "f.yaml:2: bad YAML: "],
];

test("one bad document is one line: file, line, what, how to mend it", () => {
  for (const [text, line] of PROBLEMS) {
    const { objects, problems } = parseManifests("f.yaml", text);
    assert.deepEqual(objects, []);
    assert.equal(problems.length, 1, text);
    if (line.endsWith("bad YAML: ")) assert.match(problems[0] ?? "", new RegExp(`^${line}[ -~]+$`), text);
    else assert.equal(problems[0], line);
  }
});

test("a kind that is not ours is no problem, but is said", () => {
  for (const [text, given] of [
    ["kind: Deployment\napiVersion: apps/v1", "apps/v1 Deployment"],
    ["kind: ConfigMap\napiVersion: v1", "v1 ConfigMap"],
    ["kind: Ingress\napiVersion: networking.k8s.io/v1", "networking.k8s.io/v1 Ingress"],
    ["kind: CiliumNode\napiVersion: cilium.io/v2", "cilium.io/v2 CiliumNode"],
    ["kind: CiliumBGPPeerConfig\napiVersion: cilium.io/v2", "cilium.io/v2 CiliumBGPPeerConfig"],
  ] as const) {
    const { objects, problems, foreign } = parseManifests("f.yaml", `# one\n${text}`);
    assert.deepEqual([objects, problems], [[], []]);
    assert.deepEqual(foreign, [`f.yaml:1: "${given}" is not read; ${USE}`]);
  }
});

test("a kind that would enforce something, or may be one of ours misspelt, is a problem", () => {
  for (const given of [
    "v1 List",
    "networking.k8s.io/v1 NetworkPolicyList",
    "networking.k8s.io/v1 NetworkPolcy",
    "networking.k8s.io/v1beta1 NetworkPolicy",
    "extensions/v1beta1 NetworkPolicy",
    "networking.k8s.io/v1 CiliumNetworkPolicy",
    "cilium.io/v2alpha1 CiliumNetworkPolicy",
    "cilium.io/v2 NetworkPolicy",
    "cilium.io/v2 CiliumNetworkPolicyList",
    "cilium.io/v2 CiliumEgressGatewayPolicy",
    "cilium.io/v2 CiliumLocalRedirectPolicy",
    "cilium.io/v2alpha1 CiliumCIDRGroup",
    "cilium.io/v2 CiliumEnvoyConfig",
    "cilium.io/v2 CiliumClusterwideEnvoyConfig",
    "policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy",
    "policy.networking.k8s.io/v1alpha1 BaselineAdminNetworkPolicy",
    "policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy",
    "projectcalico.org/v3 GlobalNetworkPolicy",
  ]) {
    const [apiVersion, kind] = given.split(" ");
    const { objects, problems, foreign } = parseManifests("f.yaml", `apiVersion: ${apiVersion}\nkind: ${kind}`);
    assert.deepEqual([objects, foreign], [[], []], given);
    assert.deepEqual(problems, [`f.yaml:1: "${given}" is not read; ${USE}`]);
  }
});

test("a bad document disturbs no other, wherever it stands", () => {
  const good = parseManifests("f.yaml", GOOD).objects.map(({ name }) => name);
  for (const [bad] of PROBLEMS) {
    for (const text of [`${bad}\n---\n${GOOD}`, `${GOOD}---\n${bad}`, `${GOOD}---\n${bad}\n---\n`]) {
      const { objects, problems } = parseManifests("f.yaml", text);
      assert.deepEqual(
        objects.map(({ name }) => name),
        good,
      );
      assert.equal(problems.length, 1);
    }
  }
});

test("line numbers count from the top of the file, with either line ending", () => {
  const text = `${GOOD}---\n${service("  ports:\n  - port: 0")}`;
  const line = GOOD.split("\n").length + 7;
  for (const given of [text, text.replaceAll("\n", "\r\n")]) {
    assert.deepEqual(parseManifests("f.yaml", given).problems, [
      `f.yaml:${line}: spec.ports[0].port: must be a whole number from 1 to 65535`,
    ]);
  }
});

test("no text makes it throw, and every problem is one printable line that names the file", () => {
  const piece = fc.constantFrom(
    ..."{}[]:,-\"'\n \t#&*!|>%@`?é\u0000",
    "---\n",
    "...\n",
    "kind: Pod\n",
    "apiVersion: v1\n",
    "metadata:\n  name: p\n",
    "spec:\n  ports:\n  - port: 1\n",
    "!!binary aGk=",
    "!!set {a}",
    "<<: *a",
    "&a ",
    "status: {podIP: ::1}\n",
    "? [a]\n: b\n",
    "2001-01-01",
    "0x1f",
    ".nan",
    "~",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece).map((pieces) => pieces.join("")),
        fc.string({ unit: "binary" }),
      ),
      (text) => {
        for (const problem of parseManifests("f.yaml", text).problems)
          assert.match(problem, /^f\.yaml:[1-9]\d*: [ -~]+$/);
      },
    ),
    { numRuns: rounds(500, 2000) },
  );
});
