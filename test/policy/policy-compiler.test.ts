import assert from "node:assert/strict";
import { test } from "node:test";
import { ENDPOINT_FLAGS } from "../../src/maps/endpoint-map.ts";
import type { Direction, Policy } from "../../src/model/policy.ts";
import type { Decision } from "../../src/policy/decide.ts";
import type { PolicyCompiler } from "../../src/policy/policy-compiler.ts";
import { PROTOCOL_NUMBERS } from "../../src/policy/spans.ts";
import type { AgentTables } from "../../src/tables/agent-tables.ts";
import { keyBytes } from "../../src/tables/desired-map.ts";
import {
  AMSTERDAM,
  anywhere,
  cidr,
  compiled,
  device,
  endpoints,
  identityOf,
  is,
  judge,
  LEDGER,
  LEDGER_DEVICE,
  OPTIONS,
  OWN,
  policy,
  putPod,
  REMOTE_WEB,
  rule,
  stage,
  tcp,
  update,
  valueOfDevice,
  WEB,
  workload,
} from "./stage.ts";

const LEDGER_ONLY = [is("app", "ledger")];

function withPolicies(...policies: readonly Policy[]): { tables: AgentTables; compiler: PolicyCompiler } {
  const tables = stage();
  for (const one of policies) tables.putPolicy(one);
  return { tables, compiler: compiled(tables) };
}

function ask(
  compiler: PolicyCompiler,
  identity: number,
  port: number,
  direction: Direction = "ingress",
  protocol: keyof typeof PROTOCOL_NUMBERS = "TCP",
): Decision {
  return judge(compiler, LEDGER_DEVICE, direction, { identity, protocol: PROTOCOL_NUMBERS[protocol], port });
}

const said = (...parts: Parameters<typeof ask>): string => {
  const { verdict, reason } = ask(...parts);
  return `${verdict} ${reason}`;
};
const ALLOWED = "allowed forwarded";
const DENIED = "dropped policy-denied";
const DENY_RULE = "dropped policy-deny-rule";

test("without policies everything passes, both directions", () => {
  const { compiler } = withPolicies();
  assert.deepEqual(valueOfDevice(compiler, LEDGER_DEVICE), {
    identity: LEDGER,
    ingressPolicy: 0,
    egressPolicy: 0,
    flags: 0,
  });
  assert.equal(said(compiler, WEB, 80), ALLOWED);
  assert.equal(compiler.addresses.size, 1);
});

test("a peer without a word about the cluster is of the own one; the rule is named", () => {
  const rules = [rule("ingress", [endpoints(is("app", "web"))], [tcp(8080)])];
  const { compiler } = withPolicies(policy("ledger", { subject: LEDGER_ONLY, rules }));
  assert.equal(said(compiler, WEB, 8080), ALLOWED);
  assert.equal(
    compiler.ruleName(ask(compiler, WEB, 8080).rule),
    "CiliumNetworkPolicy/demo/ledger ingress[0] (ledger.yaml:1)",
  );
  assert.equal(said(compiler, WEB, 8081), DENIED);
  assert.equal(said(compiler, WEB, 8080, "ingress", "UDP"), DENIED);
  assert.equal(said(compiler, REMOTE_WEB, 8080), DENIED);
  assert.equal(said(compiler, WEB, 8080, "egress"), ALLOWED);
});

test("a peer that mentions the cluster may be of any; so may all when the agent is set so", () => {
  const { compiler } = withPolicies(policy("ledger", { rules: [rule("ingress", [anywhere(is("app", "web"))])] }));
  assert.equal(said(compiler, REMOTE_WEB, 1), ALLOWED);
  const tables = stage();
  tables.putPolicy(policy("ledger", { rules: [rule("ingress", [endpoints(is("app", "web"))])] }));
  const wide = compiled(tables, { ...OPTIONS, defaultLocalCluster: false });
  assert.equal(said(wide, REMOTE_WEB, 1), ALLOWED);
});

test("a deny beats every allow, narrower or wider, by name or for anybody", () => {
  const web = [endpoints(is("app", "web"))];
  const rules = [
    rule("ingress", web, [tcp(80)]),
    rule("ingress", web, [tcp(0, 65_535)], "deny"),
    rule("egress", web),
    rule("egress", undefined, [tcp(25)], "deny"),
  ];
  const { compiler } = withPolicies(policy("ledger", { rules }));
  assert.equal(said(compiler, WEB, 80), DENY_RULE);
  assert.equal(said(compiler, WEB, 25, "egress"), DENY_RULE);
  assert.equal(said(compiler, WEB, 26, "egress"), ALLOWED);
  assert.equal(said(compiler, REMOTE_WEB, 26, "egress"), DENIED);
});

test("denies alone, without default deny, leave the rest open", () => {
  const web = [endpoints(is("app", "web"))];
  const rules = [rule("ingress", web, [tcp(80)], "deny"), rule("ingress", web, [tcp(0, 65_535)])];
  const open = { ingress: false, egress: false };
  const { compiler } = withPolicies(policy("ledger", { rules, defaultDeny: open }));
  assert.equal(said(compiler, WEB, 80), DENY_RULE);
  assert.deepEqual(ask(compiler, WEB, 81), { verdict: "allowed", reason: "forwarded", rule: 0 });
  assert.equal(said(compiler, 9, 80), ALLOWED);
  const onlyAllows = withPolicies(policy("ledger", { rules: [rule("ingress", web)], defaultDeny: open }));
  assert.equal(valueOfDevice(onlyAllows.compiler, LEDGER_DEVICE)?.ingressPolicy, 0);
});

test("the own host may always come in, unless a deny names it; going out to it is not special", () => {
  const nobody = policy("closed", { defaultDeny: { ingress: true, egress: true } });
  const { compiler, tables } = withPolicies(nobody);
  assert.equal(said(compiler, 1, 80), ALLOWED);
  assert.equal(said(compiler, 6, 80), DENIED);
  assert.equal(said(compiler, 1, 80, "egress"), DENIED);
  const host = [{ kind: "entity", entity: "host" }] as const;
  tables.putPolicy(policy("no-host", { rules: [rule("ingress", host, [tcp(80)], "deny")] }));
  update(compiler, tables);
  assert.equal(said(compiler, 1, 80), DENY_RULE);
  assert.equal(said(compiler, 1, 81), ALLOWED);
});

test("CIDRs and worlds: the narrowest named CIDR is the address's identity", () => {
  const rules = [
    rule("egress", [cidr("10.0.0.0/8", "10.1.0.0/16")], [tcp(1)]),
    rule("egress", [cidr("0.0.0.0/0", "198.51.100.0/24")], [tcp(2)]),
    rule("egress", [{ kind: "entity", entity: "world-ipv6" }], [tcp(3)]),
    rule("egress", [cidr("2001:db8::/32")], [tcp(4)]),
  ];
  const { compiler, tables } = withPolicies(policy("ledger", { rules }));
  const of = (text: string): number => compiler.cidrs.get(text) ?? assert.fail(`${text} has no identity`);
  assert.deepEqual([...compiler.cidrs.keys()].sort(), [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "198.51.100.0/24",
    "2001:db8::/32",
  ]);
  const allowed = (port: number): string[] => {
    const texts = [...compiler.cidrs.keys()].filter((text) => said(compiler, of(text), port, "egress") === ALLOWED);
    return [...texts, ...[2, 9, 10].filter((id) => said(compiler, id, port, "egress") === ALLOWED).map(String)].sort();
  };
  assert.deepEqual(allowed(1), ["10.0.0.0/8"]);
  assert.deepEqual(allowed(2), ["10.0.0.0/8", "10.1.0.0/16", "9"]);
  assert.deepEqual(allowed(3), ["10", "2", "2001:db8::/32"]);
  assert.deepEqual(allowed(4), ["2001:db8::/32"]);
  tables.putPolicy(policy("more", { rules: [rule("ingress", [cidr("10.2.3.0/24")])] }));
  update(compiler, tables);
  assert.deepEqual(allowed(1), ["10.0.0.0/8", "10.2.3.0/24"]);
  tables.remove(OWN.name, "policies", "CiliumNetworkPolicy/demo/more");
  update(compiler, tables);
  assert.deepEqual(allowed(1), ["10.0.0.0/8"]);
});

test("entities: the cluster is its pods and nodes, not other clusters' pods", () => {
  const of = (entity: "cluster" | "remote-node" | "none" | "world"): PolicyCompiler =>
    withPolicies(policy("ledger", { rules: [rule("ingress", [{ kind: "entity", entity }])] })).compiler;
  const who = (compiler: PolicyCompiler): number[] =>
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, WEB, REMOTE_WEB].filter((id) => said(compiler, id, 80) === ALLOWED);
  assert.deepEqual(who(of("cluster")), [1, 3, 4, 5, 6, 8, WEB]);
  assert.deepEqual(who(of("remote-node")), [1, 6]);
  assert.deepEqual(who(of("none")), [1]);
  assert.deepEqual(who(of("world")), [1, 2, 9, 10]);
});

test("no endpoints selector means what is no workload, unless it asks for reserved labels", () => {
  const every = withPolicies(policy("ledger", { rules: [rule("ingress", [anywhere()])] })).compiler;
  assert.equal(said(every, REMOTE_WEB, 80), ALLOWED);
  for (const id of [2, 6, 9]) assert.equal(said(every, id, 80), DENIED);
  const health = { source: "reserved", key: "health", operator: "Exists", values: [] } as const;
  const reserved = withPolicies(policy("ledger", { rules: [rule("ingress", [endpoints(health)])] })).compiler;
  assert.equal(said(reserved, 4, 80), ALLOWED);
  assert.equal(said(reserved, WEB, 80), DENIED);
});

test("named ports: the endpoint's own for ingress, the peer's for egress", () => {
  const http = { protocol: "TCP", name: "http" } as const;
  const web = [endpoints(is("app", "web"))];
  const rules = [rule("ingress", web, [http]), rule("egress", web, [http])];
  const { compiler, tables } = withPolicies(policy("ledger", { rules }));
  assert.equal(compiler.problems().length, 2);
  assert.match(compiler.problems()[0] ?? "", /egress\[1\] \(ledger.yaml:1\): no container has a port http for it/);
  putPod(tables, OWN, "demo/ledger-0", "10.7.0.11", LEDGER, [{ name: "http", port: 8080, protocol: "TCP" }]);
  putPod(tables, OWN, "demo/web-0", "10.7.0.21", WEB, [{ name: "http", port: 80, protocol: "TCP" }]);
  putPod(tables, OWN, "demo/web-1", "10.7.0.22", WEB, [
    { name: "http", port: 81, protocol: "TCP" },
    { name: "http", port: 82, protocol: "UDP" },
  ]);
  update(compiler, tables);
  assert.deepEqual(compiler.problems(), []);
  const open = (direction: Direction): number[] =>
    [80, 81, 82, 8080].filter((port) => said(compiler, WEB, port, direction) === ALLOWED);
  assert.deepEqual(open("ingress"), [8080]);
  assert.deepEqual(open("egress"), [80, 81]);
  tables.remove(OWN.name, "ip", "10.7.0.21");
  update(compiler, tables);
  assert.deepEqual(open("egress"), [81]);
});

test("audit: what no rule allows passes and says so, a deny still denies", () => {
  const rules = [rule("ingress", [endpoints(is("app", "web"))], [tcp(80)], "deny")];
  const { compiler, tables } = withPolicies(policy("ledger", { rules, audit: true }));
  assert.equal(said(compiler, WEB, 80), DENY_RULE);
  assert.equal(said(compiler, WEB, 81), "audited policy-denied");
  assert.equal(said(compiler, 0, 81), "audited identity-unknown");
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.flags, ENDPOINT_FLAGS.auditIngress);
  tables.putPolicy(policy("strict", { defaultDeny: { ingress: true, egress: true } }));
  update(compiler, tables);
  assert.equal(said(compiler, WEB, 81), DENIED);
  assert.equal(said(compiler, 0, 81), "dropped identity-unknown");
  tables.putEndpoint({ namespace: "demo", name: "ledger-0", audit: true });
  update(compiler, tables);
  assert.equal(said(compiler, WEB, 81), "audited policy-denied");
  assert.equal(said(compiler, WEB, 81, "egress"), "audited policy-denied");
  const [status] = compiler.endpointStatus();
  assert.deepEqual([status?.ingress, status?.egress], ["audit", "audit"]);
});

test("only pods that a policy selects are enforced; status says which", () => {
  const { compiler } = withPolicies(
    policy("other", { subject: [is("app", "web")], rules: [rule("ingress")] }),
    policy("ledger", { subject: LEDGER_ONLY, rules: [rule("ingress")] }),
  );
  const [status] = compiler.endpointStatus();
  assert.deepEqual(status, {
    device: "veth11",
    ifindex: 11,
    addresses: ["10.7.0.11"],
    pod: "demo/ledger-0",
    identity: LEDGER,
    ingress: "enforced",
    egress: "open",
    policies: ["CiliumNetworkPolicy/demo/ledger"],
  });
  assert.deepEqual(
    compiler.policyStatus().map(({ name, endpoints: count }) => [name, count]),
    [
      ["CiliumNetworkPolicy/demo/ledger", 1],
      ["CiliumNetworkPolicy/demo/other", 0],
    ],
  );
});

test("endpoints with equal policies share one slot; a slot is used again only when the kernel let go of it", () => {
  const tables = stage();
  putPod(tables, OWN, "demo/ledger-1", "10.7.0.12", LEDGER);
  const devices = [device(LEDGER_DEVICE, "10.7.0.11"), device(12, "10.7.0.12")];
  tables.setNetwork({ devices, ownAddresses: [] });
  const ledger = (...ports: readonly number[]): Policy =>
    policy("ledger", {
      rules: [
        rule(
          "ingress",
          undefined,
          ports.map((port) => tcp(port)),
        ),
      ],
    });
  tables.putPolicy(ledger(1));
  const compiler = compiled(tables);
  const slotOf = (ifindex: number): number => valueOfDevice(compiler, ifindex)?.ingressPolicy ?? 0;
  assert.equal(slotOf(LEDGER_DEVICE), slotOf(12));
  assert.equal(compiler.policies.size, 1);
  const first = slotOf(12);
  tables.putPolicy(ledger(2));
  update(compiler, tables);
  assert.notEqual(slotOf(12), first);
  assert.deepEqual([...compiler.policies.keys()], [slotOf(12)]);
  tables.putPolicy({ ...ledger(2), source: "moved.yaml:9" });
  const second = slotOf(12);
  update(compiler, tables);
  assert.equal(slotOf(12), second);
  assert.match(compiler.ruleName(compiler.decide(second, { identity: WEB, protocol: 6, port: 2 }).rule) ?? "", /moved/);
});

test("a device whose workload nobody knows is denied where there are policies, and open where there are none", () => {
  const tables = stage();
  const devices = [device(LEDGER_DEVICE, "10.7.0.11"), device(12, "10.7.0.99"), device(13)];
  tables.setNetwork({ devices, ownAddresses: [] });
  const compiler = compiled(tables);
  assert.equal(valueOfDevice(compiler, 12)?.flags, ENDPOINT_FLAGS.unverified);
  tables.putPolicy(policy("web", { subject: [is("app", "web")], rules: [rule("ingress")] }));
  update(compiler, tables);
  assert.equal(valueOfDevice(compiler, 12)?.flags, ENDPOINT_FLAGS.denied);
  assert.equal(valueOfDevice(compiler, 13)?.flags, ENDPOINT_FLAGS.denied);
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.flags, 0);
  const same = stage();
  same.setNetwork({ devices, ownAddresses: [] });
  same.putPolicy(policy("web", { subject: [is("app", "web")], rules: [rule("ingress")] }));
  const lenient = compiled(same, { ...OPTIONS, unknownEndpoints: "allow" });
  assert.equal(valueOfDevice(lenient, 12)?.flags, ENDPOINT_FLAGS.unverified);
});

test("an address of another pod on a device: both shown together are refused, alone the incumbent keeps it", () => {
  const tables = stage();
  tables.putPolicy(policy("ledger", { rules: [rule("ingress")] }));
  putPod(tables, OWN, "demo/web-0", "10.7.0.21", WEB);
  const both = (...second: readonly string[]): void =>
    tables.setNetwork({ devices: [device(5, ...second), device(LEDGER_DEVICE, "10.7.0.11")], ownAddresses: [] });
  both("10.7.0.21");
  const compiler = compiled(tables);
  assert.equal(valueOfDevice(compiler, 5)?.identity, WEB);
  both("10.7.0.11", "10.7.0.21");
  update(compiler, tables);
  assert.equal(valueOfDevice(compiler, 5)?.flags, ENDPOINT_FLAGS.denied);
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.identity, LEDGER);
  both("10.7.0.11");
  update(compiler, tables);
  assert.equal(valueOfDevice(compiler, 5)?.flags, ENDPOINT_FLAGS.denied, "the lower ifindex does not help");
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.identity, LEDGER);
  assert.match(compiler.problems()[0] ?? "", /veth5 shows an address of demo\/ledger-0/);
  assert.equal(compiler.addresses.size, 1);
});

test("an address that is the node's own, another cluster's or nobody's makes no endpoint and may not be sent from", () => {
  const tables = stage();
  tables.putPolicy(policy("ledger", { rules: [rule("ingress")] }));
  putPod(tables, AMSTERDAM, "demo/web-9", "10.3.0.9", REMOTE_WEB);
  putPod(tables, OWN, "demo/on-host", "192.0.2.7", identityOf(OWN, 9));
  tables.putIdentity(OWN, { id: identityOf(OWN, 9), labels: workload(OWN, "demo", "on-host") });
  const devices = [device(LEDGER_DEVICE, "10.7.0.11", "10.99.0.1"), device(12, "10.3.0.9"), device(13, "192.0.2.7")];
  tables.setNetwork({ devices, ownAddresses: ["192.0.2.7"] });
  const compiler = compiled(tables);
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.identity, LEDGER);
  for (const ifindex of [12, 13]) assert.equal(valueOfDevice(compiler, ifindex)?.flags, ENDPOINT_FLAGS.denied);
  assert.equal(compiler.addresses.size, 1);
});

test("a workload that shows the address of a pod of another node does not become that pod", () => {
  const tables = stage();
  tables.putPolicy(policy("ledger", { rules: [rule("ingress")] }));
  putPod(tables, OWN, "demo/web-0", "10.7.0.21", WEB, [], "192.0.2.8");
  putPod(tables, OWN, "demo/web-1", "10.7.0.22", WEB, [], "192.0.2.7");
  const devices = [device(12, "10.7.0.21"), device(13, "10.7.0.22")];
  tables.setNetwork({ devices, ownAddresses: ["192.0.2.7"] });
  const compiler = compiled(tables);
  assert.equal(valueOfDevice(compiler, 12)?.flags, ENDPOINT_FLAGS.denied);
  assert.equal(valueOfDevice(compiler, 13)?.identity, WEB);
});

test("every rule that holds is named, denies first", () => {
  const web = [endpoints(is("app", "web"))];
  const rules = [
    rule("ingress", web, [tcp(80, 90)]),
    rule("ingress", undefined, [tcp(85)]),
    rule("ingress", web, [tcp(85)], "deny"),
    rule("ingress", [endpoints(is("app", "nobody"))]),
  ];
  const { compiler } = withPolicies(policy("ledger", { rules }));
  const slot = valueOfDevice(compiler, LEDGER_DEVICE)?.ingressPolicy ?? 0;
  const found = compiler.matchingRules(slot, { identity: WEB, protocol: 6, port: 85 });
  assert.deepEqual(
    found.map(({ name, verdict }) => `${verdict} ${name.split(" ")[1]}`),
    ["deny ingressDeny[2]", "allow ingress[0]", "allow ingress[1]"],
  );
});

test("a row changes so that no packet meets more allowed than before or after: denies come first and go last", () => {
  const web = [endpoints(is("app", "web"))];
  const rules = [rule("ingress", web), rule("ingress", web, [tcp(25)], "deny")];
  const { compiler, tables } = withPolicies(policy("ledger", { rules }));
  const map = compiler.policies.get(valueOfDevice(compiler, LEDGER_DEVICE)?.ingressPolicy ?? 0) ?? assert.fail();
  const changed = (): string[] =>
    [...map.takeChanged().keys()].map((key) => `${map.get(key) === undefined ? "-" : "+"}${keyBytes(key)[0]}`);
  changed();
  const late = identityOf(OWN, 5);
  tables.putIdentity(OWN, { id: late, labels: workload(OWN, "demo", "web") });
  update(compiler, tables);
  assert.deepEqual(changed(), ["+64", "+32"]);
  tables.remove(OWN.name, "identities", String(late));
  update(compiler, tables);
  assert.deepEqual(changed(), ["-32", "-64"]);
});

test("of two entries that agree the longer one is named, of equal ones the identity's", () => {
  const web = [endpoints(is("app", "web"))];
  const rules = [
    rule("ingress", web),
    rule("ingress", undefined, [tcp(80)]),
    rule("ingress", web, [tcp(24, 25)], "deny"),
    rule("ingress", undefined, [tcp(25)], "deny"),
    rule("ingress", undefined, [tcp(81)]),
    rule("ingress", web, [tcp(81)]),
  ];
  const { compiler } = withPolicies(policy("ledger", { rules }));
  const named = (port: number): string | undefined =>
    compiler.ruleName(ask(compiler, WEB, port).rule)?.match(/ (.*) /)?.[1];
  assert.deepEqual([80, 25, 24, 81, 79].map(named), [
    "ingress[1]",
    "ingressDeny[3]",
    "ingressDeny[2]",
    "ingress[5]",
    "ingress[0]",
  ]);
});
