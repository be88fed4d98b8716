import assert from "node:assert/strict";
import { test } from "node:test";
import { ENDPOINT_FLAGS } from "../../src/maps/endpoint-map.ts";
import { POLICY_MAX_ENTRIES, POLICY_SLOTS } from "../../src/maps/policy-map.ts";
import type { Policy, PortRule } from "../../src/model/policy.ts";
import type { PolicyCompiler } from "../../src/policy/policy-compiler.ts";
import type { AgentTables } from "../../src/tables/agent-tables.ts";
import {
  compiled,
  device,
  endpoints,
  identityOf,
  is,
  LEDGER,
  LEDGER_DEVICE,
  OWN,
  policy,
  putPod,
  rule,
  stage,
  tcp,
  update,
  valueOfDevice,
  WEB,
  workload,
} from "./stage.ts";

/** So many ports that each identity has that many entries. */
const ports = (count: number): PortRule[] => Array.from({ length: count }, (_, index) => tcp(2 * index + 1));
const CROWD = 100;
const crowd = (tables: AgentTables, from: number, to: number): void => {
  for (let low = from; low < to; low++) {
    tables.putIdentity(OWN, { id: identityOf(OWN, low), labels: workload(OWN, "demo", "crowd") });
  }
};
const toCrowd = (count: number, verdict: "allow" | "deny" = "allow"): Policy =>
  policy("ledger", { rules: [rule("ingress", [endpoints(is("app", "crowd"))], ports(count), verdict)] });
const slotOf = (compiler: PolicyCompiler): number => valueOfDevice(compiler, LEDGER_DEVICE)?.ingressPolicy ?? 0;
const sizeOf = (compiler: PolicyCompiler): number => compiler.policies.get(slotOf(compiler))?.size ?? 0;

test("a policy that does not fit leaves its endpoints with what they had; without that they are denied", () => {
  const tables = stage();
  crowd(tables, 100, 100 + CROWD);
  tables.putPolicy(toCrowd(10));
  const compiler = compiled(tables);
  const before = slotOf(compiler);
  assert.equal(sizeOf(compiler), 10 * CROWD + 1);
  tables.putPolicy(toCrowd(200));
  update(compiler, tables);
  assert.equal(slotOf(compiler), before);
  assert.equal(sizeOf(compiler), 10 * CROWD + 1);
  assert.match(
    compiler.problems()[0] ?? "",
    /demo\/ledger-0: its ingress policy does not fit, it keeps .* 20001 entries/,
  );
  putPod(tables, OWN, "demo/ledger-1", "10.7.0.12", LEDGER);
  const devices = [device(LEDGER_DEVICE, "10.7.0.11"), device(12, "10.7.0.12")];
  tables.setNetwork({ devices, ownAddresses: [] });
  update(compiler, tables);
  assert.equal(valueOfDevice(compiler, 12)?.flags, ENDPOINT_FLAGS.denied);
  assert.equal(slotOf(compiler), before);
  for (let low = 100; low < 150; low++) tables.remove(OWN.name, "identities", String(identityOf(OWN, low)));
  update(compiler, tables);
  assert.equal(sizeOf(compiler), 200 * (CROWD - 50) + 1);
  assert.equal(valueOfDevice(compiler, 12)?.flags, 0);
  assert.deepEqual(compiler.problems(), []);
  assert.equal(compiler.policies.size, 1);
});

test("identities that find no room in a policy are denied, until others go", () => {
  const tables = stage();
  tables.putPolicy(toCrowd(200));
  const compiler = compiled(tables);
  crowd(tables, 100, 185);
  update(compiler, tables);
  assert.equal(sizeOf(compiler), 200 * 81 + 1);
  assert.match(compiler.problems()[0] ?? "", /^4 identities are denied/);
  const allowed = (low: number): boolean =>
    compiler.decide(slotOf(compiler), { identity: identityOf(OWN, low), protocol: 6, port: 1 }).verdict === "allowed";
  assert.deepEqual([180, 181].map(allowed), [true, false]);
  for (let low = 100; low < 110; low++) tables.remove(OWN.name, "identities", String(identityOf(OWN, low)));
  update(compiler, tables);
  assert.deepEqual([109, 110, 184].map(allowed), [false, true, true]);
  assert.deepEqual(compiler.problems(), []);
});

test("what denies is never left out: allows make room, and when there are none left the endpoint is denied", () => {
  const tables = stage();
  tables.putPolicy(toCrowd(200, "deny"));
  const allowWeb = rule("ingress", [endpoints(is("app", "web"))], ports(500));
  tables.putPolicy(policy("web", { rules: [allowWeb, rule("ingress", undefined, [tcp(0, 65_535)])] }));
  const compiler = compiled(tables);
  const verdict = (identity: number): string =>
    compiler.decide(slotOf(compiler), { identity, protocol: 6, port: 1 }).reason;
  const ruleOf = (identity: number): number =>
    compiler.decide(slotOf(compiler), { identity, protocol: 6, port: 1 }).rule;
  const named = ruleOf(WEB);
  crowd(tables, 100, 180);
  update(compiler, tables);
  assert.notEqual(ruleOf(WEB), named, "its row made room for denies");
  assert.equal(verdict(identityOf(OWN, 179)), "policy-deny-rule");
  assert(sizeOf(compiler) <= POLICY_MAX_ENTRIES);
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.flags, 0);
  crowd(tables, 180, 190);
  update(compiler, tables);
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.flags, ENDPOINT_FLAGS.denied);
  for (let low = 100; low < 120; low++) tables.remove(OWN.name, "identities", String(identityOf(OWN, low)));
  update(compiler, tables);
  assert.equal(valueOfDevice(compiler, LEDGER_DEVICE)?.flags, 0);
  assert.equal(verdict(identityOf(OWN, 189)), "policy-deny-rule");
});

test("when every slot is taken, new endpoints are denied and others stay", () => {
  const tables = stage();
  const compiler = compiled(tables);
  const count = POLICY_SLOTS + 4;
  const devices = Array.from({ length: count }, (_, index) => {
    const address = `10.7.${index >> 8}.${index & 255}`;
    const named = [{ name: "http", port: index + 1, protocol: "TCP" as const }];
    putPod(tables, OWN, `demo/pod-${index}`, address, LEDGER, named);
    return device(1000 + index, address);
  });
  tables.putPolicy(policy("named", { rules: [rule("ingress", undefined, [{ protocol: "TCP", name: "http" }])] }));
  tables.setNetwork({ devices, ownAddresses: [] });
  update(compiler, tables);
  assert.equal(compiler.policies.size, POLICY_SLOTS - 1);
  const flags = devices.map(({ ifindex }) => valueOfDevice(compiler, ifindex)?.flags ?? 0);
  assert.equal(flags.filter((flag) => flag === ENDPOINT_FLAGS.denied).length, 5);
  assert.match(compiler.problems()[0] ?? "", /more than 4095 distinct policies/);
  tables.setNetwork({ devices: devices.slice(10), ownAddresses: [] });
  update(compiler, tables);
  assert.equal(compiler.policies.size, POLICY_SLOTS - 11, "the kernel still has the slots of those that went");
  compiler.released(() => true);
  update(compiler, tables);
  assert.equal(compiler.policies.size, POLICY_SLOTS + 4 - 10);
  assert.deepEqual(compiler.problems(), []);
});
