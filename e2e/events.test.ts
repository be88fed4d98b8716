/**
 * Events over a real NATS that is frozen, killed and back while mirrors have much to tell: each arrives once or is counted as lost, and nothing
 * else notices. Every interval is a thirtieth or less of what it is in earnest, so that half a minute stands for the ten of the promise.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { EventsStatus, MeshEvent } from "../src/model/event.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { EVENT_STREAM, EVENT_SUBJECTS, judgeEvent } from "../src/wire/event.ts";
import { TestNats } from "../test/support/nats.ts";
import { RealCluster } from "./mirror/cluster.ts";
import { type MirrorProcess, pause, Stage, until } from "./mirror/stage.ts";

const PODS = 500;
const FROZEN_MS = 5_000;
const KILLED_MS = 15_000;
const BULKHEAD = fileURLToPath(new URL("../src/bulkhead.ts", import.meta.url));
const QUICK = { "events-interval-ms": 20, "nats-timeout-ms": 500, "nats-ping-interval-ms": 300 };
/** That come and go at once. */
const FILES = 5;
/** So few that they do not fit. */
const FEW = 50;

let stage: Stage;
let osaka: RealCluster;
let nats: TestNats;
let leader: MirrorProcess;
/** Its spool is too small for what happens meanwhile. */
let standby: MirrorProcess;
let follower: ChildProcess;
let followed = "";
let said = "";

before(async () => {
  nats = await TestNats.start();
  stage = await Stage.start();
  osaka = await RealCluster.populated("osaka", 2, PODS);
  stage.configure(osaka);
  leader = stage.mirror({ ...QUICK, "nats-url": nats.url });
  await stage.mirrored(osaka, PODS);
  standby = stage.mirror({ ...QUICK, "nats-url": nats.url, "events-max-waiting": FEW });
  await until("both tell", async () => (await counts(leader)).connected && (await counts(standby)).connected);
});

after(async () => {
  follower?.kill("SIGKILL");
  await stage.end();
  nats.thaw();
  await nats.end();
});

async function counts(mirror: MirrorProcess): Promise<EventsStatus> {
  const events = (await mirror.status())?.events;
  return events ?? { connected: false, emitted: 0, sent: 0, lost: 0, waiting: 0 };
}

/** What the stream holds. */
async function stored(): Promise<readonly MeshEvent[]> {
  const bus = nats.connect();
  const events: MeshEvent[] = [];
  const request = { stream: EVENT_STREAM, subject: EVENT_SUBJECTS, follow: false };
  for await (const { subject, data } of bus.read(request, new AbortController().signal)) {
    const judged = judgeEvent(subject, data);
    assert(judged.ok, JSON.stringify(judged));
    events.push(judged.value);
  }
  bus.close();
  return events;
}

/**
 * Trouble without end, until the signal aborts: files that no remote can have come and go, which is two events each for each mirror, while osaka
 * changes what it says. The result is how many files.
 */
async function trouble(signal: AbortSignal): Promise<number> {
  let round = 0;
  while (!signal.aborted) {
    const files = Array.from({ length: FILES }, (_, at) => join(stage.folder, "mesh", `No_Remote_${at}_of_${round}`));
    round++;
    for (const file of files) writeFileSync(file, "endpoints:\n- http://127.0.0.1:1\n");
    osaka.putIp(1 + (round % PODS), `round-${round}`);
    await osaka.flush();
    await pause(150);
    for (const file of files) rmSync(file);
    await pause(150);
  }
  return round * FILES;
}

/** The follower's whole lines. */
function followedIds(): readonly string[] {
  const lines = followed.slice(0, followed.lastIndexOf("\n") + 1).split("\n");
  return lines.filter(Boolean).map((line) => (JSON.parse(line) as MeshEvent).id);
}

function follow(): void {
  const args = [BULKHEAD, "events", "--follow", "--json", "--since", "1h", "--run-dir", join(stage.folder, "run-0")];
  follower = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  follower.stdout?.on("data", (chunk: Buffer) => {
    followed += chunk.toString();
  });
  follower.stderr?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
}

/** The mirror does its job: what osaka says now is in the cache, within the usual bound, and nothing is said to be wrong but the file of the test. */
async function mirrorGoesOn(round: number): Promise<void> {
  osaka.putIp(PODS + round, "while NATS is away");
  await osaka.flush();
  const startMs = systemClock.nowMs();
  await until("it is mirrored", async () => (await stage.cache(osaka)).has(cacheKey(PODS + round)));
  const tookMs = systemClock.nowMs() - startMs;
  const [status, other] = [await leader.status(), await standby.status()];
  assert(tookMs < 5_000, `mirrored after ${tookMs} ms`);
  assert.deepEqual([status?.leader, other?.leader], [true, false]);
  const [remote] = status?.remotes ?? [];
  assert.deepEqual([remote?.phase, remote?.grade, remote?.breaker], ["watching", "fresh", "closed"]);
  for (const problem of [...(status?.problems ?? []), ...(other?.problems ?? [])]) assert.match(problem, /No_Remote_/);
}

const cacheKey = (number: number): string =>
  osaka.ipKey(number).replace("cilium/state/ip/v1/default/", "cilium/cache/ip/v1/osaka/");

test("NATS frozen, killed and back, under load", async (t) => {
  follow();
  await until("the follower reads", () => followedIds().length > 0);
  const stop = new AbortController();
  const troubled = trouble(stop.signal);
  await until("events flow", async () => (await counts(leader)).sent > 10);

  await nats.freeze();
  await pause(FROZEN_MS);
  await mirrorGoesOn(1);
  assert.equal((await counts(leader)).connected, false, "a server that is silent is noticed");
  nats.thaw();
  // What it was sent while it was frozen it takes now, some of it for the second time.
  await until(
    "events flow again",
    async () => (await counts(leader)).connected && (await counts(leader)).waiting === 0,
  );
  await nats.kill();
  await pause(KILLED_MS / 2);
  await mirrorGoesOn(2);
  await pause(KILLED_MS / 2);
  await mirrorGoesOn(3);
  const away = [await counts(leader), await counts(standby)] as const;
  assert(away[0].waiting > FEW, `only ${away[0].waiting} wait: not enough was told to prove anything`);
  assert(away[1].lost > 0, "the standby's spool was full");
  assert(away[1].waiting <= FEW);

  await nats.restart();
  await until("events flow again", async () => (await counts(leader)).connected && (await counts(standby)).connected);
  await pause(1_000);
  stop.abort();
  const files = await troubled;
  for (const mirror of [leader, standby]) {
    // What is made within a look of the end is counted too.
    await pause(500);
    await until("nothing waits", async () => (await counts(mirror)).waiting === 0);
  }
  const [of, ofStandby] = [await counts(leader), await counts(standby)];
  const events = await stored();
  assert.equal(new Set(events.map(({ id }) => id)).size, events.length, "each once");
  assert(of.emitted > files, `${of.emitted} of ${files} files`);
  assert.equal(of.lost, 0);
  assert.equal(events.length, of.emitted + ofStandby.emitted - ofStandby.lost, "each arrived or is counted");
  assert.deepEqual([of.sent, ofStandby.sent], [of.emitted, ofStandby.emitted - ofStandby.lost]);
  const runs = Map.groupBy(events, ({ id }) => id.split("-")[0]);
  assert.deepEqual([...runs.values()].map((own) => Math.max(...own.map(({ lost }) => lost))).sort(), [
    0,
    ofStandby.lost,
  ]);
  t.diagnostic(`${of.emitted} and ${ofStandby.emitted} events, ${ofStandby.lost} lost, ${away[0].waiting} waited`);

  const ids = events.map(({ id }) => id);
  await until("the follower has them all", () => followedIds().length >= ids.length);
  assert.deepEqual([...followedIds()].sort(), [...ids].sort(), "the follower got each once");
  assert.match(said, /^! events cannot be read: .*; trying again$/m);
  await stage.mirrored(osaka, PODS + 3);
});

test("kill -9 of the leader is told by the other: it leads, it starts", async () => {
  await leader.kill();
  await until("the standby leads", async () => (await standby.status())?.leader);
  leader.start();
  await until("both are told", async () => {
    const events = await stored();
    const led = events.filter(({ kind, details }) => kind === "leader" && details["leads"] === true);
    const started = events.filter(({ kind }) => kind === "restart");
    return led.length === 2 && started.length === 3;
  });
});

test("a remote that dies and comes back: breaker, grades, in order", async () => {
  await osaka.server.kill();
  const kinds = async (): Promise<readonly string[]> => {
    const events = await stored();
    const ofOsaka = events.filter(({ kind, remote }) => remote === "osaka" && (kind === "breaker" || kind === "grade"));
    return ofOsaka.map(({ kind, details }) => `${kind} ${details["state"] ?? details["to"]}`);
  };
  const from = (await kinds()).length;
  await until("its state is stale", async () => (await kinds()).includes("grade stale"));
  await osaka.server.restart();
  await until("it is well again", async () => {
    const since = (await kinds()).slice(from);
    return since.includes("grade fresh") && since.includes("breaker closed");
  });
  const seen = (await kinds()).slice(from);
  assert.deepEqual([...new Set(seen)].sort(), [
    "breaker closed",
    "breaker open",
    "grade fresh",
    "grade stale",
    "grade suspect",
  ]);
  assert(seen.indexOf("breaker open") < seen.indexOf("breaker closed"));
  assert(seen.indexOf("grade suspect") < seen.indexOf("grade stale"));
});
