import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import { decodeFrontendValue, encodeServiceKey, encodeServiceValue } from "../../src/maps/service-map.ts";
import { parseAddress } from "../../src/model/address.ts";
import type { LocalService } from "../../src/model/resource.ts";
import type { AgentTables } from "../../src/tables/agent-tables.ts";
import { type DesiredMap, entryKey, keyBytes } from "../../src/tables/desired-map.ts";
import { serviceName } from "../../src/tables/tables-view.ts";
import {
  type Change,
  clusterServices,
  drainChange,
  localServices,
  OSAKA,
  rowChange,
  rowChanges,
  syncChange,
  syncEverything,
  tablesAfter,
  VIRGINIA,
} from "../tables/world.ts";
import { readBackends, readFrontends } from "./entries.ts";

const frontendsOf = ({ entries }: ServiceCompiler) =>
  readFrontends(entries.services.entries(), entries.backends.entries());
const bytesOf = (map: DesiredMap) => [...map.entries()].sort(([left], [right]) => (left < right ? -1 : 1));
const dumpOf = (map: DesiredMap) => [...map.entries()].map(([key, value]) => [keyBytes(key), value] as const);

function compiled(tables: AgentTables): ServiceCompiler {
  const compiler = new ServiceCompiler(tables);
  compiler.update(tables.takeChanges());
  return compiler;
}

/** The agent restarted: it reads the maps of `before`, then the tables. */
function restarted(before: ServiceCompiler, tables: AgentTables): ServiceCompiler {
  const compiler = new ServiceCompiler(tables);
  compiler.adopt(dumpOf(before.entries.services), dumpOf(before.entries.backends));
  compiler.update(tables.takeChanges());
  return compiler;
}

test("incremental equals full, and every state on the way is valid", () => {
  const anyChange = fc.oneof({ weight: 6, arbitrary: rowChange }, { weight: 1, arbitrary: syncChange });
  fc.assert(
    fc.property(fc.array(fc.array(anyChange, { maxLength: 4 }), { maxLength: 8 }), (rounds) => {
      const tables = tablesAfter([]);
      const incremental = new ServiceCompiler(tables);
      for (const round of rounds) {
        for (const change of round) change(tables);
        incremental.update(tables.takeChanges());
        frontendsOf(incremental);
      }
      assert.deepEqual(frontendsOf(incremental), frontendsOf(compiled(tablesAfter(rounds.flat()))));
    }),
    { numRuns: 400 },
  );
});

/** Of one service: mostly its backends, in one cluster. */
const oneServiceChange: fc.Arbitrary<(service: LocalService) => Change> = fc.oneof(
  { weight: 4, arbitrary: localServices.map(({ backends }) => ownChange((service) => ({ ...service, backends }))) },
  {
    weight: 6,
    arbitrary: clusterServices.map((remote) => ({ namespace, name }: LocalService): Change => {
      const cluster = { name: remote.cluster, id: remote.clusterId };
      return (tables) => tables.putClusterService(cluster, { ...remote, namespace, name, shared: true });
    }),
  },
  localServices.map(({ affinity, global }) => ownChange((service) => ({ ...service, affinity, global }))),
  drainChange.map((change) => () => change),
);

function ownChange(edit: (service: LocalService) => LocalService): (service: LocalService) => Change {
  return (service) => (tables) => tables.putLocalService(edit(tables.localService(serviceName(service)) ?? service));
}

test("backends of one service come and go: incremental equals full", () => {
  fc.assert(
    fc.property(localServices, fc.array(oneServiceChange, { minLength: 2, maxLength: 8 }), (service, rounds) => {
      const changes = [ownChange((same) => same), ...rounds].map((change) => change(service));
      const tables = tablesAfter([]);
      const incremental = new ServiceCompiler(tables);
      for (const [index, change] of changes.entries()) {
        change(tables);
        incremental.update(tables.takeChanges());
        assert.deepEqual(frontendsOf(incremental), frontendsOf(compiled(tablesAfter(changes.slice(0, index + 1)))));
      }
    }),
    { numRuns: 300 },
  );
});

const demotionsOf = (ids: readonly number[]) => new Map(ids.map((id) => [id, "demoted"]));
const demotedIds = fc.subarray([OSAKA.id, VIRGINIA.id]);

test("demoting clusters and taking it back: incremental equals full, and no frontend is left without backends by it", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(rowChanges, demotedIds), { minLength: 1, maxLength: 6 }), (rounds) => {
      const tables = tablesAfter([]);
      const incremental = new ServiceCompiler(tables);
      for (const [changes, ids] of rounds) {
        for (const change of changes) change(tables);
        incremental.update(tables.takeChanges(), demotionsOf(ids));
        frontendsOf(incremental);
      }
      const all = tablesAfter(rounds.flatMap(([changes]) => changes));
      const full = new ServiceCompiler(all);
      const ids = rounds.at(-1)?.[1] ?? [];
      full.update(all.takeChanges(), demotionsOf(ids));
      assert.deepEqual(frontendsOf(incremental), frontendsOf(full));
      const plain = frontendsOf(compiled(tablesAfter(rounds.flatMap(([changes]) => changes))));
      for (const [frontend, backends] of frontendsOf(full)) {
        assert.equal(backends.length > 0, (plain.get(frontend)?.length ?? 0) > 0, frontend);
        const dead = backends.filter((backend) => ids.some((id) => backend.startsWith(`${id}|`)));
        assert(dead.length === 0 || dead.length === backends.length, `${frontend}: ${backends.join(" ")}`);
      }
    }),
    { numRuns: 400 },
  );
});

test("the same tables over the same kernel give the same bytes: a restart changes nothing", () => {
  fc.assert(
    fc.property(rowChanges, (changes) => {
      const before = compiled(tablesAfter(changes));
      const after = restarted(before, tablesAfter([...changes, syncEverything]));
      assert.deepEqual(bytesOf(after.entries.services), bytesOf(before.entries.services));
      assert.deepEqual(bytesOf(after.entries.backends), bytesOf(before.entries.backends));
    }),
    { numRuns: 300 },
  );
});

test("a restart before anything is known keeps all; once all is known nothing old is left", () => {
  fc.assert(
    fc.property(rowChanges, rowChanges, (changes, later) => {
      const before = compiled(tablesAfter(changes));
      const tables = tablesAfter([]);
      const after = restarted(before, tables);
      assert.deepEqual(frontendsOf(after), frontendsOf(before));
      for (const change of [...changes, ...later, syncEverything]) change(tables);
      // Somebody looks just before: looking changes nothing.
      after.status();
      after.update(tables.takeChanges());
      assert.deepEqual(frontendsOf(after), frontendsOf(compiled(tablesAfter([...changes, ...later]))));
      assert.equal(after.retainedClusters().size, 0);
    }),
    { numRuns: 300 },
  );
});

test("a restart that knows a part keeps the backends of clusters that have not spoken", () => {
  fc.assert(
    fc.property(rowChanges, fc.array(rowChange, { maxLength: 6 }), (changes, known) => {
      const before = compiled(tablesAfter(changes));
      const after = restarted(before, tablesAfter(known));
      const claimed = new Set(frontendsOf(compiled(tablesAfter(known))).keys());
      for (const [frontend, backends] of frontendsOf(before)) {
        if (!claimed.has(frontend)) assert.deepEqual(frontendsOf(after).get(frontend), backends);
      }
    }),
    { numRuns: 300 },
  );
});

test("an id is never given to a second backend", () => {
  fc.assert(
    fc.property(fc.array(rowChanges, { maxLength: 8 }), (rounds) => {
      const tables = tablesAfter([]);
      const compiler = new ServiceCompiler(tables);
      const meaning = new Map<number, string>();
      for (const round of rounds) {
        for (const change of round) change(tables);
        compiler.update(tables.takeChanges());
        for (const [id, backend] of readBackends(compiler.entries.backends.entries())) {
          assert.equal(meaning.get(id) ?? backend, backend, `id ${id}`);
          meaning.set(id, backend);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("of two clusters that claim an address, the one that has not spoken again keeps it over a restart", () => {
  const http = [{ name: "http", protocol: "TCP" as const, port: 80 }];
  const named = { namespace: "shop", name: "web", shared: true };
  const own: Change = (tables) => {
    const [frontends, backends] = [new Map([["10.9.0.1", http]]), new Map()];
    tables.putLocalService({ ...named, frontends, backends, global: true, affinity: "none" });
  };
  const offer =
    (cluster: typeof OSAKA): Change =>
    (tables) => {
      const offered = { ...named, frontends: new Map(), backends: new Map([["10.1.0.1", http]]) };
      const said = { labels: new Map(), selector: new Map() };
      tables.putClusterService(cluster, { ...offered, ...said, cluster: cluster.name, clusterId: cluster.id });
    };
  assert(OSAKA.id < VIRGINIA.id);
  const before = compiled(tablesAfter([own, offer(OSAKA), offer(VIRGINIA)]));
  const after = restarted(before, tablesAfter([own, offer(VIRGINIA)]));
  assert.deepEqual(bytesOf(after.entries.services), bytesOf(before.entries.services));
  assert.deepEqual(bytesOf(after.entries.backends), bytesOf(before.entries.backends));
});

test("ids go on after the largest that any slot names, also one without a backend", () => {
  const tables = tablesAfter([]);
  const compiler = new ServiceCompiler(tables);
  const address = parseAddress("10.9.0.9") as Uint8Array;
  const entry = (slot: number, backendId: number, count: number) =>
    [encodeServiceKey({ address, port: 80, slot, protocol: 6 }), encodeServiceValue({ backendId, count })] as const;
  compiler.adopt([entry(0, 0, 1), entry(1, 7, 0)], []);
  compiler.entries.place({ address: "10.9.0.1", port: 80, protocol: "TCP" }, [
    { address: "10.1.0.1", port: 80, protocol: "TCP", portName: "", cluster: "osaka", clusterId: 1, own: false },
  ]);
  assert.deepEqual([...readBackends(compiler.entries.backends.entries()).keys()], [8]);
});

test("session affinity is the frontend's, from the first word about it until the last, over restarts too", () => {
  const ports = [{ name: "http", protocol: "TCP" as const, port: 80 }];
  const service =
    (more: object): Change =>
    (tables) =>
      tables.putLocalService({
        ...{ namespace: "billing", name: "ledger", global: true, shared: true, affinity: "none", ...more },
        frontends: new Map([["10.9.0.1", ports]]),
        backends: new Map([["10.2.0.1", ports]]),
      });
  const keyBase = { address: parseAddress("10.9.0.1") as Uint8Array, port: 80, protocol: 6 };
  const frontendOf = ({ entries }: ServiceCompiler) => {
    const value = entries.services.get(entryKey(encodeServiceKey({ ...keyBase, slot: 0 })));
    return value && decodeFrontendValue(value);
  };
  const tables = tablesAfter([service({ sessionAffinitySeconds: 60 })]);
  const compiler = compiled(tables);
  assert.deepEqual(frontendOf(compiler), { affinitySeconds: 60, algorithm: "random", count: 1 });
  const after = restarted(compiler, tablesAfter([]));
  assert.deepEqual(
    frontendOf(after),
    { affinitySeconds: 60, algorithm: "random", count: 1 },
    "kept before anybody speaks of it",
  );
  assert.deepEqual([...readBackends(after.entries.backends.entries()).keys()], [1], "seconds are no backend's id");
  service({})(tables);
  compiler.update(tables.takeChanges());
  assert.deepEqual(frontendOf(compiler), { affinitySeconds: 0, algorithm: "random", count: 1 });
  service({ sessionAffinitySeconds: 9 })(tables);
  compiler.update(tables.takeChanges());
  assert.deepEqual(frontendOf(compiler), { affinitySeconds: 9, algorithm: "random", count: 1 });
});

test("backends of a cluster that has not spoken stay; its first word about the service replaces them for good", () => {
  const ports = [{ name: "http", protocol: "TCP" as const, port: 80 }];
  const local: Change = (tables) =>
    tables.putLocalService({
      ...{ namespace: "billing", name: "ledger", global: true, shared: true, affinity: "none" },
      frontends: new Map([["10.9.0.1", ports]]),
      backends: new Map([["10.2.0.1", ports]]),
    });
  const osaka =
    (address: string): Change =>
    (tables) =>
      tables.putClusterService(OSAKA, {
        ...{ cluster: OSAKA.name, clusterId: OSAKA.id, namespace: "billing", name: "ledger", shared: true },
        ...{ frontends: new Map(), labels: new Map(), selector: new Map() },
        backends: new Map([[address, ports]]),
      });
  const before = compiled(tablesAfter([local, osaka("10.1.0.1")]));
  const tables = tablesAfter([local]);
  const after = restarted(before, tables);
  const now = () => {
    after.update(tables.takeChanges());
    return frontendsOf(after).get("10.9.0.1:80/TCP");
  };
  assert.deepEqual(now(), ["1|10.1.0.1:80/TCP", "2|10.2.0.1:80/TCP"]);
  assert.deepEqual([...after.retainedClusters()], [OSAKA.id]);
  assert.match(after.status()[0]?.backends[1]?.why ?? "", /kept from the kernel/);
  osaka("10.1.0.2")(tables);
  assert.deepEqual(now(), ["1|10.1.0.2:80/TCP", "2|10.2.0.1:80/TCP"]);
  tables.remove(OSAKA.name, "services", "billing/ledger");
  assert.deepEqual(now(), ["2|10.2.0.1:80/TCP"]);
  assert.equal(after.retainedClusters().size, 0);
});
