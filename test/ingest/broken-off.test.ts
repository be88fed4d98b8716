/** A listing is taken in while it is read. One that breaks off takes nothing away, proves nothing, and is not what is written down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDisk } from "../../src/disk/memory.ts";
import { type KvClient, KvError } from "../../src/kv/client.ts";
import { cacheKey, resource } from "../../src/wire/resources.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";
import { LATER_MS, LocalEtcd, SETTLE_MS, stage } from "./stage.ts";

/** More than any pause between two tries. */
const TRIES_MS = 5_000;
const DIRECTORY = "/d";
const FIRST = ["osaka 10.1.0.1", "virginia 10.3.0.1"];

/** A client whose listings break off, on demand, where the addresses of other clusters are about to be told. */
function breaking(kv: KvClient) {
  let breaks = false;
  let broken = 0;
  const range: KvClient["range"] = (request, options) => {
    const isPage = request.limit !== undefined && request.key.startsWith(resource("ip").cacheCanary);
    if (!breaks || !isPage) return kv.range(request, options);
    broken++;
    return Promise.reject(new KvError("unavailable", "cut off halfway"));
  };
  const client = new Proxy(kv, {
    get: (target, name) => (name === "range" ? range : Reflect.get(target, name).bind(target)),
  });
  return {
    client,
    /** How many broke off since. */
    set: (on: boolean) => {
      breaks = on;
      broken = 0;
    },
    broken: () => broken,
  };
}

async function followed() {
  const local = new LocalEtcd(OWN);
  const disk = memoryDisk();
  disk.makeDirectory(DIRECTORY);
  local.cluster(OWN, "10.2.0");
  local.cluster(OSAKA, "10.1.0");
  local.cluster(VIRGINIA, "10.3.0");
  const breaks = breaking(local.etcd.client());
  const running = stage(local, OWN, 100, breaks.client, disk);
  await local.clock.advance(SETTLE_MS);
  const { tables } = running;
  const services = () =>
    tables.clusterServices("shop/web").map(({ cluster, backends }) => `${cluster} ${[...backends.keys()]}`);
  const knows = (address: string): boolean => tables.ipClaims(address).length > 0;
  assert.deepEqual([services(), knows("10.1.0.1")], [FIRST, true]);
  return { local, disk, breaks, services, knows, ...running };
}

test("what it lacks stays, what it shows may count; nobody is told of entries that are missing; a whole one sweeps", async () => {
  const { local, breaks, services, knows, ingest, stop } = await followed();
  breaks.set(true);
  local.etcd.stop();
  local.service(OSAKA, "web", "10.1.0.9");
  local.delete(cacheKey("services", VIRGINIA.name, "shop/web"));
  local.delete(cacheKey("ip", OSAKA.name, "10.1.0.1"));
  local.etcd.start();
  await local.clock.advance(TRIES_MS);
  assert(breaks.broken() > 1, "no listing broke off");
  assert.deepEqual([services(), knows("10.1.0.1")], [["osaka 10.1.0.9", "virginia 10.3.0.1"], true]);
  const { connected, synced, problems } = ingest.status();
  assert.deepEqual([connected, synced], [false, true]);
  assert.deepEqual(problems, ["local etcd: cut off halfway; serving what is known"]);
  breaks.set(false);
  await local.clock.advance(TRIES_MS);
  assert.deepEqual([services(), knows("10.1.0.1")], [["osaka 10.1.0.9"], false]);
  assert.deepEqual([ingest.status().connected, ingest.status().problems], [true, []]);
  await stop();
});

test("of a restored etcd: however often it breaks off, it is doubted as it was at first, and who vouched did so", async () => {
  const { local, breaks, services, knows, ingest, stop } = await followed();
  const backup = local.etcd.snapshot();
  local.service(OSAKA, "web", "10.1.0.9");
  local.ip(OSAKA, "10.1.0.2");
  await local.clock.advance(SETTLE_MS);
  breaks.set(true);
  local.etcd.restore(backup);
  await local.clock.advance(TRIES_MS);
  assert(breaks.broken() > 1, "no listing broke off");
  assert.deepEqual([services(), knows("10.1.0.2")], [["osaka 10.1.0.9", "virginia 10.3.0.1"], true]);
  local.canaries(OSAKA, LATER_MS);
  await local.clock.advance(TRIES_MS);
  breaks.set(false);
  await local.clock.advance(TRIES_MS);
  assert.deepEqual([services(), knows("10.1.0.2")], [FIRST, false], "osaka vouched for the backup");
  assert.match(ingest.status().problems.join(), /local etcd: it was restored/, "the others did not");
  for (const cluster of [OWN, VIRGINIA]) local.canaries(cluster, LATER_MS);
  await local.clock.advance(TRIES_MS);
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  await stop();
});

test("what was written down before stays, and the next process goes on from it", async () => {
  const { local, disk, breaks, knows, stop } = await followed();
  local.ip(OSAKA, "10.1.0.2");
  await local.clock.advance(3_000);
  const files = async () => (await disk.list(DIRECTORY)).files.map(({ name, bytes }) => `${name} ${bytes.join()}`);
  const before = await files();
  assert.equal(before.length, 2);
  breaks.set(true);
  local.etcd.cut();
  await local.clock.advance(60_000);
  assert(breaks.broken() > 1, "no listing broke off");
  assert.deepEqual(await files(), before);
  await stop();
  assert(knows("10.1.0.2"));
  const next = stage(local, OWN, 100, local.etcd.client(), disk);
  await local.clock.advance(SETTLE_MS);
  assert.equal(next.ingest.status().first?.how, "resumed");
  assert.equal(next.tables.ipClaims("10.1.0.2").length, 1);
  await next.stop();
});
