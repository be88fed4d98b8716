import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IpcacheCompiler } from "../../src/ipcache/ipcache-compiler.ts";
import { decodeIpcacheCidrKey, decodeIpcacheCidrValue } from "../../src/maps/ipcache-cidr-map.ts";
import { decodeIpcacheKey, decodeIpcacheValue } from "../../src/maps/ipcache-map.ts";
import { formatAddress, isV4 } from "../../src/model/address.ts";
import { FIRST_CIDR_IDENTITY } from "../../src/model/identity.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { type DesiredMap, keyBytes } from "../../src/tables/desired-map.ts";
import {
  type Change,
  internal,
  networkChange,
  nodeOf,
  OSAKA,
  OWN,
  pod,
  rowChange,
  syncChange,
  syncEverything,
  tablesAfter,
  VIRGINIA,
} from "../tables/world.ts";

const changes = fc.array(fc.oneof({ weight: 9, arbitrary: rowChange }, networkChange), { maxLength: 14 });
const policyCidrs = fc
  .subarray(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/24", "10.1.0.0/25", "192.0.2.0/24", "::/0", "fd00::/16"])
  .map((cidrs): ReadonlyMap<string, number> => new Map(cidrs.map((cidr, at) => [cidr, FIRST_CIDR_IDENTITY + at])));

/** Address to `identity/cluster`. */
function read({ entries }: IpcacheCompiler): Record<string, string> {
  const rows = [...entries.entries()].map(([key, value]) => {
    const { identity, clusterId } = decodeIpcacheValue(value);
    return [formatAddress(decodeIpcacheKey(keyBytes(key)).address), `${identity}/${clusterId}`] as const;
  });
  return Object.fromEntries(rows.sort());
}

/** CIDR to its identity, or `claimed`. */
function readCidrs({ cidrs }: IpcacheCompiler): Record<string, number | "claimed"> {
  const rows = [...cidrs.entries()].map(([key, value]) => {
    const { address, prefixLength } = decodeIpcacheCidrKey(keyBytes(key));
    const { identity, flags } = decodeIpcacheCidrValue(value);
    const bits = isV4(address) ? prefixLength - 96 : prefixLength;
    return [`${formatAddress(address)}/${bits}`, flags === 1 ? ("claimed" as const) : identity] as const;
  });
  return Object.fromEntries(rows.sort());
}

const both = (compiler: IpcacheCompiler) => [read(compiler), readCidrs(compiler)] as const;
const dumpOf = (map: DesiredMap) => [...map.entries()].map(([key, value]) => [keyBytes(key), value] as const);

function finish(steps: Iterable<void>): void {
  for (const _ of steps);
}

function compiled(tables: AgentTables, cidrs?: ReadonlyMap<string, number>): IpcacheCompiler {
  const compiler = new IpcacheCompiler(tables);
  finish(compiler.update(tables.takeChanges(), cidrs));
  return compiler;
}

function restarted(before: IpcacheCompiler, tables: AgentTables, cidrs?: ReadonlyMap<string, number>): IpcacheCompiler {
  const after = new IpcacheCompiler(tables);
  after.adopt(dumpOf(before.entries), dumpOf(before.cidrs));
  finish(after.update(tables.takeChanges(), cidrs));
  return after;
}

test("the own cluster's claim wins, then the lowest id; the next one counts when the winner withdraws", () => {
  const tables = new AgentTables(OWN);
  const compiler = new IpcacheCompiler(tables);
  const now = (): Record<string, string> => {
    finish(compiler.update(tables.takeChanges()));
    return read(compiler);
  };
  tables.putIp(VIRGINIA, "10.1.0.1", pod(300));
  assert.deepEqual(now(), { "10.1.0.1": "300/3" });
  tables.putIp(OSAKA, "10.1.0.1", pod(301));
  assert.deepEqual(now(), { "10.1.0.1": "301/1" });
  tables.putIp(OWN, "10.1.0.1", pod(302));
  assert.deepEqual(now(), { "10.1.0.1": "302/2" });
  tables.remove(OWN.name, "ip", "10.1.0.1");
  assert.deepEqual(now(), { "10.1.0.1": "301/1" });
  tables.remove(OSAKA.name, "ip", "10.1.0.1");
  tables.remove(VIRGINIA.name, "ip", "10.1.0.1");
  assert.deepEqual(now(), {});
});

test("CIDR entries are counted, not programmed", () => {
  const tables = new AgentTables(OWN);
  tables.putIp(OSAKA, "10.1.0.0/24", pod(301));
  const compiler = compiled(tables);
  assert.deepEqual([compiler.problems().length, read(compiler)], [1, {}]);
  assert.match(compiler.problems().join(), /^1 CIDR entries are not programmed/);
  tables.remove(OSAKA.name, "ip", "10.1.0.0/24");
  finish(compiler.update(tables.takeChanges()));
  assert.deepEqual(compiler.problems(), []);
});

test("incremental equals full", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(changes, policyCidrs), { maxLength: 6 }), (rounds) => {
      const tables = tablesAfter([]);
      const incremental = new IpcacheCompiler(tables);
      for (const [round, cidrs] of rounds) {
        for (const change of round) change(tables);
        finish(incremental.update(tables.takeChanges(), cidrs));
      }
      const full = compiled(tablesAfter(rounds.flatMap(([round]) => round)), rounds.at(-1)?.[1]);
      assert.deepEqual(both(incremental), both(full));
      const lines = (compiler: IpcacheCompiler) => compiler.problems().map((line) => line.replace(/ \([^)]*\)$/, ""));
      assert.deepEqual(lines(incremental), lines(full));
    }),
    { numRuns: 500 },
  );
});

test("a restart keeps what the kernel held until its cluster is complete, then equals the tables", () => {
  fc.assert(
    fc.property(
      changes,
      policyCidrs,
      changes,
      fc.array(syncChange, { maxLength: 4 }),
      (first, cidrs, later, synced) => {
        const before = compiled(tablesAfter(first), cidrs);
        const tables = tablesAfter([]);
        const after = restarted(before, tables, cidrs);
        assert.deepEqual(both(after), both(before));
        for (const round of [
          [...synced, ...later],
          [syncEverything, network],
        ]) {
          for (const change of round) change(tables);
          finish(after.update(tables.takeChanges()));
        }
        assert.deepEqual(both(after), both(compiled(tablesAfter([...later, network]))));
        assert.equal(after.retainedClusters().size, 0);
      },
    ),
    { numRuns: 300 },
  );
});

test("what comes and is complete while a compile rests takes nothing away that the kernel held", () => {
  fc.assert(
    fc.property(changes, policyCidrs, fc.nat(14), fc.nat(30), (rows, cidrs, early, steps) => {
      const all = [network, ...rows];
      const before = compiled(tablesAfter(all), cidrs);
      const tables = tablesAfter(all.slice(0, early));
      const after = new IpcacheCompiler(tables);
      after.adopt(dumpOf(before.entries), dumpOf(before.cidrs));
      const compile = after.update(tables.takeChanges(), cidrs);
      for (let step = 0; step < steps; step++) compile.next();
      for (const change of [...all.slice(early), syncEverything]) change(tables);
      finish(compile);
      const [held, ranges] = both(after);
      for (const address of Object.keys(read(before))) assert(address in held, `${address} was taken away`);
      for (const range of Object.keys(readCidrs(before))) assert(range in ranges, `${range} was taken away`);
      finish(after.update(tables.takeChanges(), cidrs));
      assert.deepEqual(both(after), both(before));
    }),
    { numRuns: 500 },
  );
});

const network: Change = (tables) => tables.setNetwork({ devices: [], ownAddresses: ["172.16.0.9"] });
const sync =
  (id: number, ...kinds: readonly Parameters<AgentTables["setSynced"]>[1][]): Change =>
  (tables) => {
    for (const kind of kinds) tables.setSynced(id, kind, true);
  };

test("an address of one cluster that is not complete survives another cluster's being complete", () => {
  const before = compiled(
    tablesAfter([
      (tables) => tables.putIp(OSAKA, "10.1.0.1", pod(301)),
      (tables) => tables.putIp(VIRGINIA, "10.1.0.2", pod(300)),
    ]),
  );
  const after = restarted(before, tablesAfter([sync(VIRGINIA.id, "ip")]));
  assert.deepEqual(read(after), { "10.1.0.1": "301/1" });
});

test("an address of a pod stays the pod's when only its node was said again, until all was said", () => {
  const node: Change = (tables) => tables.putNode(OSAKA, nodeOf(OSAKA, "n1", { addresses: [internal("172.16.1.1")] }));
  const before = compiled(tablesAfter([node, (tables) => tables.putIp(OSAKA, "172.16.1.1", pod(70_000))]));
  assert.deepEqual(read(before), { "172.16.1.1": "70000/1" });
  const tables = tablesAfter([node]);
  const after = restarted(before, tables);
  assert.deepEqual(read(after), { "172.16.1.1": "70000/1" });
  sync(OSAKA.id, "nodes", "ip")(tables);
  finish(after.update(tables.takeChanges()));
  assert.deepEqual(read(after), { "172.16.1.1": "6/1" });
});

const nodes: readonly Change[] = [
  (tables) => tables.setNetwork({ devices: [], ownAddresses: ["172.16.0.1"] }),
  (tables) => tables.putNode(OWN, nodeOf(OWN, "n1", { addresses: ["172.16.0.1", "192.0.2.1"].map(internal) })),
  (tables) => tables.putNode(OWN, nodeOf(OWN, "n2", { addresses: [internal("172.16.0.2")] })),
  (tables) =>
    tables.putNode(
      OSAKA,
      nodeOf(OSAKA, "n1", { addresses: [internal("172.16.1.1")], reservedAddresses: ["10.1.0.200"] }),
    ),
];

test("this node's addresses are the host, all other nodes' are remote nodes", () => {
  const expected = { "172.16.0.1": "1/2", "172.16.0.2": "6/2", "172.16.1.1": "6/1", "192.0.2.1": "1/2" };
  assert.deepEqual(read(compiled(tablesAfter(nodes))), expected);
  const tables = tablesAfter(nodes.toReversed());
  const compiler = compiled(tables);
  assert.deepEqual(read(compiler), expected);
  tables.setNetwork({ devices: [], ownAddresses: ["172.16.0.2"] });
  finish(compiler.update(tables.takeChanges()));
  assert.deepEqual(read(compiler), {
    "172.16.0.1": "6/2",
    "172.16.0.2": "1/2",
    "172.16.1.1": "6/1",
    "192.0.2.1": "6/2",
  });
});

test("S03: a reserved identity counts only where a node of the same cluster lists the address", () => {
  const tables = tablesAfter(nodes);
  const claims: readonly (readonly [string, number, boolean])[] = [
    ["10.1.0.200", 4, true],
    ["10.1.0.201", 4, false],
    ["10.1.0.202", 8, false],
    ["172.16.1.1", 6, true],
    ["172.16.1.2", 6, false],
    ["172.16.0.3", 6, false],
  ];
  for (const [address, identity] of claims) tables.putIp(OSAKA, address, pod(identity));
  const compiler = compiled(tables);
  for (const [address, identity, counts] of claims) {
    assert.equal(read(compiler)[address], counts ? `${identity}/1` : undefined, address);
  }
  assert.match(compiler.problems().join(), /^4 addresses are claimed .*\(10\.1\.0\.201, /);
  tables.putNode(OSAKA, nodeOf(OSAKA, "n2", { reservedAddresses: ["10.1.0.201", "10.1.0.202"] }));
  tables.putNode(VIRGINIA, nodeOf(VIRGINIA, "n1", { addresses: [internal("172.16.1.2")] }));
  finish(compiler.update(tables.takeChanges()));
  const now = read(compiler);
  assert.deepEqual([now["10.1.0.201"], now["10.1.0.202"], now["172.16.1.2"]], ["4/1", "8/1", "6/3"]);
});

test("another cluster cannot take an address of ours: not a node's, not a pod's, none inside our pod CIDRs", () => {
  const tables = tablesAfter(nodes);
  tables.putNode(OWN, nodeOf(OWN, "n3", { podCidrs: ["10.2.0.0/24"] }));
  tables.putIp(OWN, "10.2.0.1", pod(2 * 65536 + 300), "local-ip");
  for (const address of ["172.16.0.1", "172.16.0.2", "10.2.0.1", "10.2.0.9", "10.1.0.9"]) {
    tables.putIp(OSAKA, address, pod(65536 + 300));
  }
  tables.putNode(VIRGINIA, nodeOf(VIRGINIA, "n1", { addresses: ["10.2.0.8", "172.16.0.2"].map(internal) }));
  const compiler = compiled(tables);
  const taken = { "172.16.0.1": "1/2", "172.16.0.2": "6/2", "10.2.0.1": "131372/2", "10.1.0.9": "65836/1" };
  assert.deepEqual(read(compiler), { ...read(compiled(tablesAfter(nodes))), ...taken });
  assert.match(compiler.problems().join(), /^3 addresses/);
  tables.putNode(OWN, nodeOf(OWN, "n3"));
  finish(compiler.update(tables.takeChanges()));
  assert.deepEqual([read(compiler)["10.2.0.9"], read(compiler)["10.2.0.8"]], ["65836/1", "6/3"], "no longer ours");
  assert.deepEqual(compiler.problems(), []);
});

const podCidrs = (cluster: typeof OWN, ...cidrs: readonly string[]): Change => {
  return (tables) => tables.putNode(cluster, nodeOf(cluster, "n9", { podCidrs: cidrs }));
};

test("an address that goes together with a change of the own pod CIDRs goes", () => {
  const tables = tablesAfter([(tables) => tables.putIp(OSAKA, "10.1.0.1", pod(65836))]);
  const compiler = compiled(tables);
  tables.remove(OSAKA.name, "ip", "10.1.0.1");
  podCidrs(OWN, "10.2.0.0/16")(tables);
  finish(compiler.update(tables.takeChanges()));
  assert.deepEqual(read(compiler), {});
});

test("pod CIDRs are claimed; what a policy names inside one is claimed too, outside it is an identity", () => {
  const tables = tablesAfter([podCidrs(OWN, "10.2.0.0/16", "fd00:2::/48"), podCidrs(OSAKA, "10.1.0.0/16")]);
  const cidrs = new Map(
    [
      ["10.0.0.0/8", 7],
      ["10.1.2.0/24", 8],
      ["192.0.2.0/24", 9],
    ].map(([cidr, at]) => [`${cidr}`, Number(at)]),
  );
  const compiler = compiled(tables, cidrs);
  const claims = { "10.1.0.0/16": "claimed", "10.2.0.0/16": "claimed", "fd00:2::/48": "claimed" };
  assert.deepEqual(readCidrs(compiler), { ...claims, "10.0.0.0/8": 7, "10.1.2.0/24": "claimed", "192.0.2.0/24": 9 });
  tables.remove(OSAKA.name, "nodes", "n9");
  cidrs.delete("192.0.2.0/24");
  finish(compiler.update(tables.takeChanges(), cidrs));
  const { "10.1.0.0/16": _, ...left } = claims;
  assert.deepEqual(readCidrs(compiler), { ...left, "10.0.0.0/8": 7, "10.1.2.0/24": 8 });
});

test("a range of IPv6 that holds the mapped addresses does not answer for IPv4", () => {
  assert.deepEqual(readCidrs(compiled(tablesAfter([]), new Map([["::/0", 7]]))), { "::/0": 7, "0.0.0.0/0": 0 });
  const both = new Map([
    ["::/0", 7],
    ["0.0.0.0/0", 8],
  ] as const);
  assert.deepEqual(readCidrs(compiled(tablesAfter([]), both)), { "::/0": 7, "0.0.0.0/0": 8 });
});

test("pod CIDRs of another cluster that overlap ours, or are too wide, are not programmed and named", () => {
  const tables = tablesAfter([...nodes, podCidrs(OWN, "10.2.0.0/16")]);
  const bad = [
    "10.2.3.0/24",
    "10.0.0.0/8",
    "172.16.0.0/24",
    "192.0.2.0/30",
    "128.0.0.0/7",
    "fc00::/15",
    "::8000:0:0/81",
  ];
  podCidrs(OSAKA, "10.1.0.0/16", ...bad)(tables);
  const compiler = compiled(tables);
  assert.deepEqual(readCidrs(compiler), { "10.2.0.0/16": "claimed", "10.1.0.0/16": "claimed" });
  const lines = compiler.problems();
  assert.equal(lines.length, bad.length);
  for (const cidr of bad)
    assert(lines.some((line) => line.startsWith(`cluster osaka, node n9: pod CIDR ${cidr} is ignored`)));
});

test("claimed CIDRs stay over a restart until the nodes of every cluster that was there are known", () => {
  const first = [podCidrs(OWN, "10.2.0.0/16"), podCidrs(OSAKA, "10.1.0.0/16"), ...nodes];
  const before = compiled(tablesAfter(first));
  const tables = tablesAfter([sync(OWN.id, "nodes", "ip")]);
  const after = restarted(before, tables);
  const now = (...later: readonly Change[]) => {
    for (const change of later) change(tables);
    finish(after.update(tables.takeChanges()));
    return [Object.keys(readCidrs(after)), Object.keys(read(after))];
  };
  const [cidrs = [], addresses = []] = now();
  assert.equal(cidrs.length, 2);
  assert.deepEqual(addresses, ["172.16.0.1", "172.16.1.1", "192.0.2.1"], "the host's stay until the network was read");
  assert.deepEqual(now(network), [cidrs, ["172.16.0.9", "172.16.1.1"]]);
  assert.deepEqual(now(sync(OSAKA.id, "nodes", "ip")), [[], ["172.16.0.9"]]);
});
