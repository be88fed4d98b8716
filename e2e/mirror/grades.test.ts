/** What a node hears of the remotes, from a real mirror over a real etcd. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Ingest } from "../../src/ingest/ingest.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { RealCluster } from "./cluster.ts";
import { Stage, until } from "./stage.ts";

const PODS = 100;

let stage: Stage;
const over = new AbortController();
afterEach(async () => {
  over.abort();
  await stage.end();
});

/** What an agent on a node of amsterdam follows. */
function follow(): Ingest {
  const ingest = new Ingest({
    kv: stage.kv,
    tables: new AgentTables({ name: "amsterdam", id: 1 }),
    maxParked: 1_000,
    recheckIntervalMs: 30_000,
    restoredConfirmMs: 60_000,
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    metrics: new Metrics(),
    signal: over.signal,
    pageSize: 1_000,
    progressIntervalMs: 200,
    progressTimeoutMs: 2_000,
    backoff: { baseMs: 50, capMs: 500 },
    changed: () => undefined,
  });
  void ingest.run();
  return ingest;
}

test("a node hears that a remote is fresh, then not; that the mirror is silent, then talks again; its tables stay as they are", async () => {
  stage = await Stage.start();
  const osaka = await RealCluster.populated("osaka", 2, PODS);
  stage.configure(osaka);
  const mirror = stage.mirror();
  await stage.mirrored(osaka, PODS);
  const node = follow();
  const hears = (word: string): Promise<true> =>
    until(word, () => {
      const { controlPlane, remotes } = node.peers();
      return `${controlPlane} ${remotes.map(({ grade }) => grade)}` === word || undefined;
    });
  await hears("talking fresh");
  const held = await stage.held("bulkhead/v1/peers/");
  assert.deepEqual([...held.keys()], ["bulkhead/v1/peers/detail/osaka", "bulkhead/v1/peers/grades"]);
  for (const [key, { leaseId }] of held) assert.equal(leaseId, 0n, key);
  const before = await stage.fingerprint(osaka);
  osaka.server.stop();
  await hears("talking suspect");
  await hears("talking stale");
  await mirror.kill();
  await hears("silent unknown");
  mirror.start();
  await hears("talking unproven");
  osaka.server.cont();
  await hears("talking fresh");
  assert.equal(await stage.fingerprint(osaka), before);
});
