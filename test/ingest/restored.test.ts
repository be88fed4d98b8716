/** L11: a local etcd that was restored has its canaries, and is behind. What agents know stays until the writers have compared everything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXPORTER_LOCK_PREFIX, KVSTOREMESH_LOCK_PREFIX } from "../../src/wire/keys.ts";
import { cacheKey } from "../../src/wire/resources.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";
import { followed, LATER_MS, SETTLE_MS } from "./stage.ts";

/** stage.ts */
const CONFIRM_MS = 60_000;

/** A backup is made; then osaka's service moves from .1 to .9, and virginia gets an address more. */
async function aged() {
  const { local, tables, ...running } = await followed();
  const backup = local.etcd.snapshot();
  local.service(OSAKA, "web", "10.1.0.9");
  local.ip(VIRGINIA, "10.3.0.2");
  local.delete(cacheKey("ip", OSAKA.name, "10.1.0.1"));
  await local.clock.advance(SETTLE_MS);
  const held = () => [
    ...tables.clusterServices("shop/web").map(({ cluster, backends }) => `${cluster} ${[...backends.keys()]}`),
    ...["10.1.0.1", "10.3.0.2"].filter((address) => tables.ipClaims(address).length > 0),
  ];
  assert.deepEqual(held(), NOW);
  return { local, held, backup, ...running };
}

const NOW = ["osaka 10.1.0.9", "virginia 10.3.0.1", "10.3.0.2"];
const THEN = ["osaka 10.1.0.1", "virginia 10.3.0.1", "10.1.0.1"];

test("what a restored etcd lacks, and what it says differently, stays; a person is told; what its writers write counts at once", async () => {
  const { local, held, backup, ingest, stop } = await aged();
  local.etcd.restore(backup);
  await local.clock.advance(5_000);
  assert.deepEqual(held(), NOW);
  assert.equal(ingest.status().synced, false);
  assert.match(ingest.status().problems.join("\n"), /local etcd: it was restored, or is another one; \d+ sources stay/);
  local.service(VIRGINIA, "web", "10.3.0.7");
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(held(), ["osaka 10.1.0.9", "virginia 10.3.0.7", "10.3.0.2"]);
  await stop();
});

test("a source whose writer vouches is taken as it stands then; the others wait", async () => {
  const { local, held, backup, ingest, stop } = await aged();
  local.etcd.restore(backup);
  await local.clock.advance(5_000);
  local.ip(VIRGINIA, "10.3.0.3");
  local.canaries(VIRGINIA, LATER_MS);
  await local.clock.advance(5_000);
  assert.deepEqual(held(), ["osaka 10.1.0.9", "virginia 10.3.0.1"], "the address is gone for good");
  for (const cluster of [OWN, OSAKA]) local.canaries(cluster, LATER_MS);
  await local.clock.advance(5_000);
  assert.deepEqual(held(), ["osaka 10.1.0.1", "virginia 10.3.0.1", "10.1.0.1"]);
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  await stop();
});

test("who comes late finds that the writers vouched while nobody looked, by the time in the canaries", async () => {
  const { local, held, backup, ingest, stop } = await aged();
  local.etcd.stop();
  local.etcd.restore(backup);
  local.service(OSAKA, "web", "10.1.0.8");
  for (const cluster of [OWN, OSAKA, VIRGINIA]) local.canaries(cluster, LATER_MS);
  await local.clock.advance(2_000);
  local.etcd.start();
  await local.clock.advance(5_000);
  assert.deepEqual(held(), ["osaka 10.1.0.8", "virginia 10.3.0.1", "10.1.0.1"]);
  assert.deepEqual(ingest.status().problems, []);
  await stop();
});

test("where nobody vouches, it is believed after a time", async () => {
  const { local, held, backup, ingest, stop } = await aged();
  local.etcd.restore(backup);
  await local.clock.advance(CONFIRM_MS - 5_000);
  assert.deepEqual(held(), NOW);
  await local.clock.advance(10_000);
  assert.deepEqual(held(), THEN);
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  await stop();
});

test("a backup from before a deletion alone is found out too", async () => {
  const { local, held, stop } = await aged();
  const backup = local.etcd.snapshot();
  local.delete(cacheKey("ip", VIRGINIA.name, "10.3.0.2"));
  await local.clock.advance(SETTLE_MS);
  local.etcd.restore(backup);
  // Its revision passes the one that was seen before anybody looks.
  for (let write = 0; write < 5; write++) local.put("somebody/else", new Uint8Array([write]));
  await local.clock.advance(5_000);
  assert.deepEqual(held(), ["osaka 10.1.0.9", "virginia 10.3.0.1"]);
  await stop();
});

test("compacted, past our revision: what is written there as it was before contradicts", async () => {
  const { local, held, backup, stop } = await aged();
  local.etcd.restore(backup);
  for (let write = 0; write < 9; write++) local.put("somebody/else", new Uint8Array([write]));
  local.etcd.compact(local.etcd.revision);
  await local.clock.advance(5_000);
  assert.deepEqual(held(), NOW);
  await stop();
});

test("the twin: the same etcd, away for a while, is believed at once, compacted or not", async () => {
  for (const compacted of [false, true]) {
    const { local, held, ingest, stop } = await aged();
    local.etcd.stop();
    local.delete(cacheKey("ip", VIRGINIA.name, "10.3.0.2"));
    if (compacted) local.etcd.compact(local.etcd.revision);
    await local.clock.advance(2_000);
    local.etcd.start();
    await local.clock.advance(5_000);
    assert.deepEqual(held(), ["osaka 10.1.0.9", "virginia 10.3.0.1"]);
    assert.deepEqual(ingest.status().problems, []);
    await stop();
  }
});

/** A backup is made; then virginia gets an address more, and contact is lost. All that was known of the etcd was compacted when it comes back. */
async function compacted(prefix: string, meanwhile: "restored" | "went on", numbered = true) {
  const number = (value: number): number | undefined => (numbered ? value : undefined);
  const { local, tables, ingest, stop } = await followed((world) => world.lock(prefix, "1a", number(7)));
  const backup = local.etcd.snapshot();
  local.lock(prefix, "1a", number(8));
  local.ip(VIRGINIA, "10.3.0.2");
  await local.clock.advance(SETTLE_MS);
  local.etcd.stop();
  if (meanwhile === "restored") {
    local.etcd.restore(backup);
    // Its leader noticed, and the next one waits for its turn.
    local.delete(`${prefix}/1a`);
    local.lock(prefix, "2b");
  } else local.delete(cacheKey("ip", VIRGINIA.name, "10.3.0.2"));
  for (let write = 0; write < 9; write++) local.put("somebody/else", new Uint8Array([write]));
  const back = async (): Promise<void> => {
    local.etcd.compact(local.etcd.revision);
    local.etcd.start();
    await local.clock.advance(5_000);
  };
  const stands = (): boolean => tables.ipClaims("10.3.0.2").length > 0;
  return { local, ingest, stop, back, stands };
}

const LOCKS = [KVSTOREMESH_LOCK_PREFIX, EXPORTER_LOCK_PREFIX] as const;

for (const prefix of LOCKS) {
  test(`compacted, and nothing contradicts: it is doubted while ${prefix} proves nothing, until the next leader has compared everything`, async () => {
    const { local, ingest, stop, back, stands } = await compacted(prefix, "restored");
    await back();
    assert(stands(), "what the backup lacks stays");
    assert.match(ingest.status().problems.join("\n"), /local etcd: it was compacted past all .*; \d+ sources stay/);
    local.lock(prefix, "2b", 9);
    await local.clock.advance(5_000);
    assert(stands(), "another lock is no proof, whatever it says");
    local.canaries(VIRGINIA, LATER_MS);
    await local.clock.advance(5_000);
    assert(!stands());
    await stop();
  });

  test(`the twin: ${prefix} has risen since, and what went meanwhile goes at once`, async () => {
    const { local, ingest, stop, back, stands } = await compacted(prefix, "went on");
    local.lock(prefix, "1a", 9);
    await back();
    assert(!stands());
    assert.deepEqual(ingest.status().problems, []);
    await stop();
  });

  test(`${prefix} that stands as it was is waited for: risen it is a proof, lower it is none`, async () => {
    for (const [number, proves] of [
      [9, true],
      [7, false],
    ] as const) {
      const { local, ingest, stop, back, stands } = await compacted(prefix, "went on");
      await back();
      assert(stands());
      assert.equal(ingest.status().synced, false);
      local.lock(prefix, "1a", number);
      await local.clock.advance(5_000);
      assert.equal(stands(), !proves);
      assert.equal(ingest.status().synced, proves);
      await stop();
    }
  });
}

test("a lock of the etcd that took the place of ours vouches for that one alone", async () => {
  const { local, held, backup, ingest, stop } = await aged();
  local.etcd.restore(backup);
  local.lock(KVSTOREMESH_LOCK_PREFIX, "2b", 1);
  await local.clock.advance(5_000);
  local.etcd.stop();
  for (let write = 0; write < 9; write++) local.put("somebody/else", new Uint8Array([write]));
  local.etcd.compact(local.etcd.revision);
  local.etcd.start();
  await local.clock.advance(5_000);
  assert.match(ingest.status().problems.join("\n"), /compacted/);
  local.lock(KVSTOREMESH_LOCK_PREFIX, "2b", 2);
  await local.clock.advance(5_000);
  assert.deepEqual(held(), NOW);
  await stop();
});

test("risen while contact was lost again is a proof too", async () => {
  const { local, ingest, stop, back, stands } = await compacted(KVSTOREMESH_LOCK_PREFIX, "went on");
  await back();
  assert(stands());
  local.etcd.stop();
  local.lock(KVSTOREMESH_LOCK_PREFIX, "1a", 9);
  await back();
  assert(!stands());
  assert.deepEqual([ingest.status().synced, ingest.status().problems], [true, []]);
  await stop();
});

test("a Cilium's lock says nothing: compacted, its etcd is believed", async () => {
  const { ingest, stop, back, stands } = await compacted(KVSTOREMESH_LOCK_PREFIX, "went on", false);
  await back();
  assert(!stands());
  assert.deepEqual(ingest.status().problems, []);
  await stop();
});
