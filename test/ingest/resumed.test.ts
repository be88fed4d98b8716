/** An agent that starts again goes on from what it wrote down, without a listing, and is as right as with one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDisk } from "../../src/disk/memory.ts";
import type { Ingest } from "../../src/ingest/ingest.ts";
import type { KvClient } from "../../src/kv/client.ts";
import type { AgentTables } from "../../src/tables/agent-tables.ts";
import { KVSTOREMESH_LOCK_PREFIX } from "../../src/wire/keys.ts";
import { cacheKey } from "../../src/wire/resources.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";
import { AUDIT_MS, isSynced, LATER_MS, LocalEtcd, SETTLE_MS, stage } from "./stage.ts";

/** Everything of the tables that an agent's maps and status come from. */
function contentsOf(tables: AgentTables, ingest: Ingest) {
  return {
    own: [...tables.localServices()].sort().map((name) => tables.localService(name)),
    remote: tables.clusterServices("shop/web"),
    addresses: [...tables.addresses()].sort().map((address) => [address, tables.ipClaims(address)]),
    identities: [...tables.identities()].sort((left, right) => left.id - right.id),
    nodes: [...tables.nodes()],
    clusters: [...tables.clusters()],
    policies: [...tables.policies()],
    status: [ingest.status().synced, ingest.status().problems],
  };
}

/** A client that counts pages of listings. */
function counted(kv: KvClient) {
  let pages = 0;
  const range: KvClient["range"] = (request, options) => {
    if (request.limit !== undefined) pages++;
    return kv.range(request, options);
  };
  const counting = new Proxy(kv, {
    get: (target, name) => (name === "range" ? range : Reflect.get(target, name).bind(target)),
  });
  return { kv: counting, pages: () => pages };
}

/** An etcd that an agent followed, and wrote down. */
async function writtenDown(prepare: (local: LocalEtcd) => void = () => undefined) {
  const local = new LocalEtcd(OWN);
  const disk = memoryDisk();
  disk.makeDirectory("/d");
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  local.cluster(VIRGINIA, "10.3.0");
  prepare(local);
  const start = (kv?: KvClient) => stage(local, OWN, 100, kv, disk);
  const first = start();
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(first.ingest.status().first, { how: "listed", detail: "nothing was written down before" });
  local.service(OSAKA, "web", "10.1.0.9");
  local.ip(VIRGINIA, "10.3.0.2");
  local.delete(cacheKey("ip", OSAKA.name, "10.1.0.1"));
  await local.clock.advance(2_000);
  await first.stop();
  return { local, disk, start };
}

test("without a page of a listing the tables are those of a listing, with all that happened meanwhile", async () => {
  const { local, start } = await writtenDown();
  local.service(VIRGINIA, "web", "10.3.0.7");
  local.delete(cacheKey("services", OSAKA.name, "shop/web"));
  local.identity(OSAKA, OSAKA.id * 65536 + 300, "shop");
  const { kv, pages } = counted(local.etcd.client());
  const resumed = start(kv);
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual([resumed.ingest.status().first?.how, pages()], ["resumed", 0]);
  const control = stage(local, OWN);
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(contentsOf(resumed.tables, resumed.ingest), contentsOf(control.tables, control.ingest));
  assert.deepEqual(
    resumed.tables.clusterServices("shop/web").map(({ cluster, backends }) => `${cluster} ${[...backends.keys()]}`),
    ["virginia 10.3.0.7"],
  );
  local.ip(OSAKA, "10.1.0.3");
  await local.clock.advance(SETTLE_MS);
  assert.equal(resumed.tables.ipClaims("10.1.0.3").length, 1, "what happens later is followed");
  await local.clock.advance(AUDIT_MS);
  assert(pages() > 0, "in the end it is listed all the same");
  await resumed.stop();
  await control.stop();
});

test("an etcd that is down when the agent starts tells nothing; it is taken up when it answers", async () => {
  const { local, start } = await writtenDown();
  local.etcd.stop();
  const { kv, pages } = counted(local.etcd.client());
  const { tables, ingest, stop } = start(kv);
  await local.clock.advance(5_000);
  const { connected, listed, synced, first } = ingest.status();
  assert.deepEqual(
    { connected, listed, synced, first },
    { connected: false, listed: false, synced: false, first: undefined },
  );
  assert.deepEqual([...tables.localServices()], [], "what was written down may be older than the maps");
  local.etcd.start();
  await local.clock.advance(5_000);
  assert.deepEqual([ingest.status().first?.how, pages(), ingest.status().synced], ["resumed", 0, true]);
  await stop();
});

test("an etcd that was restored while no agent ran is not believed, nor by the next agent, until its writers vouch", async () => {
  const { local, disk, start } = await writtenDown();
  const backup = local.etcd.snapshot();
  const aged = start();
  local.delete(cacheKey("ip", VIRGINIA.name, "10.3.0.2"));
  local.service(OSAKA, "web", "10.1.0.8");
  await local.clock.advance(2_000);
  await aged.stop();
  local.etcd.restore(backup);
  for (const agent of ["first", "second"]) {
    const { tables, ingest, stop } = start();
    await local.clock.advance(2_000);
    assert.match(ingest.status().problems.join("\n"), /it was restored, or is another one; \d+ sources stay/, agent);
    assert.match(ingest.status().first?.detail ?? "", /went back|was restored, or replaced/);
    assert.equal(isSynced(tables, "ip", VIRGINIA), false, "nothing of the maps is given up");
    assert.deepEqual(tables.ipClaims("10.3.0.2"), [], "nor taken in");
    await stop();
  }
  const { tables, ingest, stop } = start();
  await local.clock.advance(2_000);
  for (const cluster of [OWN, OSAKA, VIRGINIA]) local.canaries(cluster, LATER_MS);
  await local.clock.advance(5_000);
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  assert.equal(tables.ipClaims("10.3.0.2").length, 1);
  await local.clock.advance(2_000);
  await stop();
  const last = stage(local, OWN, 100, local.etcd.client(), disk);
  await local.clock.advance(SETTLE_MS);
  assert.equal(last.ingest.status().first?.how, "resumed", "it was written down again");
  await last.stop();
});

test("one that cannot be caught up with is listed", async () => {
  const { local, start } = await writtenDown();
  local.put("somebody/else", new Uint8Array());
  local.etcd.compact(local.etcd.revision);
  const { kv, pages } = counted(local.etcd.client());
  const { ingest, stop } = start(kv);
  await local.clock.advance(SETTLE_MS);
  assert.match(JSON.stringify(ingest.status().first), /"listed","detail":".*compacted/);
  assert.deepEqual([ingest.status().synced, ingest.status().problems, pages() > 0], [true, [], true]);
  await stop();
});

test("one that cannot be caught up with, and whose leader's lock did not rise since, is doubted until it does", async () => {
  const { local, start } = await writtenDown((etcd) => etcd.lock(KVSTOREMESH_LOCK_PREFIX, "1a", 7));
  local.put("somebody/else", new Uint8Array());
  local.etcd.compact(local.etcd.revision);
  const { ingest, stop } = start();
  await local.clock.advance(2_000);
  assert.equal(ingest.status().synced, false);
  assert.match(ingest.status().problems.join("\n"), /local etcd: it was compacted past all/);
  local.lock(KVSTOREMESH_LOCK_PREFIX, "1a", 8);
  await local.clock.advance(2_000);
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  await stop();
});

test("listings that follow each other soon are not all written down, and what is written is true all the same", async () => {
  const { local, disk, start } = await writtenDown();
  local.put("somebody/else", new Uint8Array());
  local.etcd.compact(local.etcd.revision);
  const listing = (): Promise<Uint8Array> => disk.readBytes("/d/amsterdam-n1.listing");
  const agent = start();
  await local.clock.advance(SETTLE_MS);
  const first = await listing();
  local.ip(OSAKA, "10.1.0.4");
  local.etcd.cut();
  await local.clock.advance(2_000);
  assert.deepEqual(await listing(), first, "too soon");
  await local.clock.advance(50_000);
  assert.notDeepEqual(await listing(), first, "in time");
  local.ip(OSAKA, "10.1.0.5");
  await local.clock.advance(2_000);
  await agent.stop();
  const { tables, ingest, stop } = start();
  await local.clock.advance(SETTLE_MS);
  assert.equal(ingest.status().first?.how, "resumed");
  for (const address of ["10.1.0.4", "10.1.0.5"]) assert.equal(tables.ipClaims(address).length, 1);
  await stop();
});
