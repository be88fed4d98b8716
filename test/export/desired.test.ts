import assert from "node:assert/strict";
import { test } from "node:test";
import { assignAddresses } from "../../src/export/addresses.ts";
import { type Compiled, compile } from "../../src/export/compile.ts";
import { IdentityBook } from "../../src/export/identities.ts";
import { PARTS, type Part } from "../../src/export/parts.ts";
import { joinManifests } from "../../src/export/world.ts";
import { Slices } from "../../src/runtime/clock.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { judgePolicy } from "../../src/wire/policy.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { ciliumPolicyText, clusterwidePolicyText, networkPolicyText } from "../wire/policies.ts";
import { BILLING, joined, LEDGER_SERVICE, OSAKA, podText } from "./scene.ts";

const BASE = BILLING["/m/00-base.yaml"] ?? "";

function done<T>(steps: Generator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

function compiled(...documents: readonly string[]): Promise<Compiled> {
  const { objects, problems } = parseManifests("a.yaml", joined(...documents));
  assert.deepEqual(problems, []);
  const world = done(joinManifests([objects]));
  const input = { cluster: OSAKA, world, owners: new Map(), book: new IdentityBook(OSAKA.id, []) };
  return compile(input, new Slices(new VirtualClock()));
}

/** Whole key -> text of all parts. */
function texts({ parts }: Compiled): Readonly<Record<string, string>> {
  const entries = PARTS.flatMap((part) => [...(parts.get(part) ?? [])]);
  return Object.fromEntries(entries.map(([key, value]) => [key, new TextDecoder().decode(value)]));
}

function service(name: string, rest: string, annotations = 'service.cilium.io/global: "true"'): string {
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: billing, annotations: {${annotations}}}
spec: {${rest}}
`;
}

const SERVICES = "cilium/state/services/v1/osaka/billing/";
const LOCAL = "bulkhead/v1/services/billing/";
const IP = "cilium/state/ip/v1/default/";

async function backendsOf(name: string, ...documents: readonly string[]): Promise<unknown> {
  return JSON.parse(texts(await compiled(BASE, ...documents))[`${LOCAL}${name}`] ?? "null")?.backends;
}

test("the exact keys and values of a node, a pod and a global service", async () => {
  const result = await compiled(BASE, LEDGER_SERVICE, podText("ledger-0"));
  assert.deepEqual(result.problems, []);
  assert.deepEqual(texts(result), {
    "cilium/state/nodes/v1/osaka/osk-w1":
      '{"Name":"osk-w1","Cluster":"osaka","IPAddresses":[{"Type":"InternalIP","IP":"192.0.2.14"}],' +
      '"IPv4AllocCIDR":{"IP":"10.77.3.0","Mask":"////AA=="},"IPv4SecondaryAllocCIDRs":null,"IPv6AllocCIDR":null,' +
      '"IPv6SecondaryAllocCIDRs":null,"IPv4HealthIP":"","IPv6HealthIP":"","IPv4IngressIP":"","IPv6IngressIP":"",' +
      '"ClusterID":7,"Source":"custom-resource","EncryptionKey":0,"Labels":{"kubernetes.io/hostname":"osk-w1"},' +
      '"Annotations":null,"WireguardPubKey":"","BootID":""}',
    "cilium/state/identities/v1/id/459008":
      "k8s:app=ledger;k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=billing;" +
      "k8s:io.cilium.k8s.namespace.labels.team=fin;k8s:io.cilium.k8s.policy.cluster=osaka;" +
      "k8s:io.cilium.k8s.policy.serviceaccount=default;k8s:io.kubernetes.pod.namespace=billing;",
    [`${IP}10.77.3.81`]:
      '{"IP":"10.77.3.81","Mask":null,"HostIP":"192.0.2.14","ID":459008,"Key":0,"Metadata":"","K8sNamespace":"billing",' +
      '"K8sPodName":"ledger-0","K8sServiceAccount":"default","NamedPorts":[{"Name":"web","Port":8080,"Protocol":"TCP"}]}',
    [`${SERVICES}ledger`]:
      '{"cluster":"osaka","namespace":"billing","name":"ledger","frontends":{"10.140.9.3":{"http":{"Protocol":"TCP","Port":80}}},' +
      '"backends":{"10.77.3.81":{"http":{"Protocol":"TCP","Port":8080}}},"labels":{"team":"fin"},"selector":{"app":"ledger"},' +
      '"includeExternal":true,"shared":true,"clusterID":7}',
    [`${LOCAL}ledger`]:
      '{"namespace":"billing","name":"ledger","frontends":{"10.140.9.3":{"http":{"Protocol":"TCP","Port":80}}},' +
      '"backends":{"10.77.3.81":{"http":{"Protocol":"TCP","Port":8080}}},"global":true,"shared":true,"affinity":"none"}',
  });
});

const ADDRESS = "clusterIP: 10.140.9.9, selector: {app: ledger}, ports: [{port: 80}]";

for (const [what, annotations, shared, local] of [
  ["no annotation", "", false, { global: false, shared: false, affinity: "none" }],
  ["global", 'service.cilium.io/global: "TRUE"', true, { global: true, shared: true, affinity: "none" }],
  [
    "the older names",
    'io.cilium/global-service: "true", io.cilium/service-affinity: local',
    true,
    { global: true, shared: true, affinity: "local" },
  ],
  [
    "not shared",
    'service.cilium.io/global: "true", service.cilium.io/shared: "false"',
    false,
    { global: true, shared: false, affinity: "none" },
  ],
  [
    "shared without global",
    'service.cilium.io/shared: "true", service.cilium.io/affinity: remote',
    false,
    { global: false, shared: false, affinity: "none" },
  ],
  [
    "affinity",
    'service.cilium.io/global: "true", service.cilium.io/affinity: remote',
    true,
    { global: true, shared: true, affinity: "remote" },
  ],
] as const) {
  test(`a service with ${what}: exported or not, and what local agents are told`, async () => {
    const found = texts(await compiled(BASE, service("a", ADDRESS, annotations)));
    assert.equal(`${SERVICES}a` in found, shared);
    const { global, shared: offered, affinity } = JSON.parse(found[`${LOCAL}a`] ?? "{}");
    assert.deepEqual({ global, shared: offered, affinity }, local);
  });
}

async function routingOf(annotations: string, ...pods: readonly string[]): Promise<unknown> {
  const global = `service.cilium.io/global: "true"${annotations}`;
  const found = texts(await compiled(BASE, service("a", ADDRESS, global), ...pods));
  assert.equal(found[`${SERVICES}a`]?.includes("routing"), false, "other clusters are not told");
  return JSON.parse(found[`${LOCAL}a`] ?? "{}").routing;
}

test("annotations of ours are told to the own agents; how many pods are not ready only where it decides something", async () => {
  const status = 'conditions: [{type: Ready, status: "False"}]';
  const pods = [
    podText("ledger-0"),
    podText("ledger-1", { ip: "10.77.3.82", status }),
    podText("leaves", { ip: "10.77.3.83", status }).replace(
      "metadata: {",
      "metadata: {deletionTimestamp: 2026-01-01, ",
    ),
    podText("other", { ip: "10.77.3.84", status, labels: "app: other" }),
  ];
  assert.equal(await routingOf("", ...pods), undefined);
  const weights = ', service.bulkhead.io/weights: "local=50"';
  assert.deepEqual(await routingOf(weights, ...pods), {
    prefer: [],
    weights: { osaka: 50 },
    spillBelow: 0,
    unready: 0,
  });
  const spill = ', service.bulkhead.io/prefer: "local", service.bulkhead.io/spill-below: "50"';
  assert.deepEqual(await routingOf(spill, ...pods), { prefer: ["osaka"], weights: {}, spillBelow: 50, unready: 1 });
});

test("session affinity is told to the own agents, three hours unless it says otherwise; other clusters have their own", async () => {
  for (const [rest, seconds] of [
    ["", undefined],
    [", sessionAffinity: None, sessionAffinityConfig: {clientIP: {timeoutSeconds: 9}}", undefined],
    [", sessionAffinity: ClientIP", 10_800],
    [", sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}", 60],
  ] as const) {
    const { problems, ...result } = await compiled(BASE, service("a", ADDRESS + rest));
    assert.deepEqual(problems, []);
    const found = texts({ problems, ...result });
    assert.equal(JSON.parse(found[`${LOCAL}a`] ?? "{}").sessionAffinitySeconds, seconds);
    assert.equal(found[`${SERVICES}a`]?.includes("ffinity"), false);
  }
});

test("how a backend is chosen is told to the own agents, global or not; a word that is not known is a problem", async () => {
  const global = 'service.cilium.io/global: "true"';
  for (const [annotations, algorithm, problems] of [
    [global, undefined, 0],
    [`${global}, service.cilium.io/lb-algorithm: maglev`, "maglev", 0],
    ["service.cilium.io/lb-algorithm: random", "random", 0],
    [`${global}, service.cilium.io/lb-algorithm: fastest`, undefined, 1],
  ] as const) {
    const result = await compiled(BASE, service("a", ADDRESS, annotations));
    assert.equal(result.problems.length, problems);
    const found = texts(result);
    assert.equal(JSON.parse(found[`${LOCAL}a`] ?? "{}").algorithm, algorithm);
    assert.equal(found[`${SERVICES}a`]?.includes("algorithm") ?? false, false);
  }
});

test("a namespace that is not global, or unknown, shares nothing but is served locally", async () => {
  const closed = BASE.replace("name: billing,", 'name: billing, annotations: {clustermesh.cilium.io/global: "false"},');
  for (const base of [closed, BASE.replace("name: billing", "name: other")]) {
    const result = await compiled(base, LEDGER_SERVICE, podText("ledger-0"));
    const found = texts(result);
    assert.deepEqual(Object.keys(found), [
      "cilium/state/nodes/v1/osaka/osk-w1",
      "bulkhead/v1/identities/459008",
      "bulkhead/v1/ip/10.77.3.81",
      `${LOCAL}ledger`,
    ]);
    const shared = texts(await compiled(BASE, LEDGER_SERVICE, podText("ledger-0")));
    assert.equal(found["bulkhead/v1/ip/10.77.3.81"], shared[`${IP}10.77.3.81`], "the very value of a shared pod");
    assert.equal(JSON.parse(found[`${LOCAL}ledger`] ?? "{}").global, false);
    const missing = result.problems.filter((line) => line.includes("namespace billing has no manifest"));
    assert.equal(missing.length, base === closed ? 0 : 1);
  }
});

test("backends: only ready pods that carry every label of the selector, in the same namespace", async () => {
  const pods = [
    podText("good", { ip: "10.77.3.1" }),
    podText("not-ready", { ip: "10.77.3.2", status: 'conditions: [{type: Ready, status: "False"}]' }),
    podText("other-app", { ip: "10.77.3.3", labels: "app: till" }),
    podText("more-labels", { ip: "10.77.3.4", labels: "app: ledger, tier: gold" }),
    podText("other-namespace", { ip: "10.77.3.5", namespace: "shop" }),
    podText("leaving", { ip: "10.77.3.6" }).replace(
      "name: leaving,",
      "name: leaving, deletionTimestamp: 2026-01-01T00:00:00Z,",
    ),
  ];
  assert.deepEqual(Object.keys((await backendsOf("a", service("a", ADDRESS), ...pods)) as object), [
    "10.77.3.1",
    "10.77.3.4",
  ]);
  const narrow = ADDRESS.replace("app: ledger", "app: ledger, tier: gold");
  assert.deepEqual(Object.keys((await backendsOf("a", service("a", narrow), ...pods)) as object), ["10.77.3.4"]);
  const none = ADDRESS.replace("selector: {app: ledger}, ", "");
  assert.deepEqual(await backendsOf("a", service("a", none), ...pods), {});
});

test("backends: target ports by number, by name on each pod, and as the port itself", async () => {
  const ports =
    "ports: [{name: same, port: 80}, {name: number, port: 81, targetPort: 9000}, {name: named, port: 82, targetPort: web}, {name: udp, protocol: UDP, port: 53, targetPort: web}]";
  const wishes = service("a", `clusterIP: 10.140.9.9, selector: {app: ledger}, ${ports}`);
  const other = podText("other", { ip: "10.77.3.2" }).replace(
    "name: web, containerPort: 8080",
    "name: web, containerPort: 9090",
  );
  const nameless = podText("nameless", { ip: "10.77.3.3" }).replace("{name: web, containerPort: 8080}", "");
  const tcp = (Port: number): object => ({ Protocol: "TCP", Port });
  assert.deepEqual(await backendsOf("a", wishes, podText("one", { ip: "10.77.3.1" }), other, nameless), {
    "10.77.3.1": { same: tcp(80), number: tcp(9000), named: tcp(8080) },
    "10.77.3.2": { same: tcp(80), number: tcp(9000), named: tcp(9090) },
    "10.77.3.3": { same: tcp(80), number: tcp(9000) },
  });
});

test("backends: in the address families of the service", async () => {
  const pod = podText("dual", { ip: '10.77.3.1"}, {ip: "fd00:77::0001' });
  const families = async (addresses: string): Promise<readonly string[]> =>
    Object.keys(
      (await backendsOf("a", service("a", ADDRESS.replace("clusterIP: 10.140.9.9", addresses)), pod)) as object,
    );
  assert.deepEqual(await families("clusterIP: 10.140.9.9"), ["10.77.3.1"]);
  assert.deepEqual(await families('clusterIP: "fd00:140::9"'), ["fd00:77::1"]);
  assert.deepEqual(await families('clusterIP: 10.140.9.9, clusterIPs: [10.140.9.9, "fd00:140::9"]'), [
    "10.77.3.1",
    "fd00:77::1",
  ]);
});

test("a headless service is exported without frontends and is nothing for agents", async () => {
  const found = texts(await compiled(BASE, service("a", ADDRESS.replace("10.140.9.9", "None")), podText("one")));
  const { frontends, backends } = JSON.parse(found[`${SERVICES}a`] ?? "{}");
  assert.deepEqual([frontends, Object.keys(backends)], [{}, ["10.77.3.81"]]);
  assert.equal(found[`${LOCAL}a`], undefined);
});

for (const [what, rest, expected] of [
  [
    "SCTP",
    ADDRESS.replace("{port: 80}", "{port: 80, protocol: SCTP}"),
    /Service billing\/a: SCTP ports are not load-balanced yet/,
  ],
  [
    "no address",
    ADDRESS.replace("clusterIP: 10.140.9.9, ", ""),
    /Service billing\/a: no spec\.clusterIP, .*; write one/,
  ],
  [
    "an address taken",
    ADDRESS.replace("10.140.9.9", "10.140.9.3"),
    /10\.140\.9\.3 is also the address of billing\/ledger; give each/,
  ],
] as const) {
  test(`what is not served is said: ${what}`, async () => {
    const { problems } = await compiled(BASE, LEDGER_SERVICE, service("a", rest));
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", expected);
  });
}

test("a pod on its node's network has no entry of its own but serves", async () => {
  const pod = podText("host", { ip: "192.0.2.14" });
  const found = texts(await compiled(BASE, LEDGER_SERVICE, pod));
  assert.deepEqual(
    Object.keys(found).filter((key) => key.startsWith(IP)),
    [],
  );
  assert.deepEqual(Object.keys(JSON.parse(found[`${LOCAL}ledger`] ?? "{}").backends), ["192.0.2.14"]);
});

test("a used-up range is one line for the pod; the others do not notice", async () => {
  const { objects } = parseManifests(
    "a.yaml",
    joined(BASE, podText("one"), podText("two", { ip: "10.77.3.82", labels: "app: till" })),
  );
  const world = done(joinManifests([objects]));
  const stored = Array.from({ length: 65_536 - 256 - 1 }, (_, index) => ({ id: 7 * 65_536 + 256 + index }));
  const book = new IdentityBook(OSAKA.id, stored);
  const result = await compile({ cluster: OSAKA, world, owners: new Map(), book }, new Slices(new VirtualClock()));
  assert.deepEqual(result.problems.length, 1);
  assert.match(result.problems[0] ?? "", /Pod billing\/two: no identity is left in the range of cluster id 7/);
  assert.deepEqual(
    [...(result.parts.get("ip") ?? [])].map(([key]) => key),
    [`${IP}10.77.3.81`],
  );
  assert.deepEqual([...result.refused], [`${IP}10.77.3.82`]);
});

test("an address goes to the first claimant, stays with its owner, and passes on when that one goes", () => {
  const worldOf = (...names: readonly string[]) =>
    done(joinManifests([parseManifests("a.yaml", joined(...names.map((name) => podText(name)))).objects]));
  const ownerOf = (names: readonly string[], previous: ReadonlyMap<string, string>) =>
    done(assignAddresses(worldOf(...names), previous)).owners;
  const first = ownerOf(["b", "a"], new Map());
  assert.deepEqual([...first], [["10.77.3.81", "billing/b"]]);
  const second = ownerOf(["a", "b"], first);
  assert.deepEqual([...second], [["10.77.3.81", "billing/b"]]);
  assert.deepEqual([...ownerOf(["c", "a"], second)], [["10.77.3.81", "billing/c"]]);
});

const CLOSED = `
apiVersion: v1
kind: Namespace
metadata: {name: vault, annotations: {clustermesh.cilium.io/global: "false"}}
`;

test("a pod is either shared or local, and its identity goes where its pods are", async () => {
  const safe = podText("safe", { ip: "10.77.3.90", namespace: "vault" });
  const { parts } = await compiled(BASE, CLOSED, podText("ledger-0"), safe);
  const keys = (part: Part): readonly string[] => [...(parts.get(part)?.keys() ?? [])];
  assert.deepEqual(keys("ip"), [`${IP}10.77.3.81`]);
  assert.deepEqual(keys("local-ip"), ["bulkhead/v1/ip/10.77.3.90"]);
  assert.deepEqual(keys("identities"), ["cilium/state/identities/v1/id/459008"]);
  assert.deepEqual(keys("local-identities"), ["bulkhead/v1/identities/459009"]);
});

test("a pod in audit has an endpoint record; an annotation that makes no sense is said and counts as false", async () => {
  const audited = (name: string, ip: string, value: string): string =>
    podText(name, { ip }).replace("labels:", `annotations: {policy.bulkhead.io/audit: "${value}"}, labels:`);
  const result = await compiled(
    BASE,
    audited("a", "10.77.3.1", "true"),
    audited("b", "10.77.3.2", "false"),
    audited("c", "10.77.3.3", "yes"),
    podText("d", { ip: "10.77.3.4" }),
  );
  const records = Object.entries(texts(result)).filter(([key]) => key.startsWith("bulkhead/v1/endpoints/"));
  assert.deepEqual(records, [["bulkhead/v1/endpoints/billing/a", '{"namespace":"billing","name":"a","audit":true}']]);
  assert.equal(result.problems.length, 1);
  assert.match(
    result.problems[0] ?? "",
    /Pod billing\/c: annotation .* "yes" and counts as "false"; write "true" or "false"/,
  );
});

test("policies are published below kind, namespace and name, as they were written", async () => {
  const { parts, problems } = await compiled(
    BASE,
    ...[
      networkPolicyText("podSelector: {}", "name: guard, namespace: billing"),
      ciliumPolicyText("endpointSelector: {}, ingress: [{}]", "name: guard, namespace: billing"),
      clusterwidePolicyText("endpointSelector: {}, ingress: [{}]"),
    ].map((text) => `\n${text}`),
  );
  assert.deepEqual(problems, []);
  const policies = parts.get("policies") ?? new Map<string, Uint8Array>();
  assert.deepEqual(
    [...policies.keys()],
    ["NetworkPolicy/billing/guard", "CiliumNetworkPolicy/billing/guard", "CiliumClusterwideNetworkPolicy/guard"].map(
      (name) => `bulkhead/v1/policies/${name}`,
    ),
  );
  for (const [key, value] of policies)
    assert.equal(judgePolicy(key.slice("bulkhead/v1/policies/".length), value).ok, true);
});

test("what of a policy can do nothing is said, and it is published all the same", async () => {
  const { parts, problems } = await compiled(
    BASE,
    ...[
      networkPolicyText("podSelector: {}", "name: a, namespace: shop"),
      ciliumPolicyText(
        'endpointSelector: {matchLabels: {pod-template-hash: x}}, ingress: [{fromEndpoints: [{matchLabels: {"k8s:statefulset.kubernetes.io/pod-name": y, app: z, "reserved:host": ""}}]}]',
        "name: b, namespace: billing",
      ),
      clusterwidePolicyText(
        'endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: a, io.cilium.k8s.policy.serviceaccount: b, io.cilium.k8s.policy.cluster: osaka, "k8s:io.cilium.k8s.namespace.labels.team": c}}, ingress: [{}]',
      ),
    ].map((text) => `\n${text}`),
  );
  assert.equal(parts.get("policies")?.size, 3);
  assert.equal(problems.length, 3);
  assert.match(problems[0] ?? "", /NetworkPolicy\/shop\/a: namespace shop has no manifest; add a Namespace document/);
  assert.match(
    problems[1] ?? "",
    /billing\/b: label "pod-template-hash" is no part of an identity.*; select by another label/,
  );
  assert.match(problems[2] ?? "", /billing\/b: label "statefulset\.kubernetes\.io\/pod-name" is no part/);
});

test("a second document of a policy in force changes nothing, also in a file that comes first by name", () => {
  const parse = (file: string, spec: string) => parseManifests(file, networkPolicyText(spec)).objects;
  const inForce = parse("z.yaml", "podSelector: {}");
  const before = done(joinManifests([inForce]));
  const other = parse("a.yaml", "podSelector: {matchLabels: {app: nobody}}");
  const { policies, problems } = done(joinManifests([other, inForce], before));
  assert.equal(policies.get("NetworkPolicy/shop/guard")?.source, "z.yaml:1");
  assert.match(problems[0] ?? "", /^a\.yaml:1: .* is already defined in z\.yaml:1, which stays/);
  const alone = done(joinManifests([other], before));
  assert.equal(alone.policies.get("NetworkPolicy/shop/guard")?.source, "a.yaml:1");
});

test("of two documents of one policy the first stays", () => {
  const text = networkPolicyText("podSelector: {}");
  const parsed = [parseManifests("a.yaml", text), parseManifests("b.yaml", text)];
  const { policies, problems } = done(joinManifests(parsed.map(({ objects }) => objects)));
  assert.equal(policies.get("NetworkPolicy/shop/guard")?.source, "a.yaml:1");
  assert.deepEqual(problems, [
    "b.yaml:1: NetworkPolicy/shop/guard is already defined in a.yaml:1, which stays; remove one of the two",
  ]);
});
