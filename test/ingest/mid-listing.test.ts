/** A listing is compiled while it is read: an agent that starts again must not change what it has not read yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ingest } from "../../src/ingest/ingest.ts";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import type { Routing } from "../../src/model/resource.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { type DesiredMap, keyBytes } from "../../src/tables/desired-map.ts";
import { encodeLocalService } from "../../src/wire/local-service.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";
import { LocalEtcd, SETTLE_MS } from "./stage.ts";

const HTTP = [{ name: "http", protocol: "TCP" as const, port: 80 }];
const PAGE_SIZE = 3;
const PLAIN: Routing = { prefer: [], weights: new Map(), spillBelow: 0, unready: 0 };

const dumpOf = (map: DesiredMap) => [...map.entries()].map(([key, value]) => [keyBytes(key), value] as const);

/** An agent's services until all is listed; how many entries each compile changed. */
async function started(local: LocalEtcd, before?: ServiceCompiler) {
  const over = new AbortController();
  const tables = new AgentTables(OWN);
  const compiler = new ServiceCompiler(tables);
  if (before !== undefined) compiler.adopt(dumpOf(before.entries.services), dumpOf(before.entries.backends));
  const maps = [compiler.entries.services, compiler.entries.backends];
  for (const map of maps) map.takeChanged();
  const changed: number[] = [];
  const ingest = new Ingest({
    ...{ kv: local.etcd.client(), tables, maxParked: 100, recheckIntervalMs: 30_000, restoredConfirmMs: 60_000 },
    ...{ clock: local.clock, random: seededRandom(7), log: silentLogger, metrics: new Metrics(), signal: over.signal },
    ...{ pageSize: PAGE_SIZE, progressIntervalMs: 100, progressTimeoutMs: 500, backoff: { baseMs: 50, capMs: 500 } },
    changed: () => {
      compiler.update(tables.takeChanges());
      changed.push(maps.reduce((sum, map) => sum + map.takeChanged().size, 0));
    },
  });
  const running = ingest.run();
  await local.clock.advance(SETTLE_MS);
  over.abort();
  await local.clock.settle(running);
  return { compiler, changed };
}

for (const [what, routing] of [
  ["no preference", PLAIN],
  ["a weight for the cluster that comes last", { ...PLAIN, weights: new Map([["virginia", 30]]) }],
  ["a preference for the cluster that comes last", { ...PLAIN, prefer: ["virginia"] }],
] as const) {
  test(`${what}: an agent that starts again changes nothing, page by page`, async () => {
    const local = new LocalEtcd(OWN);
    for (const [cluster, addresses] of [
      [OWN, "10.2.0"],
      [OSAKA, "10.1.0"],
      [VIRGINIA, "10.3.0"],
    ] as const) {
      local.cluster(cluster, addresses);
    }
    for (let other = 0; other < 12; other++) local.service(OSAKA, `a${other}`, `10.1.1.${other}`);
    const addressed = (address: string) => new Map([[address, HTTP]]);
    const [frontends, backends] = [addressed("10.9.0.1"), addressed("10.2.0.1")];
    const flags = { shared: true, global: true, affinity: "none", routing } as const;
    const value = encodeLocalService({ namespace: "shop", name: "web", frontends, backends, ...flags });
    local.put(local.serviceKey(OWN, "web"), value);
    const { compiler, changed } = await started(local);
    assert(changed.length > 4 && changed.some((count) => count > 0), "compiled more than once");
    const again = await started(local, compiler);
    assert(again.changed.length > 4);
    assert.deepEqual(new Set(again.changed), new Set([0]));
  });
}
