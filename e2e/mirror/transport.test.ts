/** What the way to a remote may do in the middle of an answer: cut it, or carry it slowly. Real etcds, the real program. */
import assert from "node:assert/strict";
import type { Transform } from "node:stream";
import { after, afterEach, test } from "node:test";
import { prefixRange } from "../../src/follow/list.ts";
import type { WatchEvent } from "../../src/kv/client.ts";
import { judgeCheckpoint } from "../../src/wire/checkpoint.ts";
import { checkpointKey } from "../../src/wire/keys.ts";
import { Recorder } from "../../test/support/recorder.ts";
import { RealCluster } from "./cluster.ts";
import { FragmentCutter } from "./fragments.ts";
import { Lossy } from "./lossy.ts";
import { SlowLink } from "./slow-link.ts";
import { type MirrorProcess, pause, Stage, until } from "./stage.ts";
import { Wire } from "./wire.ts";

const PODS = 3_000;

let stage: Stage;
let osaka: RealCluster;
const wires: Wire[] = [];
afterEach(() => stage.end());
after(() => {
  for (const wire of wires) wire.close();
});

async function begin(pods: number): Promise<void> {
  stage = await Stage.start();
  osaka = await RealCluster.populated("osaka", 2, pods);
}

async function wireTo(server: RealCluster, through: () => Transform): Promise<Wire> {
  const wire = await Wire.start(Number(new URL(server.server.endpoint).port), through);
  wires.push(wire);
  stage.configure(server, `http://127.0.0.1:${wire.port}`);
  return wire;
}

const watching = (mirror: MirrorProcess, name: string): Promise<unknown> =>
  until(`${name} is watched`, async () => {
    const remote = await mirror.remote(name);
    return remote?.phase === "watching" && remote.grade === "fresh" ? true : undefined;
  });

const deletions = (events: readonly WatchEvent[]) => events.filter(({ type }) => type === "delete");

async function checkpoint(): Promise<number> {
  const key = checkpointKey("osaka");
  const { kvs } = await stage.kv.range({ key });
  const judged = judgeCheckpoint(key, kvs[0]?.value ?? new Uint8Array());
  assert(judged.ok);
  return judged.value.revision;
}

const BATCHES = 5;
const SERVICES = 9;

/** 6 MB in five revisions, each less than a fragment and more than half of one: fragments end inside of them. */
async function writeMuch(round: number): Promise<{ readonly first: number; readonly last: number }> {
  const first = (await osaka.revision()) + 1;
  for (let batch = 0; batch < BATCHES; batch++) {
    // Others than in the round before, so that every value changes.
    const backends = Array.from({ length: PODS - 1 - round }, (_, number) => number + 1 + round);
    for (let number = 0; number < SERVICES; number++) osaka.putService(`much-${batch}-${number}`, backends);
    osaka.remove(osaka.ipKey(1 + round * BATCHES + batch));
    await osaka.flush();
  }
  const last = await osaka.revision();
  assert.equal(last - first + 1, BATCHES, "one revision each");
  return { first, last };
}

test("W16: a watch response in fragments, cut between them: nothing of it counts until all of it came", async () => {
  await begin(PODS);
  const cutter = new FragmentCutter();
  const wire = await wireTo(osaka, () => cutter.lane());
  const mirror = stage.mirror();
  await stage.mirrored(osaka, PODS);
  await watching(mirror, "osaka");

  wire.cut(false);
  await writeMuch(0);
  wire.cut(true);
  await stage.mirrored(osaka, PODS);
  assert(cutter.fragments >= 2, `${cutter.fragments} fragments: whole, they pass`);
  await watching(mirror, "osaka");

  const events = await stage.record();
  wire.cut(false);
  const { first, last } = await writeMuch(1);
  const fragments = cutter.fragments;
  const lossesBefore = (await mirror.remote("osaka"))?.losses ?? 0;
  cutter.armed = true;
  wire.cut(true);
  await until("it was cut again and again", () => (cutter.cuts >= 3 ? true : undefined));
  assert(cutter.fragments - fragments >= 3, "each time after a whole fragment");
  await until("the losses are told", async () =>
    ((await mirror.remote("osaka"))?.losses ?? 0) >= lossesBefore + 3 ? true : undefined,
  );
  assert((await checkpoint()) < first, "nothing of the response counts as followed");
  assert.deepEqual(deletions(events), []);

  cutter.armed = false;
  await stage.mirrored(osaka, PODS);
  assert.equal(deletions(events).length, BATCHES, "what the remote deleted, and nothing else");
  assert.equal(events.length, BATCHES + BATCHES * SERVICES, "and each service was written once");
  await until("it is followed to the end", async () => ((await checkpoint()) >= last ? true : undefined));
});

test("W16: a watch that is cut between fragments was told nothing of them; uncut, all of them at once", async () => {
  await begin(PODS);
  const cutter = new FragmentCutter();
  const wire = await wireTo(osaka, () => cutter.lane());
  const { first } = await writeMuch(0);
  const kv = osaka.server.connect({ endpoints: [`http://127.0.0.1:${wire.port}`] });
  const request = { ...prefixRange("cilium/state/services/v1/osaka/"), startRevision: first };
  cutter.armed = true;
  const cut = new Recorder(kv, request);
  await until("it is cut", () => cut.end);
  assert.deepEqual([cut.end?.cause, cut.events.length], ["broken", 0]);
  assert.equal(cutter.cuts, 1);
  assert(cutter.fragments >= 1, "a whole fragment came");

  cutter.armed = false;
  const whole = new Recorder(kv, request);
  await until("all is told", () => (whole.events.length === BATCHES * SERVICES ? true : undefined));
  assert.equal(whole.responses.length, 1);
  kv.close();
});

/** Enough for a listing of many calls, few enough for a test. */
const SLOW_PODS = 2_000;
const LINK_BYTES_PER_SECOND = 64_000;
const LINK_DELAY_MS = 300;
const LOST_PERCENT = 5;
/** Of one call: less than a page of a thousand keys takes on that link. */
const CALL_MS = 2_500;

test("N04: 64 kB/s, 300 ms and 5 % loss: the listing outlives many deadlines and keeps its pages; another remote's updates do not wait", async (context) => {
  await begin(SLOW_PODS);
  const virginia = await RealCluster.populated("virginia", 3, 500);
  stage.configure(osaka);
  stage.configure(virginia);
  const before = stage.mirror();
  await stage.mirrored(osaka, SLOW_PODS);
  await stage.mirrored(virginia, 500);
  await before.kill();

  const link = new SlowLink(LINK_BYTES_PER_SECOND, LINK_DELAY_MS);
  const wire = await wireTo(osaka, () => link.lane());
  const lossy = await Lossy.start(wire.port, LOST_PERCENT);
  context.after(() => lossy.end());
  for (let number = 1; number <= 20; number++) osaka.putIp(number, "changed");
  for (let number = 21; number <= 30; number++) osaka.remove(osaka.ipKey(number));
  await osaka.flush();
  const events = await stage.record();
  const mirror = stage.mirror({
    "etcd-timeout-ms": CALL_MS,
    // From the default of 10,000 on two more would come to nothing, which says no more and takes longer.
    "page-size": 1_000,
    "etcd-keepalive-ms": 10_000,
    "etcd-keepalive-timeout-ms": 5_000,
    "progress-timeout-ms": 10_000,
  });
  await watching(mirror, "virginia");
  await until("osaka is listed", async () => ((await mirror.remote("osaka"))?.phase === "listing" ? true : undefined));
  const startedMs = performance.now();
  for (let round = 0; round < 10; round++) {
    virginia.putIp(1 + round, `round-${round}`);
    await virginia.flush();
    await stage.mirrored(virginia, 500);
    assert.equal((await mirror.remote("osaka"))?.phase, "listing", "virginia's come while osaka is listed");
    await pause(200);
  }
  await until("osaka is followed", async () =>
    (await mirror.remote("osaka"))?.phase === "watching" ? true : undefined,
  );
  const tookMs = performance.now() - startedMs;
  assert((await lossy.lost()) > 0, "packets were lost");
  assert(tookMs > 3 * CALL_MS, `${tookMs} ms: a listing in the time of a call proves nothing`);
  const bytes = [...osaka.wanted].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  assert(link.passed > bytes && link.passed < 2 * bytes, `${link.passed} of ${bytes}: no page but one came twice`);
  await stage.mirrored(osaka, SLOW_PODS - 10);
  assert.equal(deletions(events).length, 10, "what the remote deleted, and nothing else");
  const remote = await mirror.remote("osaka");
  assert.deepEqual([remote?.failures, remote?.losses, remote?.holds], [0, 0, []], JSON.stringify(remote));
});
