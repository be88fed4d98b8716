import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster } from "../../src/model/cluster.ts";
import type { LocalService, ServicePort } from "../../src/model/resource.ts";
import { MOST_PER_CLUSTER, TargetChoice } from "../../src/probe/targets.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";

const http: readonly ServicePort[] = [{ name: "http", protocol: "TCP", port: 80 }];
const dns: readonly ServicePort[] = [{ name: "dns", protocol: "UDP", port: 53 }];

function tablesOf(local: Partial<LocalService> = {}): AgentTables {
  const tables = new AgentTables(OWN);
  const named = { namespace: "shop", name: "web", frontends: new Map([["10.9.0.1", http]]), backends: new Map() };
  tables.putLocalService({ ...named, global: true, shared: true, affinity: "none", ...local });
  return tables;
}

function offer(tables: AgentTables, cluster: Cluster, count: number, ports = http, shared = true): void {
  const addresses = Array.from({ length: count }, (_, index) => `10.${cluster.id}.0.${index + 1}`);
  const empty = { frontends: new Map(), labels: new Map(), selector: new Map(), namespace: "shop", name: "web" };
  const backends = new Map(addresses.map((address) => [address, ports]));
  tables.putClusterService(cluster, { ...empty, cluster: cluster.name, clusterId: cluster.id, backends, shared });
}

const none = () => false;

const counts = (tables: AgentTables, most = 20) =>
  Object.fromEntries(
    new TargetChoice(tables, "n1", most).choose(none).map(({ name, targets }) => [name, targets.size]),
  );

test("TCP backends that a global service here may use, a few of each cluster", () => {
  const tables = tablesOf();
  offer(tables, OSAKA, 100);
  offer(tables, VIRGINIA, 1);
  assert.deepEqual(counts(tables), { osaka: MOST_PER_CLUSTER, virginia: 1 });
  assert.deepEqual(counts(tables, 2), { osaka: 1, virginia: 1 });
});

test("UDP, what is not shared, and services that are not global here give no target, but the cluster is named", () => {
  const udp = tablesOf();
  offer(udp, OSAKA, 3, dns);
  offer(udp, VIRGINIA, 3, http, false);
  assert.deepEqual(counts(udp), { osaka: 0, virginia: 0 });
  const local = tablesOf({ global: false });
  offer(local, OSAKA, 3);
  assert.deepEqual(counts(local), { osaka: 0 });
});

test("never more than asked for, with a hundred clusters", () => {
  const tables = tablesOf();
  for (let id = 10; id < 110; id++) offer(tables, { name: `c${id}`, id }, 5);
  const total = (most: number): number => Object.values(counts(tables, most)).reduce((sum, count) => sum + count, 0);
  assert.deepEqual([total(20), total(7), total(1)], [20, 7, 1]);
});

test("nodes spread over the backends; a node keeps its targets when others come", () => {
  const tables = tablesOf();
  offer(tables, OSAKA, 40);
  const of = (node: string) => [...(new TargetChoice(tables, node, 20).choose(none)[0]?.targets.keys() ?? [])];
  const nodes = Array.from({ length: 40 }, (_, index) => `n${index}`);
  assert(new Set(nodes.flatMap(of)).size > 30);
  const before = new Map(nodes.map((node) => [node, of(node)]));
  offer(tables, OSAKA, 41);
  for (const node of nodes) {
    assert((before.get(node) ?? []).filter((key) => of(node).includes(key)).length >= MOST_PER_CLUSTER - 1, node);
  }
});

test("targets that never answered make room for others; when all were tried, they begin anew", () => {
  const tables = tablesOf();
  offer(tables, OSAKA, 10);
  const choice = new TargetChoice(tables, "n1", 20);
  const tried = [1, 2, 3].map(() => {
    const keys = [...(choice.choose(none)[0]?.targets.keys() ?? [])];
    choice.passOver(OSAKA, keys);
    return keys;
  });
  assert.deepEqual(
    tried.map((keys) => keys.length),
    [4, 4, 2],
  );
  assert.equal(new Set(tried.flat()).size, 10);
  assert.deepEqual([...(choice.choose(none)[0]?.targets.keys() ?? [])], tried[0]);
});

test("one that answered is kept while others that never did are replaced", () => {
  const tables = tablesOf();
  offer(tables, OSAKA, 30);
  const choice = new TargetChoice(tables, "n1", 20);
  const [good] = choice.choose(none)[0]?.targets.keys() ?? [];
  assert(good);
  for (let round = 0; round < 40; round++) {
    const keys = [...(choice.choose(none)[0]?.targets.keys() ?? [])];
    assert(keys.includes(good), `round ${round}`);
    choice.passOver(
      OSAKA,
      keys.filter((key) => key !== good),
    );
  }
});

test("one that answered stays when others come that rank above it", () => {
  const tables = tablesOf();
  offer(tables, OSAKA, 4);
  const choice = new TargetChoice(tables, "n1", 20);
  const before = [...(choice.choose(none)[0]?.targets.keys() ?? [])];
  offer(tables, OSAKA, 200);
  const proved = (_: string, key: string) => before.includes(key);
  assert.deepEqual([...(choice.choose(proved)[0]?.targets.keys() ?? [])], before);
  assert.notDeepEqual([...(choice.choose(none)[0]?.targets.keys() ?? [])], before);
});
