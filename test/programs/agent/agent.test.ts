import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryKernel } from "../../../src/kernel/memory.ts";
import { SOCK_LB_OBJECT } from "../../../src/maps/objects.ts";
import { Agent } from "../../../src/programs/agent/agent.ts";
import { agentSettings } from "../../../src/programs/agent/settings.ts";
import { silentLogger } from "../../../src/runtime/log.ts";
import { Metrics } from "../../../src/runtime/metrics.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { LocalEtcd } from "../../ingest/stage.ts";
import { OSAKA, OWN, VIRGINIA } from "../../tables/world.ts";

const settings = agentSettings.parse({
  cluster: OWN.name,
  clusterId: OWN.id,
  node: "n1",
  etcdConfig: "unused",
  cgroup: "/cgroup",
  bpfDir: "/bpf/n1",
  progressIntervalMs: 100,
  progressTimeoutMs: 500,
});

function world() {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  local.cluster(VIRGINIA, "10.3.0");
  return { local, kernel: new MemoryKernel(SOCK_LB_OBJECT.programs) };
}

async function start({ local, kernel }: ReturnType<typeof world>, changed: Partial<typeof settings> = {}) {
  const over = new AbortController();
  const metrics = new Metrics();
  const doors = {
    kernel,
    kv: local.etcd.client(),
    clock: local.clock,
    random: seededRandom(3),
    log: silentLogger,
    metrics,
  };
  const agent = await local.clock.settle(Agent.start({ ...settings, ...changed }, doors, over.signal));
  const running = agent.run(over.signal);
  await local.clock.advance(500);
  return {
    agent,
    metrics,
    async crash() {
      over.abort();
      await local.clock.settle(running);
    },
  };
}

const usedBackends = (agent: Agent) =>
  agent.status().services.flatMap(({ backends }) => backends.filter(({ used }) => used).map(({ address }) => address));

test("follows the local etcd into the maps, and says what it did", async () => {
  const { agent, metrics, crash } = await start(world());
  const { synced, connected, written, removed, adopted, maps, problems } = agent.status();
  assert.deepEqual([synced, connected, problems], [true, true, []]);
  assert.deepEqual(
    maps.map(({ name, entries }) => [name, entries]),
    [
      ["services", 4],
      ["backends", 3],
      ["ipcache", 3],
    ],
  );
  assert.deepEqual([written, removed, adopted], [10, 0, 0]);
  assert.deepEqual(agent.ready(), { ready: true, detail: "synced" });
  assert.deepEqual(usedBackends(agent), ["10.2.0.1:80/TCP", "10.1.0.1:80/TCP", "10.3.0.1:80/TCP"]);
  assert.match(await metrics.text(), /bulkhead_map_entries\{map="services"\} 4/);
  await crash();
});

test("P02: restarted with every etcd down it serves what the maps hold, and rewrites nothing when the etcd returns", async () => {
  const mesh = world();
  await (await start(mesh)).crash();
  mesh.local.etcd.stop();
  const { agent, crash } = await start(mesh);
  assert.equal(agent.ready().ready, true);
  assert.match(agent.ready().detail, /has not answered/);
  assert.deepEqual(counts(agent), { adopted: 10, written: 0, removed: 0 });
  mesh.local.etcd.start();
  await mesh.local.clock.advance(40_000);
  assert.equal(agent.status().synced, true);
  assert.deepEqual(counts(agent), { adopted: 10, written: 0, removed: 0 });
  await crash();
});

test("restarted before a mirror has filled an empty etcd again, it keeps the backends of that cluster", async () => {
  const mesh = world();
  await (await start(mesh)).crash();
  mesh.local.etcd.wipe();
  mesh.local.cluster(OWN, "10.2.0");
  mesh.local.cluster(VIRGINIA, "10.3.0");
  const { agent, crash } = await start(mesh);
  assert.deepEqual(counts(agent), { adopted: 10, written: 0, removed: 0 });
  assert.match(agent.status().problems.join(), /cluster id 1: map entries are kept/);
  mesh.local.cluster(OSAKA, "10.1.0");
  mesh.local.service(OSAKA, "web", "10.1.0.2");
  await mesh.local.clock.advance(500);
  assert.deepEqual(usedBackends(agent), ["10.2.0.1:80/TCP", "10.1.0.2:80/TCP", "10.3.0.1:80/TCP"]);
  assert.deepEqual(agent.status().problems, []);
  await crash();
});

test("with empty maps and no etcd it is not ready", async () => {
  const mesh = world();
  mesh.local.etcd.stop();
  const { agent, crash } = await start(mesh);
  assert.deepEqual(agent.ready(), { ready: false, detail: "the local etcd has not answered yet" });
  await crash();
});

test("a capacity that the pinned map does not have is told, and nothing else happens", async () => {
  const mesh = world();
  await (await start(mesh)).crash();
  const { agent, crash } = await start(mesh, { servicesMax: 2 });
  assert.match(agent.status().problems.join(), /map services: pinned with room for 262144 entries, not for 2 as asked/);
  assert.deepEqual(counts(agent), { adopted: 10, written: 0, removed: 0 });
  await crash();
});

test("W13: with empty maps and an etcd that lacks the own services, it is not ready and attaches nothing", async () => {
  const mesh = world();
  mesh.local.etcd.wipe();
  mesh.local.cluster(OSAKA, "10.1.0");
  const { agent, crash } = await start(mesh);
  assert.deepEqual(agent.ready().ready, false);
  assert.match(agent.ready().detail, /own cluster's services are not complete/);
  mesh.local.cluster(OWN, "10.2.0");
  await mesh.local.clock.advance(500);
  assert.deepEqual(agent.ready(), { ready: true, detail: "synced" });
  await crash();
});

function counts(agent: Agent): { adopted: number; written: number; removed: number } {
  const { adopted, written, removed } = agent.status();
  return { adopted, written, removed };
}
