/** What the mirror tells the nodes of its cluster about the remotes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WatchEvent } from "../../src/kv/client.ts";
import { PEER_DETAIL_PREFIX, PEER_GRADES_KEY, PEERS_PREFIX, peerDetailKey } from "../../src/wire/keys.ts";
import { encodeGrades, judgeGrades, judgePeerDetail } from "../../src/wire/peers.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { DIRECTORY, eachInItsOwnWorld, GRADES_INTERVAL_MS, LIMITS, type World } from "./world.ts";

let clock: VirtualClock;
let world: World;
eachInItsOwnWorld((newWorld, newClock) => {
  world = newWorld;
  clock = newClock;
});

function grades() {
  const [kv] = world.local.entries(PEER_GRADES_KEY);
  assert(kv, "no grades");
  const judged = judgeGrades(kv.key, kv.value);
  assert(judged.ok);
  return { ...judged.value, grades: Object.fromEntries(judged.value.grades) };
}

function detail(name: string) {
  const [kv] = world.local.entries(peerDetailKey(name));
  const judged = kv && judgePeerDetail(name, kv.key, kv.value);
  return judged?.ok ? judged.value : undefined;
}

const detailed = () => world.local.entries(PEER_DETAIL_PREFIX).map(({ key }) => key.slice(PEER_DETAIL_PREFIX.length));

/** Counts the writes of the grades from now on. */
function countWrites(): () => number {
  let writes = 0;
  world.local.client().watch(
    { key: PEER_GRADES_KEY },
    {
      created() {},
      events: (events: readonly WatchEvent[]) => {
        writes += events.length;
      },
      progress() {},
      ended() {},
    },
  );
  return () => writes;
}

test("grades are what the status says, written again at each interval with another sequence, and not leased", async () => {
  world.addRemote("osaka", 2);
  world.addRemote("virginia", 3);
  await clock.advance(4_000);
  const first = grades();
  assert.deepEqual(first.grades, { osaka: "fresh", virginia: "fresh" });
  assert.equal(first.intervalMs, GRADES_INTERVAL_MS);
  const writes = countWrites();
  await clock.advance(10 * GRADES_INTERVAL_MS);
  assert(writes() >= 8 && writes() <= 10, `${writes()} writes in 10 intervals without a change`);
  assert.equal(grades().sequence, first.sequence + writes());
  assert.deepEqual(detailed(), ["osaka", "virginia"]);
  for (const { key, leaseId } of world.local.entries(PEERS_PREFIX)) assert.equal(leaseId, 0n, key);
});

test("a grade that changes is told before the interval is over, with why, and what was counted", async () => {
  const osaka = world.addRemote("osaka", 2);
  world.addRemote("virginia", 3);
  await clock.advance(4_000);
  osaka.etcd.stop();
  const lostAtMs = clock.nowMs();
  while (grades().grades["osaka"] === "fresh" && clock.nowMs() < lostAtMs + 60_000) await clock.advance(100);
  assert.deepEqual(grades().grades, { osaka: "suspect", virginia: "fresh" });
  const tookMs = clock.nowMs() - lostAtMs;
  assert(tookMs < LIMITS.suspectAfterMs + 1_200, `${tookMs} ms`);
  await clock.advance(100);
  const told = detail("osaka");
  assert(told);
  assert.equal(told.grade, "suspect");
  assert.equal(told.connected, false);
  assert.equal(told.entries["ip"], 25);
  assert((told.ageMs ?? 0) >= LIMITS.suspectAfterMs);
  assert.match(told.lastError ?? "", /\S/);
  await clock.advance(LIMITS.staleAfterMs);
  assert.deepEqual(grades().grades, { osaka: "stale", virginia: "fresh" });
  osaka.etcd.start();
  await clock.advance(40_000);
  assert.deepEqual(grades().grades, { osaka: "fresh", virginia: "fresh" });
});

test("a removed remote disappears, its record too", async () => {
  world.addRemote("osaka", 2);
  world.addRemote("virginia", 3);
  await clock.advance(4_000);
  world.disk.remove(`${DIRECTORY}/osaka`);
  await clock.advance(1_500);
  assert.deepEqual(
    grades().grades,
    { osaka: "unproven", virginia: "fresh" },
    "being drained, it is vouched for no more",
  );
  await clock.advance(LIMITS.drainGraceMs + 3_000);
  assert.deepEqual(grades().grades, { virginia: "fresh" });
  assert.deepEqual(detailed(), ["virginia"]);
});

test("the next leader goes on from the last sequence, says first that nothing is proven, and clears what nobody else would", async () => {
  world.addRemote("osaka", 2);
  await clock.advance(4_000);
  await world.kill();
  const before = grades();
  world.local.edit({ operations: [{ put: { key: peerDetailKey("kyoto"), value: new Uint8Array([1]) } }] });
  await clock.advance(30_000);
  assert.deepEqual(grades(), before, "nothing is leased: what it said stays");
  const said: string[] = [];
  world.local.client().watch(
    { key: PEER_GRADES_KEY },
    {
      created() {},
      events: (events: readonly WatchEvent[]) => {
        for (const event of events) if (event.type === "put") said.push(Buffer.from(event.kv.value).toString());
      },
      progress() {},
      ended() {},
    },
  );
  await world.restart();
  await clock.advance(10_000);
  assert.match(said[0] ?? "", new RegExp(`^{"sequence":${before.sequence + 1},`));
  assert(!said[0]?.includes('"f"'), said[0]);
  assert.deepEqual(grades().grades, { osaka: "fresh" });
  assert.deepEqual(detailed(), ["osaka"]);
});

test("while the local etcd takes nothing, what waits is one write a key, and what lands is the newest", async () => {
  const osaka = world.addRemote("osaka", 2);
  await clock.advance(4_000);
  osaka.etcd.stop();
  world.local.stop();
  await clock.advance(LIMITS.suspectAfterMs + 20 * GRADES_INTERVAL_MS);
  assert(world.mirror.status().queued < 20, `${world.mirror.status().queued} writes wait`);
  const said: string[] = [];
  world.local.start();
  const begunAtMs = clock.nowMs();
  while (clock.nowMs() < begunAtMs + 20_000) {
    await clock.advance(50);
    said.push(grades().grades["osaka"] ?? "none");
  }
  assert.notEqual(said.at(-1), "fresh");
  const changed = said.findIndex((grade) => grade !== "fresh");
  assert(!said.slice(changed).includes("fresh"), `it was called fresh again: ${[...new Set(said)]}`);
});

test("a record that cannot be read is no reason to stay silent", async () => {
  await world.kill();
  world.local.edit({ operations: [{ put: { key: PEER_GRADES_KEY, value: new Uint8Array([0x7b]) } }] });
  world.addRemote("osaka", 2);
  await world.restart();
  await clock.advance(10_000);
  assert.deepEqual(grades().grades, { osaka: "fresh" });
  const taken = encodeGrades({ sequence: 9_000, intervalMs: 1, grades: new Map() });
  await world.kill();
  world.local.edit({ operations: [{ put: { key: PEER_GRADES_KEY, value: taken } }] });
  await world.restart();
  await clock.advance(10_000);
  assert(grades().sequence > 9_000, `${grades().sequence}`);
});
