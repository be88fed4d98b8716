import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import type { Cluster } from "../../src/model/cluster.ts";
import type { LocalService } from "../../src/model/resource.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { type DesiredMap, keyBytes } from "../../src/tables/desired-map.ts";
import { OSAKA, OWN, rowChange, syncChange, tablesAfter, VIRGINIA } from "../tables/world.ts";
import { readBackends, readTables } from "./entries.ts";

const MAGLEV = { algorithm: "maglev", tableSize: 251 } as const;
/** Small, for there are many. */
const SMALL = { algorithm: "maglev", tableSize: 13 } as const;
const FRONTEND = "10.9.0.1:80/TCP";
const HTTP = [{ name: "http", protocol: "TCP" as const, port: 80 }];
const BACKENDS: Readonly<Record<string, readonly string[]>> = {
  amsterdam: ["10.2.0.1", "10.2.0.2"],
  osaka: ["10.1.0.7", "10.1.0.3"],
  virginia: ["10.3.0.1"],
};
const NAMED = { namespace: "billing", name: "ledger", shared: true };

const tablesOf = ({ entries }: ServiceCompiler) => readTables(entries.services.entries(), entries.backends.entries());
const dumpOf = (map: DesiredMap) => [...map.entries()].map(([key, value]) => [keyBytes(key), value] as const);
const backendsOf = ({ name }: Cluster) => new Map((BACKENDS[name] ?? []).map((address) => [address, HTTP]));

/** What the cluster of `tables` says of its own service. */
function say(tables: AgentTables, more: Partial<LocalService> = {}): void {
  const service = { ...NAMED, global: true, affinity: "none", frontends: new Map([["10.9.0.1", HTTP]]) } as const;
  tables.putLocalService({ ...service, backends: backendsOf(tables.own), ...more });
}

/** A node in `own` that heard of the clusters' backends in this order. */
function nodeIn(own: Cluster, order: readonly Cluster[]): { compiler: ServiceCompiler; tables: AgentTables } {
  const tables = new AgentTables(own);
  const compiler = new ServiceCompiler(tables, MAGLEV);
  for (const cluster of order) {
    const empty = { frontends: new Map(), labels: new Map(), selector: new Map() };
    const said = { ...NAMED, ...empty, cluster: cluster.name, clusterId: cluster.id, backends: backendsOf(cluster) };
    if (cluster === own) say(tables);
    else tables.putClusterService(cluster, said);
    compiler.update(tables.takeChanges());
  }
  return { compiler, tables };
}

test("the table is the same in every cluster, whatever came first and whatever the ids", () => {
  const nodes = [
    nodeIn(OWN, [OWN, OSAKA, VIRGINIA]),
    nodeIn(OWN, [VIRGINIA, OSAKA, OWN]),
    nodeIn(OSAKA, [VIRGINIA, OWN, OSAKA]),
    nodeIn(VIRGINIA, [OSAKA, VIRGINIA, OWN]),
  ].map(({ compiler }) => compiler);
  const found = nodes.map((node) => tablesOf(node).get(FRONTEND));
  assert.equal(found[0]?.length, 251);
  assert.equal(new Set(found[0]).size, 5);
  for (const slots of found) assert.deepEqual(slots, found[0]);
  const told = nodes.map((node) => node.status()[0]?.tables);
  assert.deepEqual([told[0]?.[0]?.frontend, told[0]?.[0]?.slots], [FRONTEND, 251]);
  for (const tables of told) assert.deepEqual(tables, told[0]);
  const ids = nodes.map(({ entries }) => [...readBackends(entries.backends.entries())].join());
  assert(new Set(ids).size > 1, "what is equal is not the ids");
});

test("weights of clusters are shares of the table", () => {
  const { compiler, tables } = nodeIn(OWN, [OWN, OSAKA]);
  const routing = { prefer: [], weights: new Map([["osaka", 50]]), spillBelow: 0, unready: 0 };
  const before = compiler.status()[0]?.tables?.[0]?.hash;
  say(tables, { routing });
  compiler.update(tables.takeChanges());
  const slots = tablesOf(compiler).get(FRONTEND) ?? [];
  assert.equal(slots.length, 251);
  const osaka = slots.filter((text) => text.startsWith(`${OSAKA.id}|`)).length;
  assert(Math.abs(osaka - 251 / 3) < 3, `${osaka} slots at half the weight`);
  assert.notEqual(compiler.status()[0]?.tables?.[0]?.hash, before);
});

test("the service's word goes before the agent's, and what it was before comes back", () => {
  const { compiler, tables } = nodeIn(OWN, [OWN, OSAKA, VIRGINIA]);
  const before = tablesOf(compiler);
  say(tables, { algorithm: "random" });
  compiler.update(tables.takeChanges());
  assert.equal(tablesOf(compiler).get(FRONTEND)?.length, 5);
  assert.equal(compiler.status()[0]?.tables, undefined);
  say(tables, { sessionAffinitySeconds: 9 });
  compiler.update(tables.takeChanges());
  assert.deepEqual(tablesOf(compiler), before);
  tables.remove(OWN.name, "services", `${NAMED.namespace}/${NAMED.name}`);
  compiler.update(tables.takeChanges());
  assert.equal(compiler.entries.services.size, 0);
});

test("one backend that goes: few entries of the others are written", () => {
  const { compiler, tables } = nodeIn(OWN, [OWN, OSAKA, VIRGINIA]);
  const slots = tablesOf(compiler).get(FRONTEND) ?? [];
  const gone = slots.filter((text) => text.includes("10.2.0.2:")).length;
  compiler.entries.services.takeChanged();
  say(tables, { backends: new Map([["10.2.0.1", HTTP]]) });
  compiler.update(tables.takeChanges());
  const changed = compiler.entries.services.takeChanged().size;
  assert(changed >= gone && changed < gone + 30, `${changed} entries for ${gone} slots`);
});

test("incremental equals full, and an agent that restarts finds every slot where it would put it", () => {
  const anyChange = fc.oneof({ weight: 6, arbitrary: rowChange }, { weight: 1, arbitrary: syncChange });
  fc.assert(
    fc.property(fc.array(fc.array(anyChange, { maxLength: 4 }), { maxLength: 6 }), (rounds) => {
      const tables = tablesAfter([]);
      const incremental = new ServiceCompiler(tables, SMALL);
      for (const round of rounds) {
        for (const change of round) change(tables);
        incremental.update(tables.takeChanges());
      }
      const now = tablesAfter(rounds.flat());
      const full = new ServiceCompiler(now, SMALL);
      full.update(now.takeChanges());
      assert.deepEqual(tablesOf(full), tablesOf(incremental));
      assert.deepEqual(full.status(), incremental.status());
      const later = tablesAfter(rounds.flat());
      const restarted = new ServiceCompiler(later, SMALL);
      const { services, backends } = incremental.entries;
      restarted.adopt(dumpOf(services), dumpOf(backends));
      assert.deepEqual(new Map(restarted.entries.services.entries()), new Map(services.entries()));
      restarted.entries.services.takeChanged();
      restarted.update(later.takeChanges());
      assert.equal(restarted.entries.services.takeChanged().size, 0);
    }),
    { numRuns: 200 },
  );
});
