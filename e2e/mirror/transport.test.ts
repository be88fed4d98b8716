/** What links may do to long answers. Real etcds, the real program, a wire that the test holds. */
import assert from "node:assert/strict";
import { after, afterEach, beforeEach, test } from "node:test";
import { RealCluster } from "./cluster.ts";
import { Stage, until } from "./stage.ts";
import { Wire } from "./wire.ts";

const PODS = 1_500;
const BIG_SERVICES = 90;
/** Of each of them. */
const BACKENDS = 1_200;
/** etcd sends no more than this in one piece. */
const FRAGMENT_BYTES = 1.5 * 1024 * 1024;
const SLOW = { bytesPerSecond: 64_000, delayMs: 150 };
/** A page of the default size takes longer than a call may. */
const PATIENT = { "etcd-keepalive-ms": 10_000, "etcd-keepalive-timeout-ms": 5_000 };

let stage: Stage;
let osaka: RealCluster;
const wires: Wire[] = [];

beforeEach(async () => {
  stage = await Stage.start();
  osaka = await RealCluster.start("osaka", 2);
  osaka.populate(PODS);
  osaka.announce();
  await osaka.flush();
});
afterEach(() => stage.end());
after(() => {
  for (const wire of wires) wire.close();
});

async function wireTo(cluster: RealCluster): Promise<Wire> {
  const wire = await Wire.start(Number(new URL(cluster.server.endpoint).port));
  wires.push(wire);
  return wire;
}

test("W16: the stream breaks between the fragments of a long answer, again and again: nothing is lost, nothing comes twice", async () => {
  const wire = await wireTo(osaka);
  stage.configure(osaka, `http://127.0.0.1:${wire.port}`);
  const mirror = stage.mirror();
  await stage.mirrored(osaka, PODS);
  await until("osaka is watched", async () =>
    (await mirror.remote("osaka"))?.phase === "watching" ? true : undefined,
  );
  const seen = await stage.record();
  wire.cut(false);
  const many = Array.from({ length: BACKENDS }, (_, index) => index + 1);
  for (let number = 1; number <= BIG_SERVICES; number++) {
    osaka.putService(`big-${number}`, many);
    await osaka.flush();
  }
  for (let number = 1; number <= 10; number++) osaka.remove(osaka.ipKey(number));
  await osaka.flush();
  const bytes = [...osaka.truth().values()].reduce((sum, value) => sum + value.length, 0);
  assert(bytes > 3 * FRAGMENT_BYTES, `only ${bytes} bytes`);

  const { accepted } = wire;
  for (const share of [0.5, 1.3, 2.2]) {
    const { carried } = wire;
    wire.cutAfter(share * FRAGMENT_BYTES);
    if (share === 0.5) wire.cut();
    await until(`it was cut after ${share} fragments`, () => wire.carried - carried >= share * FRAGMENT_BYTES);
  }
  await stage.mirrored(osaka, PODS - 10 + BIG_SERVICES);
  assert(wire.accepted > accepted + 3, "it was connected anew each time");
  const gone = seen.flatMap((event) => (event.type === "delete" ? event.key : []));
  const removed = Array.from({ length: 10 }, (_, index) => `cilium/cache/ip/v1/osaka/${osaka.address(index + 1)}`);
  assert.deepEqual(gone.filter((key) => !key.endsWith("/drain")).sort(), removed.sort());
  const puts = seen.flatMap((event) => (event.type === "put" && event.kv.key.includes("/big-") ? event.kv.key : []));
  assert.equal(puts.length, BIG_SERVICES, "each service was written once");
});

test("N04: a remote behind 64 kB/s is listed page by page, and others do not wait for it", async () => {
  const wire = await wireTo(osaka);
  wire.slowness = SLOW;
  const virginia = await RealCluster.start("virginia", 3);
  virginia.populate(20);
  virginia.announce();
  await virginia.flush();
  stage.configure(virginia);
  const mirror = stage.mirror(PATIENT);
  await stage.mirrored(virginia, 20);
  stage.configure(osaka, `http://127.0.0.1:${wire.port}`);
  await until("osaka is listed", async () => ((await mirror.remote("osaka"))?.phase === "listing" ? true : undefined));

  let slowestMs = 0;
  for (let round = 0; (await mirror.remote("osaka"))?.phase === "listing"; round++) {
    const saidMs = performance.now();
    virginia.putIp(1, `round-${round}`);
    await virginia.flush();
    await stage.mirrored(virginia, 20);
    slowestMs = Math.max(slowestMs, performance.now() - saidMs);
  }
  assert(slowestMs > 0 && slowestMs < 2_000, `virginia took ${Math.round(slowestMs)} ms`);
  await stage.mirrored(osaka, PODS);
  const remote = await mirror.remote("osaka");
  assert.equal(remote?.failures, 0, `${remote?.lastError}`);
  assert(wire.carried > 200_000, `${wire.carried} bytes`);
});
