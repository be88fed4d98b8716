import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster } from "../../src/model/cluster.ts";
import type { AgentTables } from "../../src/tables/agent-tables.ts";
import { clusterConfigKey } from "../../src/wire/keys.ts";
import { cacheKey } from "../../src/wire/resources.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";
import { followed, isSynced, LocalEtcd, SETTLE_MS, stage } from "./stage.ts";

/** What the tables hold: services with the backends of each cluster, and the claimed one of each address. */
function held(tables: AgentTables) {
  const local = [...tables.localServices()].sort();
  const remote = tables
    .clusterServices("shop/web")
    .map(({ cluster, backends }) => `${cluster} ${[...backends.keys()]}`);
  const addresses = ["10.1.0.1", "10.2.0.1", "10.3.0.1"].filter((address) => tables.ipClaims(address).length > 0);
  return { local, remote, addresses };
}

const everything = {
  local: ["shop/web"],
  remote: ["osaka 10.1.0.1", "virginia 10.3.0.1"],
  addresses: ["10.1.0.1", "10.2.0.1", "10.3.0.1"],
};

async function full() {
  const running = await followed();
  assert.deepEqual(held(running.tables), everything);
  assert.equal(running.ingest.status().synced, true);
  return running;
}

const syncedOf = ({ tables }: { readonly tables: AgentTables }, cluster: Cluster) =>
  [isSynced(tables, "services", cluster), isSynced(tables, "ip", cluster)] as const;

test("lists, then follows changes", async () => {
  const { local, tables, ingest, stop } = await full();
  local.service(OSAKA, "web", "10.1.0.9");
  local.delete(cacheKey("ip", OSAKA.name, "10.1.0.1"));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables).remote, ["osaka 10.1.0.9", "virginia 10.3.0.1"]);
  assert.deepEqual(held(tables).addresses, ["10.2.0.1", "10.3.0.1"]);
  assert((ingest.status().ageMs ?? 1e9) <= 150);
  assert.deepEqual(ingest.status().problems, []);
  await stop();
});

test("silence and an etcd that is down change nothing but the age", async () => {
  for (const [down, up] of [
    ["stop", "start"],
    ["pause", "resume"],
  ] as const) {
    const { local, tables, ingest, changes, stop } = await full();
    const before = changes();
    local.etcd[down]();
    await local.clock.advance(60_000);
    const { connected, synced, ageMs = 0, problems } = ingest.status();
    assert.deepEqual([connected, synced, changes() - before], [false, true, 0]);
    assert(ageMs >= 59_000);
    assert.match(problems.join(), /local etcd: /);
    assert.deepEqual(held(tables), everything);
    local.etcd[up]();
    local.delete(local.serviceKey(VIRGINIA, "web"));
    await local.clock.advance(5_000);
    assert.deepEqual(held(tables).remote, ["osaka 10.1.0.1"]);
    assert.equal(ingest.status().connected, true);
    await stop();
  }
});

test("L11, W13: an etcd that comes back empty takes nothing away; each source goes only once it is complete again", async () => {
  const { local, tables, ingest, stop } = await full();
  local.etcd.wipe();
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables), everything);
  assert.equal(ingest.status().synced, false);
  assert.match(ingest.status().problems.join("\n"), /cluster osaka: 2 entries are kept that the local etcd lacks/);
  local.config(OWN);
  local.service(OWN, "new", "10.2.0.7");
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables).local, ["shop/new", "shop/web"], "no canary: the old service stays");
  local.canaries(OWN);
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables), { ...everything, local: ["shop/new"], addresses: ["10.1.0.1", "10.3.0.1"] });
  local.config(OSAKA);
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables).remote, everything.remote, "a config alone proves nothing");
  local.canaries(OSAKA);
  await local.clock.advance(5_000);
  const withoutOsaka = { local: ["shop/new"], remote: ["virginia 10.3.0.1"], addresses: ["10.3.0.1"] };
  assert.deepEqual(held(tables), withoutOsaka);
  local.canaries(VIRGINIA);
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables), withoutOsaka, "canaries alone prove nothing");
  local.config(VIRGINIA);
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables), { local: ["shop/new"], remote: [], addresses: [] });
  await stop();
});

test("what was deleted while the watch was away goes with the next complete listing", async () => {
  const { local, tables, stop } = await full();
  local.etcd.stop();
  local.delete(local.serviceKey(OSAKA, "web"));
  local.delete(local.serviceKey(VIRGINIA, "web"));
  for (const key of local.canaryKeys(VIRGINIA.name)) local.delete(key);
  local.etcd.compact(local.etcd.revision);
  await local.clock.advance(2_000);
  local.etcd.start();
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables).remote, ["virginia 10.3.0.1"], "osaka is complete, virginia is not");
  await stop();
});

test("a cluster whose config goes keeps its rows until their keys are deleted", async () => {
  const { local, tables, stop } = await full();
  local.delete(clusterConfigKey(OSAKA.name));
  for (const key of local.canaryKeys(OSAKA.name)) local.delete(key);
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables), everything);
  local.delete(local.serviceKey(OSAKA, "web"));
  local.delete(cacheKey("ip", OSAKA.name, "10.1.0.1"));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables), {
    local: ["shop/web"],
    remote: ["virginia 10.3.0.1"],
    addresses: ["10.2.0.1", "10.3.0.1"],
  });
  await stop();
});

test("a source is complete only at a joint revision that includes its canary", async () => {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  const running = stage(local, OWN);
  await local.clock.advance(SETTLE_MS);
  local.cluster(OSAKA, "10.1.0");
  await local.clock.advance(5);
  assert.deepEqual(syncedOf(running, OSAKA), [false, false], "events alone prove nothing");
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(syncedOf(running, OSAKA), [true, true]);
  await running.stop();
});

test("values that come before their cluster's config wait for it", async () => {
  const local = new LocalEtcd(OWN);
  const running = stage(local, OWN);
  local.cluster(OWN, "10.2.0");
  local.service(OSAKA, "web", "10.1.0.1");
  local.ip(OSAKA, "10.1.0.1");
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(running.tables).remote, []);
  assert.match(running.ingest.status().problems.join(), /cluster osaka: 2 values wait/);
  local.config(OSAKA);
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(running.tables).remote, ["osaka 10.1.0.1"]);
  assert.deepEqual(held(running.tables).addresses, ["10.1.0.1", "10.2.0.1"]);
  await running.stop();
});

test("more values than may wait: the config brings a new listing, which brings them all", async () => {
  const local = new LocalEtcd(OWN);
  local.cluster(OWN, "10.2.0");
  const running = stage(local, OWN, 1);
  await local.clock.advance(SETTLE_MS);
  const addresses = ["10.1.0.1", "10.1.0.2", "10.1.0.3"];
  for (const address of addresses) local.ip(OSAKA, address);
  local.canaries(OSAKA);
  await local.clock.advance(SETTLE_MS);
  local.config(OSAKA);
  for (let elapsedMs = 0; elapsedMs < SETTLE_MS; elapsedMs++) {
    await local.clock.advance(1);
    const known = addresses.filter((address) => running.tables.ipClaims(address).length > 0);
    if (syncedOf(running, OSAKA)[1]) assert.deepEqual(known, addresses, "complete means complete");
  }
  assert.deepEqual(syncedOf(running, OSAKA), [true, true]);
  await running.stop();
});

test("a refused value leaves the last good one, also over a listing, and is named", async () => {
  const { local, tables, ingest, stop } = await full();
  local.put(local.serviceKey(OSAKA, "web"), new TextEncoder().encode("{"));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables), everything);
  assert.match(ingest.status().problems.join(), /services\/v1\/osaka\/shop\/web: refused/);
  local.etcd.cut();
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables), everything);
  local.service(OSAKA, "web", "10.1.0.5");
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables).remote, ["osaka 10.1.0.5", "virginia 10.3.0.1"]);
  assert.deepEqual(ingest.status().problems, []);
  await stop();
});

test("I5: a cluster cannot speak for another, nor take an id that is in use", async () => {
  const { local, tables, ingest, stop } = await full();
  local.put(cacheKey("ip", OSAKA.name, "10.3.0.1"), valueAt(local, cacheKey("ip", VIRGINIA.name, "10.3.0.1")));
  local.put(cacheKey("services", OSAKA.name, "shop/web"), valueAt(local, local.serviceKey(VIRGINIA, "web")));
  const thief = { name: "thief", id: OSAKA.id };
  local.config(thief);
  local.service(thief, "web", "10.6.6.6");
  local.config({ name: "twin", id: OWN.id });
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables), everything);
  assert.deepEqual(
    tables.ipClaims("10.3.0.1").map(({ clusterId }) => clusterId),
    [VIRGINIA.id],
  );
  const problems = ingest.status().problems.join("\n");
  assert.match(problems, /cluster-config\/thief: id 1 belongs to cluster osaka/);
  assert.match(problems, /cluster-config\/twin: id 2 belongs to cluster amsterdam/);
  await stop();
});

test("an id becomes free when its cluster is gone, config and rows", async () => {
  const { local, tables, stop } = await full();
  const heir = { name: "kyoto", id: OSAKA.id };
  local.config(heir);
  local.service(heir, "web", "10.1.0.77");
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables).remote, everything.remote);
  local.delete(clusterConfigKey(OSAKA.name));
  local.delete(local.serviceKey(OSAKA, "web"));
  local.delete(cacheKey("ip", OSAKA.name, "10.1.0.1"));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables).remote, ["kyoto 10.1.0.77", "virginia 10.3.0.1"]);
  await stop();
});

function valueAt(local: LocalEtcd, key: string): Uint8Array {
  const kv = local.etcd.entries(key)[0];
  assert(kv);
  return kv.value;
}

const numbersAt = (tables: AgentTables, address: string) =>
  tables.ipClaims(address).flatMap(({ clusterId, identity }) => [clusterId, identity]);

test("S02: a cluster that changes its id: values that came before the new config are judged again, and none is lost", async () => {
  const { local, tables, ingest, stop } = await full();
  const renumbered = { name: OSAKA.name, id: 9 };
  local.service(renumbered, "web", "10.1.0.1");
  local.ip(renumbered, "10.1.0.1");
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(tables), everything, "refused by the old id: the last good values stay");
  local.config(renumbered);
  await local.clock.advance(5_000);
  assert.deepEqual(held(tables), { ...everything, remote: ["virginia 10.3.0.1", "osaka 10.1.0.1"] });
  assert.deepEqual(numbersAt(tables, "10.1.0.1"), [9, 9 * 65536 + 300]);
  assert.deepEqual([ingest.status().problems, ingest.status().synced], [[], true]);
  await stop();
});

test("S02: until its values follow, a renumbered cluster's rows keep the id they were judged by", async () => {
  const { local, tables, stop } = await full();
  local.ip(OSAKA, "10.1.0.2");
  await local.clock.advance(SETTLE_MS);
  const renumbered = { name: OSAKA.name, id: 9 };
  local.config(renumbered);
  local.ip(renumbered, "10.1.0.1");
  await local.clock.advance(5_000);
  assert.deepEqual(numbersAt(tables, "10.1.0.1"), [9, 9 * 65536 + 300]);
  assert.deepEqual(numbersAt(tables, "10.1.0.2"), [1, 65536 + 300]);
  await stop();
});

test("S02: the id that a cluster gave up is nobody else's while a row of its carries it", async () => {
  const { local, tables, ingest, stop } = await full();
  local.ip(OSAKA, "10.1.0.2");
  await local.clock.advance(SETTLE_MS);
  const [renumbered, heir] = [
    { name: OSAKA.name, id: 9 },
    { name: "kyoto", id: OSAKA.id },
  ];
  local.config(renumbered);
  local.config(heir);
  local.ip(heir, "10.5.0.1");
  local.service(renumbered, "web", "10.1.0.1");
  local.ip(renumbered, "10.1.0.1");
  await local.clock.advance(5_000);
  assert.deepEqual([numbersAt(tables, "10.1.0.2"), numbersAt(tables, "10.5.0.1")], [[1, 65836], []]);
  assert.match(ingest.status().problems.join("\n"), /cluster-config\/kyoto: id 1 belongs to cluster osaka until/);
  local.ip(renumbered, "10.1.0.2");
  await local.clock.advance(5_000);
  assert.deepEqual(
    [numbersAt(tables, "10.1.0.2"), numbersAt(tables, "10.5.0.1")],
    [
      [9, 9 * 65536 + 300],
      [1, 65836],
    ],
  );
  assert.deepEqual(ingest.status().problems, []);
  await stop();
});
