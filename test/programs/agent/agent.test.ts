import assert from "node:assert/strict";
import { test } from "node:test";
import type { Grade } from "../../../src/model/status.ts";
import type { Agent } from "../../../src/programs/agent/agent.ts";
import { PEER_GRADES_KEY, peerDetailKey } from "../../../src/wire/keys.ts";
import { encodeGrades, encodePeerDetail } from "../../../src/wire/peers.ts";
import { PEER_DETAIL } from "../../golden/values.ts";
import { LATER_MS } from "../../ingest/stage.ts";
import { OSAKA, OWN, VIRGINIA } from "../../tables/world.ts";
import { start, world } from "./stage.ts";

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
      ["endpoints", 0],
      ["endpoint_addresses", 0],
      ["ipcache", 3],
      ["ipcache_cidrs", 0],
      ["policies", 0],
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
  mesh.local.cluster(OWN, "10.2.0", LATER_MS);
  mesh.local.cluster(VIRGINIA, "10.3.0", LATER_MS);
  const { agent, crash } = await start(mesh);
  assert.deepEqual(counts(agent), { adopted: 10, written: 0, removed: 0 });
  assert.match(agent.status().problems.join(), /cluster id 1: map entries are kept/);
  mesh.local.cluster(OSAKA, "10.1.0", LATER_MS);
  mesh.local.service(OSAKA, "web", "10.1.0.2");
  await mesh.local.clock.advance(5_000);
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

test("I12: the mirror's grades show in status and metrics, are unknown once it is silent, and no map entry moves", async () => {
  const mesh = world();
  const { agent, metrics, crash } = await start(mesh, { countersIntervalMs: 100 });
  const say = (sequence: number, grade: Grade): void => {
    const grades = new Map([[OSAKA.name, grade]]);
    mesh.local.put(PEER_GRADES_KEY, encodeGrades({ sequence, intervalMs: 1_000, grades }));
  };
  const told = (): string => {
    const { controlPlane, remotes } = agent.status().peers;
    return [controlPlane, ...remotes.map(({ cluster, grade }) => `${cluster} ${grade}`)].join(" ");
  };
  const before = counts(agent);
  assert.equal(told(), "unproven osaka unknown virginia unknown");
  assert.match(await metrics.text(), /bulkhead_peer_grade\{remote="osaka"\} 4/);
  assert.doesNotMatch(await metrics.text(), /bulkhead_peer_grade_age_seconds\{/);
  say(1, "stale");
  await mesh.local.clock.advance(300);
  assert.equal(told(), "talking osaka stale virginia unknown");
  assert.match(await metrics.text(), /bulkhead_peer_grade\{remote="osaka"\} 2/);
  assert.match(await metrics.text(), /bulkhead_peer_grade_age_seconds\{remote="osaka"\} 0\.[0-3]/);
  say(2, "fresh");
  await mesh.local.clock.advance(5_000);
  assert.equal(told(), "silent osaka unknown virginia unknown");
  assert.match(await metrics.text(), /bulkhead_peer_grade\{remote="osaka"\} 4/);
  assert.deepEqual(counts(agent), before);
  mesh.local.put(peerDetailKey("osaka"), encodePeerDetail(PEER_DETAIL));
  const { cluster, node, details, problems } = await mesh.local.clock.settle(agent.peers());
  assert.deepEqual(
    { cluster, node, details, problems },
    { cluster: OWN.name, node: "n1", details: [PEER_DETAIL], problems: [] },
  );
  await crash();
});

test("a remote whose backends cannot be reached serves no more; the status says why, metrics too, and it comes back", async () => {
  const mesh = world();
  const { agent, metrics, crash } = await start(mesh);
  const backends = (outcome: "connected" | "silent") => mesh.dialer.set("10.1.0.1:80", outcome);
  backends("connected");
  mesh.dialer.set("10.3.0.1:80", "refused");
  await mesh.local.clock.advance(15_000);
  const all = ["10.2.0.1:80/TCP", "10.1.0.1:80/TCP", "10.3.0.1:80/TCP"];
  assert.deepEqual(usedBackends(agent), all);
  backends("silent");
  await mesh.local.clock.advance(35_000);
  assert.deepEqual(usedBackends(agent), ["10.2.0.1:80/TCP", "10.3.0.1:80/TCP"]);
  const [osaka, virginia] = agent.status().health.remotes;
  assert.deepEqual([osaka?.dataPath, osaka?.decision, osaka?.controlPlane], ["dead", "demote", "unknown"]);
  assert.deepEqual([virginia?.dataPath, virginia?.decision], ["alive", "normal"]);
  assert.match(await metrics.text(), /bulkhead_data_path\{remote="osaka"\} 2/);
  assert.match(await metrics.text(), /bulkhead_remote_decision\{remote="osaka"\} 2/);
  assert.equal(agent.status().maps.find(({ name }) => name === "ipcache")?.entries, 3, "addresses stay");
  backends("connected");
  await mesh.local.clock.advance(25_000);
  assert.deepEqual(usedBackends(agent), all);
  await crash();
});
