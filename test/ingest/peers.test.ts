/** What a node believes of the mirror's grades: nothing that it did not see change, and nothing for long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readPeerDetails } from "../../src/ingest/peers.ts";
import type { Grade, PeerGrade } from "../../src/model/status.ts";
import { PEER_GRADES_KEY, peerDetailKey } from "../../src/wire/keys.ts";
import { encodeGrades, encodePeerDetail } from "../../src/wire/peers.ts";
import { PEER_DETAIL } from "../golden/values.ts";
import { OSAKA, OWN } from "../tables/world.ts";
import { followed, LocalEtcd, SETTLE_MS } from "./stage.ts";

const INTERVAL_MS = 1_000;

function say(
  local: LocalEtcd,
  sequence: number,
  grades: Readonly<Record<string, Grade>>,
  intervalMs = INTERVAL_MS,
): void {
  local.put(PEER_GRADES_KEY, encodeGrades({ sequence, intervalMs, grades: new Map(Object.entries(grades)) }));
}

const FRESH = { osaka: "fresh", virginia: "fresh" } as const;

async function full(sequence: number | undefined = 7) {
  const running = await followed((local) => {
    if (sequence !== undefined) say(local, sequence, FRESH);
  });
  const told = (): readonly [string, Readonly<Record<string, PeerGrade>>] => {
    const { controlPlane, remotes } = running.ingest.peers();
    return [controlPlane, Object.fromEntries(remotes.map(({ cluster, grade }) => [cluster, grade]))];
  };
  return { told, ...running };
}

/** An event is on its way for a little while. */
const near = (ageMs: number | undefined, wantedMs: number): boolean => Math.abs((ageMs ?? 1e9) - wantedMs) <= 20;

const UNKNOWN = { osaka: "unknown", virginia: "unknown" } as const;

test("a record that was only listed proves nothing; once it was seen to change it counts, and says how old it is", async () => {
  const { local, told, ingest, stop } = await full();
  assert.deepEqual(told(), ["unproven", UNKNOWN]);
  assert.equal(ingest.peers().ageMs, undefined);
  await local.clock.advance(60_000);
  assert.deepEqual(told(), ["unproven", UNKNOWN]);
  say(local, 8, { osaka: "fresh", virginia: "stale" });
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(told(), ["talking", { osaka: "fresh", virginia: "stale" }]);
  assert(near(ingest.peers().ageMs, SETTLE_MS));
  await stop();
});

test("no record at all, or a remote that it does not name: unknown", async () => {
  const { local, told, stop } = await full(undefined);
  assert.deepEqual(told(), ["unproven", UNKNOWN]);
  say(local, 1, { osaka: "suspect", kyoto: "unproven" });
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(told(), ["talking", { kyoto: "unproven", osaka: "suspect", virginia: "unknown" }]);
  local.delete(PEER_GRADES_KEY);
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(told(), ["unproven", UNKNOWN]);
  await stop();
});

test("three intervals of the record without a change are silence, whatever else the etcd says; the next change ends it", async () => {
  const { local, told, ingest, stop } = await full();
  say(local, 8, FRESH);
  await local.clock.advance(3 * INTERVAL_MS - 10);
  assert.deepEqual(told(), ["talking", FRESH]);
  local.service(OSAKA, "web", "10.1.0.9");
  say(local, 8, FRESH);
  await local.clock.advance(20);
  assert.deepEqual(told(), ["silent", UNKNOWN], "written again without a change");
  assert(near(ingest.peers().ageMs, 3 * INTERVAL_MS));
  say(local, 9, FRESH, 10 * INTERVAL_MS);
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(told(), ["talking", FRESH]);
  await local.clock.advance(29 * INTERVAL_MS);
  assert.equal(told()[0], "talking", "the interval is the record's own");
  await local.clock.advance(INTERVAL_MS);
  assert.deepEqual(told(), ["silent", UNKNOWN]);
  await stop();
});

test("an etcd that is down is silence too, and a listing after it proves nothing", async () => {
  const { local, told, stop } = await full();
  say(local, 8, FRESH);
  await local.clock.advance(SETTLE_MS);
  local.etcd.stop();
  await local.clock.advance(INTERVAL_MS);
  assert.deepEqual(told(), ["talking", FRESH], "heard a second ago");
  await local.clock.advance(3 * INTERVAL_MS);
  assert.deepEqual(told(), ["silent", UNKNOWN]);
  local.etcd.start();
  await local.clock.advance(2_000);
  assert.deepEqual(told(), ["silent", UNKNOWN], "listed as it was");
  local.etcd.stop();
  say(local, 9, FRESH);
  local.etcd.start();
  await local.clock.advance(2_000);
  assert.deepEqual(told(), ["unproven", UNKNOWN], "changed while nobody looked: who knows when");
  say(local, 10, FRESH);
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(told(), ["talking", FRESH]);
  await stop();
});

test("a copy of the etcd that reached the same number with other grades proves nothing", async () => {
  const { local, told, stop } = await full();
  say(local, 8, { osaka: "suspect", virginia: "fresh" });
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(told(), ["talking", { osaka: "suspect", virginia: "fresh" }]);
  local.etcd.stop();
  say(local, 8, FRESH);
  local.etcd.start();
  await local.clock.advance(2_000);
  assert.deepEqual(told(), ["unproven", UNKNOWN]);
  await stop();
});

test("another listing of the same record neither proves it again nor forgets when it changed", async () => {
  const { local, told, ingest, stop } = await full();
  say(local, 8, FRESH, 60_000);
  await local.clock.advance(1_000);
  ingest.recheck();
  await local.clock.advance(1_000);
  assert.deepEqual(told(), ["talking", FRESH]);
  assert(near(ingest.peers().ageMs, 2_000));
  await stop();
});

test("a record that is refused leaves the last good one, which ages; a person is told", async () => {
  const { local, told, ingest, stop } = await full();
  say(local, 8, FRESH);
  await local.clock.advance(SETTLE_MS);
  local.put(PEER_GRADES_KEY, new TextEncoder().encode('{"sequence":9}'));
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual(told(), ["talking", FRESH]);
  assert.match(ingest.status().problems.join("\n"), /^bulkhead\/v1\/peers\/grades: grades: is missing$/m);
  await local.clock.advance(3 * INTERVAL_MS);
  assert.deepEqual(told(), ["silent", UNKNOWN]);
  say(local, 10, FRESH);
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual([told(), ingest.status().problems], [["talking", FRESH], []]);
  await stop();
});

test("no grade moves the tables: nothing is told to have changed, however bad it is", async () => {
  const { local, tables, changes, ingest, stop } = await full();
  const before = [tables.revision, changes()];
  for (const [index, grade] of (["fresh", "suspect", "stale", "unproven"] as const).entries()) {
    say(local, 8 + index, { osaka: grade, virginia: grade });
    await local.clock.advance(SETTLE_MS);
    assert.equal(ingest.peers().remotes[0]?.grade, grade);
  }
  await local.clock.advance(10 * INTERVAL_MS);
  say(local, 20, {});
  await local.clock.advance(SETTLE_MS);
  assert.deepEqual([tables.revision, changes()], before);
  assert.equal(tables.ipClaims("10.1.0.1").length, 1);
  await stop();
});

test("details are read when asked for; one that is refused is named", async () => {
  const local = new LocalEtcd(OWN);
  local.put(peerDetailKey("osaka"), encodePeerDetail(PEER_DETAIL));
  local.put(peerDetailKey("virginia"), new TextEncoder().encode("{}"));
  const { details, problems } = await local.clock.settle(readPeerDetails(local.etcd.client()));
  assert.deepEqual(details, [PEER_DETAIL]);
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? "", /^bulkhead\/v1\/peers\/detail\/virginia: sequence: must be/);
});
