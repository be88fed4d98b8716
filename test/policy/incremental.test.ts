import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ENDPOINT_FLAGS } from "../../src/maps/endpoint-map.ts";
import { encodeIpcacheCidrKey, encodeIpcacheCidrValue } from "../../src/maps/ipcache-cidr-map.ts";
import { parseCidr, prefixBits } from "../../src/model/address.ts";
import { PolicyCompiler } from "../../src/policy/policy-compiler.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { rounds } from "../support/rounds.ts";
import { type Change, change, populate } from "./random-changes.ts";
import {
  AMSTERDAM,
  anywhere,
  compiled,
  contents,
  device,
  dumpOf,
  is,
  LEDGER,
  LEDGER_DEVICE,
  OPTIONS,
  OWN,
  policy,
  putPod,
  REMOTE_WEB,
  rule,
  stage,
  syncAll,
  tcp,
  update,
  valueOfDevice,
  workload,
} from "./stage.ts";

const changes = fc.array(change, { maxLength: 14 });

function mesh(): AgentTables {
  const tables = new AgentTables(OWN);
  populate(tables);
  syncAll(tables);
  return tables;
}

function meshAfter(all: readonly Change[]): AgentTables {
  const tables = mesh();
  for (const one of all) one(tables);
  return tables;
}

function checkPlaces(compiler: PolicyCompiler): void {
  for (const ifindex of [11, 12, 13, 14]) {
    const value = valueOfDevice(compiler, ifindex);
    for (const slot of [value?.ingressPolicy ?? 0, value?.egressPolicy ?? 0]) {
      assert(slot === 0 || compiler.policies.has(slot), `device ${ifindex} names slot ${slot}, which holds nothing`);
    }
  }
}

test("incremental equals full, whatever came in which order", () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 5 }), { maxLength: 10 }), (rounds) => {
      const tables = mesh();
      const incremental = compiled(tables);
      for (const round of rounds) {
        for (const one of round) one(tables);
        update(incremental, tables);
        checkPlaces(incremental);
      }
      assert.deepEqual(contents(incremental), contents(compiled(meshAfter(rounds.flat()))));
    }),
    { numRuns: rounds(166, 500) },
  );
});

/** What the kernel holds of a compiler's wishes. */
function heldOf(compiler: PolicyCompiler): Parameters<PolicyCompiler["adopt"]>[0] {
  const cidrs = [...compiler.cidrs].map(([text, identity]) => {
    const parsed = parseCidr(text) ?? assert.fail();
    const key = encodeIpcacheCidrKey({ prefixLength: prefixBits(parsed), address: parsed.address });
    return [key, encodeIpcacheCidrValue({ identity, flags: 0 })] as const;
  });
  return {
    policies: new Map([...compiler.policies].map(([slot, map]) => [slot, dumpOf(map)])),
    endpoints: dumpOf(compiler.endpoints),
    addresses: dumpOf(compiler.addresses),
    cidrs,
  };
}

const heldText = (compiler: PolicyCompiler): unknown => {
  const { policies, ...rest } = heldOf(compiler);
  const lines = (dump: typeof rest.endpoints): string[] => Array.from(dump, ([key, value]) => `${key} ${value}`).sort();
  return {
    policies: [...policies].map(([slot, dump]) => [slot, lines(dump)] as const).sort(([a], [b]) => a - b),
    endpoints: lines(rest.endpoints),
    addresses: lines(rest.addresses),
    cidrs: lines(rest.cidrs),
  };
};

test("a device that got the index of another while no agent looked is denied until its workload is known", () => {
  const before = compiled(stage());
  const later = new AgentTables(OWN);
  later.setNetwork({ devices: [device(LEDGER_DEVICE, "10.7.0.77")], ownAddresses: [] });
  const after = new PolicyCompiler(later, OPTIONS);
  after.adopt(heldOf(before));
  update(after, later);
  assert.equal(valueOfDevice(after, LEDGER_DEVICE)?.flags, ENDPOINT_FLAGS.denied);
  const same = new AgentTables(OWN);
  same.setNetwork({ devices: [device(LEDGER_DEVICE, "10.7.0.11")], ownAddresses: [] });
  const kept = new PolicyCompiler(same, OPTIONS);
  kept.adopt(heldOf(before));
  update(kept, same);
  assert.equal(valueOfDevice(kept, LEDGER_DEVICE)?.identity, LEDGER);
});

test("a restart without a change gives the same slots, numbers and bytes", () => {
  fc.assert(
    fc.property(changes, changes, (earlier, later) => {
      const tables = meshAfter(earlier);
      const before = compiled(tables);
      for (const one of later) one(tables);
      update(before, tables);
      const after = new PolicyCompiler(tables, OPTIONS);
      after.adopt(heldOf(before));
      // A network read of the new process.
      const { devices, ownAddresses } = { devices: tables.devices(), ownAddresses: tables.ownAddresses() };
      tables.setNetwork({ devices, ownAddresses: [...ownAddresses, "192.0.2.8"] });
      update(after, tables);
      assert.deepEqual(heldText(after), heldText(before));
    }),
    { numRuns: rounds(100, 300) },
  );
});

test("a restart before everything is said keeps what the kernel held and denies new devices; then the tables decide", () => {
  fc.assert(
    fc.property(changes, changes, (earlier, partly) => {
      const before = compiled(meshAfter(earlier));
      const tables = new AgentTables(OWN);
      const after = new PolicyCompiler(tables, OPTIONS);
      after.adopt(heldOf(before));
      for (const one of [populate, ...partly]) one(tables);
      const others = tables.devices();
      tables.setNetwork({ devices: [...others, device(99, "10.7.0.99")], ownAddresses: [] });
      update(after, tables);
      for (const [key, value] of before.endpoints.entries()) assert.deepEqual(after.endpoints.get(key), value);
      assert.deepEqual([...after.policies.keys()].sort(), [...before.policies.keys()].sort());
      assert.equal(valueOfDevice(after, 99)?.flags, ENDPOINT_FLAGS.denied);
      assert.deepEqual(heldText(after), { ...(heldText(before) as object), endpoints: lines(after) });
      syncAll(tables);
      syncRemote(tables);
      update(after, tables);
      const fresh = meshAfter(partly);
      fresh.setNetwork({ devices: tables.devices(), ownAddresses: [] });
      assert.deepEqual(contents(after), contents(compiled(fresh)));
    }),
    { numRuns: rounds(66, 200) },
  );
});

const lines = (compiler: PolicyCompiler): unknown => (heldText(compiler) as { endpoints: unknown }).endpoints;

test("a slot that went is not used again before the kernel let go of it", () => {
  const tables = stage();
  const ledger = (port: number) => policy("ledger", { rules: [rule("ingress", undefined, [tcp(port)])] });
  tables.putPolicy(ledger(1));
  const compiler = compiled(tables);
  const used: number[] = [];
  for (let port = 2; port < 5000; port++) {
    tables.putPolicy(ledger(port));
    update(compiler, tables);
    const slot = valueOfDevice(compiler, LEDGER_DEVICE)?.ingressPolicy ?? 0;
    assert.equal(used.includes(slot), false);
    used.push(slot);
    if (used.length <= 3) continue;
    const free = used.shift();
    compiler.released((one) => one === free);
  }
});

/** What the own cluster alone says. */
function ownPart(tables: AgentTables): AgentTables {
  const own = new AgentTables(OWN);
  for (const one of tables.policies()) own.putPolicy(one);
  for (const identity of tables.identities()) if (identity.id >>> 16 === OWN.id) own.putIdentity(OWN, identity);
  for (const address of tables.addresses()) {
    for (const claim of tables.ipClaims(address)) if (claim.clusterId === OWN.id) own.putIp(OWN, address, claim);
  }
  for (const index of [1, 2, 3, 4]) {
    const name = `pod-${index}`;
    own.putEndpoint({ namespace: "demo", name, audit: tables.isAudited(`demo/${name}`) });
  }
  own.setNetwork({ devices: tables.devices(), ownAddresses: tables.ownAddresses() });
  syncAll(own);
  return own;
}

/** What the other one says: identities, then who has them. */
function remotePart(tables: AgentTables): readonly Change[] {
  const identities = [...tables.identities()].filter(({ id }) => id >>> 16 === AMSTERDAM.id);
  const claims = [...tables.addresses()].flatMap((address) => {
    return tables.ipClaims(address).map((claim) => ({ address, claim }));
  });
  return [
    ...identities.map(
      (identity): Change =>
        (to) =>
          to.putIdentity(AMSTERDAM, identity),
    ),
    ...claims
      .filter(({ claim }) => claim.clusterId === AMSTERDAM.id)
      .map(
        ({ address, claim }): Change =>
          (to) =>
            to.putIp(AMSTERDAM, address, claim),
      ),
  ];
}

const syncRemote: Change = (tables) => {
  for (const kind of ["identities", "ip"] as const) tables.setSynced(AMSTERDAM.id, kind, true);
};

test("a restart while another cluster is silent keeps what its identities were allowed; when it speaks, its word counts", () => {
  let retained = 0;
  fc.assert(
    fc.property(changes, changes, (earlier, later) => {
      const full = meshAfter(earlier);
      const before = compiled(full);
      const tables = ownPart(full);
      const after = new PolicyCompiler(tables, OPTIONS);
      after.adopt(heldOf(before));
      update(after, tables);
      assert.deepEqual(heldText(after), heldText(before));
      retained += after.retainedClusters().size;
      for (const one of later) {
        one(tables);
        one(full);
        update(after, tables);
      }
      for (const say of remotePart(full)) say(tables);
      syncRemote(tables);
      update(after, tables);
      assert.equal(after.retainedClusters().size, 0);
      assert.deepEqual(contents(after), contents(compiled(meshAfter([...earlier, ...later]))));
    }),
    { numRuns: rounds(100, 300) },
  );
  assert(retained > 10, `only ${retained} runs retained anything`);
});

test("what another cluster says while a compile rests takes nothing away that its identities were allowed", () => {
  fc.assert(
    fc.property(changes, fc.nat(12), fc.nat(40), (earlier, early, steps) => {
      const full = meshAfter(earlier);
      const before = compiled(full);
      const tables = ownPart(full);
      const after = new PolicyCompiler(tables, OPTIONS);
      after.adopt(heldOf(before));
      const said = remotePart(full);
      for (const say of said.slice(0, early)) say(tables);
      const compile = after.update(tables.takeChanges());
      for (let step = 0; step < steps; step++) compile.next();
      for (const say of [...said.slice(early), syncRemote]) say(tables);
      for (const _ of compile);
      assert.deepEqual(heldText(after), heldText(before));
      update(after, tables);
      assert.deepEqual(heldText(after), heldText(before));
      assert.equal(after.retainedClusters().size, 0);
    }),
    { numRuns: rounds(100, 300) },
  );
});

test("while a cluster's ports are not said, what is known of its identities counts: denies, and labels that no rule wants any more", () => {
  const metrics = { protocol: "TCP", name: "metrics" } as const;
  const web = (...more: readonly Parameters<typeof rule>[]) =>
    policy("ledger", {
      rules: [rule("egress", [anywhere(is("app", "web"))], [tcp(80), metrics]), ...more.map((one) => rule(...one))],
    });
  const ports = [{ ...metrics, port: 9090 }];
  const full = stage();
  putPod(full, AMSTERDAM, "demo/web-0", "10.3.0.1", REMOTE_WEB, ports);
  full.putPolicy(web());
  const before = compiled(full);
  const tables = stage();
  tables.setSynced(AMSTERDAM.id, "identities", true);
  tables.putPolicy(web());
  const after = new PolicyCompiler(tables, OPTIONS);
  after.adopt(heldOf(before));
  update(after, tables);
  const said = (port: number): string => {
    const slot = valueOfDevice(after, LEDGER_DEVICE)?.egressPolicy ?? 0;
    return after.decide(slot, { identity: REMOTE_WEB, protocol: 6, port }).reason;
  };
  assert.deepEqual([80, 9090, 9091].map(said), ["forwarded", "forwarded", "policy-denied"]);
  assert.deepEqual([...after.retainedClusters()], [AMSTERDAM.id]);
  tables.putPolicy(web(["egress", [anywhere(is("app", "web"))], [tcp(80)], "deny"]));
  update(after, tables);
  assert.deepEqual([80, 9090].map(said), ["policy-deny-rule", "forwarded"]);
  tables.putIdentity(AMSTERDAM, { id: REMOTE_WEB, labels: workload(AMSTERDAM, "demo", "other") });
  update(after, tables);
  assert.deepEqual([80, 9090].map(said), ["policy-denied", "policy-denied"]);
  tables.putIdentity(AMSTERDAM, { id: REMOTE_WEB, labels: workload(AMSTERDAM, "demo", "web") });
  tables.setSynced(AMSTERDAM.id, "ip", true);
  update(after, tables);
  assert.deepEqual([80, 9090].map(said), ["policy-deny-rule", "policy-denied"], "no pod has such a port");
});

test("what a silent cluster's identities keep ends with the rule or the port that allowed it", () => {
  const tables = stage();
  const ledger = (...ports: readonly number[]) =>
    policy("ledger", {
      rules: [
        rule(
          "ingress",
          [anywhere(is("app", "web"))],
          ports.map((port) => tcp(port)),
        ),
      ],
    });
  tables.putPolicy(ledger(80, 81));
  const before = compiled(tables);
  const silent = ownPart(tables);
  const after = new PolicyCompiler(silent, OPTIONS);
  after.adopt(heldOf(before));
  update(after, silent);
  const said = (port: number): string => {
    const slot = valueOfDevice(after, LEDGER_DEVICE)?.ingressPolicy ?? 0;
    return after.decide(slot, { identity: REMOTE_WEB, protocol: 6, port }).reason;
  };
  assert.deepEqual([80, 81, 82].map(said), ["forwarded", "forwarded", "policy-denied"]);
  assert.deepEqual([...after.retainedClusters()], [AMSTERDAM.id]);
  silent.putPolicy(ledger(80, 82));
  update(after, silent);
  assert.deepEqual([80, 81, 82].map(said), ["forwarded", "policy-denied", "policy-denied"]);
  silent.remove(OWN.name, "policies", "CiliumNetworkPolicy/demo/ledger");
  silent.putPolicy(policy("other", { rules: [rule("ingress", [anywhere(is("app", "web"))])] }));
  update(after, silent);
  assert.equal(said(80), "policy-denied");
});
