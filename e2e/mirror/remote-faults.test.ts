/** What a remote's etcd may do: nothing of it changes the cache that should not. Real etcds, the real program. */
import assert from "node:assert/strict";
import { after, afterEach, beforeEach, test } from "node:test";
import type { HeldKey } from "../../src/model/status.ts";
import { cacheKey } from "../../src/wire/resources.ts";
import { RealCluster } from "./cluster.ts";
import { HOLD_CONFIRM_MS, type MirrorProcess, pause, Stage, until } from "./stage.ts";
import { Wire } from "./wire.ts";

const PODS = 3_000;

let stage: Stage;
let osaka: RealCluster;
let mirror: MirrorProcess;
const wires: Wire[] = [];

beforeEach(async () => {
  stage = await Stage.start();
  osaka = await RealCluster.populated("osaka", 2, PODS);
});
afterEach(() => stage.end());
after(() => {
  for (const wire of wires) wire.close();
});

async function mirrorDirectly(): Promise<void> {
  stage.configure(osaka);
  mirror = stage.mirror();
  await stage.mirrored(osaka, PODS);
  await watching();
}

const watching = (): Promise<unknown> =>
  until("osaka is watched", async () => {
    const remote = await mirror.remote("osaka");
    return remote?.phase === "watching" && remote.grade === "fresh" ? true : undefined;
  });

const portOf = (cluster: RealCluster): number => Number(new URL(cluster.server.endpoint).port);

async function mirrorByWire(): Promise<Wire> {
  const wire = await Wire.start(portOf(osaka));
  wires.push(wire);
  stage.configure(osaka, `http://127.0.0.1:${wire.port}`);
  mirror = stage.mirror();
  await stage.mirrored(osaka, PODS);
  await watching();
  return wire;
}

test("a remote killed and back with its data: its keys stay, updates flow again", async () => {
  await mirrorDirectly();
  const before = await stage.fingerprint(osaka);
  await osaka.server.kill();
  await until("it is noticed", async () => ((await mirror.remote("osaka"))?.connected === false ? true : undefined));
  await pause(3_000);
  assert.equal(await stage.fingerprint(osaka), before);
  await osaka.server.restart();
  osaka.putIp(1, "changed");
  osaka.remove(osaka.ipKey(2));
  await osaka.flush();
  await stage.mirrored(osaka, PODS - 1);
});

test("W13, W10: back empty under the same cluster id, then refilled with less past the old revision: held, then believed", async () => {
  await mirrorDirectly();
  const before = await stage.fingerprint(osaka);
  const revision = await osaka.revision();
  await osaka.server.wipe();
  await pause(3_000);
  assert.equal(await stage.fingerprint(osaka), before, "W13: an empty etcd withdraws nothing");

  for (let number = PODS - 999; number <= PODS; number++) osaka.remove(osaka.ipKey(number));
  await osaka.refill();
  while ((await osaka.revision()) <= revision + 10) {
    osaka.beat();
    await osaka.flush();
  }
  const refilledMs = performance.now();
  await until("the mirror has seen it", async () => {
    const holds = (await mirror.remote("osaka"))?.holds ?? [];
    return holds.some(({ kind, keys }) => kind === "ip" && keys === 1_000) ? true : undefined;
  });
  assert.equal((await stage.cache(osaka)).size, PODS + 3, "the 1,000 are held");
  await stage.mirrored(osaka, PODS - 1_000);
  assert(performance.now() - refilledMs >= HOLD_CONFIRM_MS, "not before it was confirmed");
});

test("W14: 1,000 deletions within a second: a fifth of all at most is believed, the rest held and listed; an operator confirms it", async () => {
  await mirrorDirectly();
  for (let number = 1; number <= 1_000; number++) osaka.remove(osaka.ipKey(number));
  await osaka.flush();
  const gone = async (): Promise<number> => PODS + 3 - (await stage.cache(osaka)).size;
  const held = async (): Promise<number> =>
    (await mirror.remote("osaka"))?.holds.find(({ kind }) => kind === "ip")?.keys ?? 0;
  // They come in ten revisions: what was told before it was too much is gone.
  await until("the rest is held", async () => ((await held()) + (await gone()) === 1_000 ? true : undefined));
  const believed = await gone();
  assert(believed <= PODS / 5 && (await held()) >= 400, `${believed} were believed`);
  await pause(1_000);
  assert.equal(await gone(), believed, "and no more goes");
  await mirror.tell("/v1/holds/confirm", { remote: "osaka", kind: "ip" });
  await stage.mirrored(osaka, PODS - 1_000);
});

test("W14: an operator decides key by key, also over kill -9; and gives up a value that is refused", async () => {
  await mirrorDirectly();
  for (let number = 1; number <= 1_000; number++) osaka.remove(osaka.ipKey(number));
  await osaka.flush();
  const isCached = async (key: string): Promise<boolean> => (await stage.cache(osaka)).has(key);
  const [gone, stays] = await until("some are held", async () => {
    const held = (await mirror.ask("/v1/holds")) as readonly HeldKey[];
    return held.length >= 400 ? held.map(({ key }) => key) : undefined;
  });
  assert(gone && stays);
  const hold = { remote: "osaka", kind: "ip" };
  assert.deepEqual(await mirror.tell("/v1/holds/discard", { ...hold, keys: [gone, stays] }), { ...hold, keys: 2 });
  assert.deepEqual(await mirror.tell("/v1/holds/confirm", { ...hold, keys: [gone] }), { ...hold, keys: 1 });
  await until("the confirmed one is gone", async () => ((await isCached(gone)) ? undefined : true));
  const onlyOne = () =>
    until("one is discarded, and nothing else held", async () => {
      const holds = (await mirror.remote("osaka"))?.holds ?? [];
      const [one] = holds;
      return holds.length === 1 && one?.state === "discarded" && one.keys === 1 ? true : undefined;
    });
  await onlyOne();
  assert.deepEqual([await isCached(gone), await isCached(stays)], [false, true]);
  await mirror.kill();
  mirror.start();
  await watching();
  await pause(HOLD_CONFIRM_MS + 1_000);
  await onlyOne();
  assert.equal((await stage.cache(osaka)).size, PODS + 3 - 1_000 + 1);
  await mirror.tell("/v1/holds/confirm", { ...hold, keys: [stays] });
  await stage.mirrored(osaka, PODS - 1_000);

  const good = osaka.wanted.get(osaka.ipKey(2_000));
  assert(good);
  osaka.put(osaka.ipKey(2_000), "{}");
  await osaka.flush();
  await until("it is refused", async () => ((await mirror.remote("osaka"))?.rejected === 1 ? true : undefined));
  const refused = cacheKey("ip", "osaka", osaka.address(2_000));
  assert.equal(await isCached(refused), true, "the last good value stays");
  const keys = [osaka.ipKey(2_000)];
  await assert.rejects(
    mirror.tell("/v1/rejected/discard", { remote: "osaka", keys: [...keys, "none"] }),
    /none is not/,
  );
  assert.equal(await isCached(refused), true);
  const done = await mirror.tell("/v1/rejected/discard", { remote: "osaka", reason: "malformed", keys });
  assert.deepEqual(done, { remote: "osaka", withdrawn: 1, forgotten: 0 });
  await until("it is gone", async () => ((await isCached(refused)) ? undefined : true));
  osaka.put(osaka.ipKey(2_000), good);
  await osaka.flush();
  await stage.mirrored(osaka, PODS - 1_000);
});

test("W01: its history is compacted while nobody listens: listed again, converged", async () => {
  await mirrorDirectly();
  mirror.stop();
  for (let number = 1; number <= 40; number++) osaka.remove(osaka.ipKey(number));
  osaka.putIp(100, "changed");
  await osaka.flush();
  await osaka.server.compact(await osaka.revision());
  // Its connections must be gone, else the server has the events queued for it.
  await osaka.server.restart();
  mirror.cont();
  await stage.mirrored(osaka, PODS - 40);
});

test("W12: another etcd, another cluster id, behind the same address: nothing goes unconfirmed", async () => {
  const wire = await mirrorByWire();
  const other = await RealCluster.start("osaka", 2, { flags: ["--initial-cluster-token=another"] });
  try {
    for (const [key, value] of osaka.wanted) other.put(key, value);
    for (let number = 1; number <= 10; number++) other.remove(other.ipKey(number));
    other.putIp(50, "changed");
    await other.flush();
    wire.leadTo(portOf(other));
    await until("its changes are there", async () =>
      (await mirror.remote("osaka"))?.holds.some(({ keys }) => keys === 10) ? true : undefined,
    );
    assert.equal((await stage.cache(osaka)).size, PODS + 3);
    await stage.mirrored(other, PODS - 10);
  } finally {
    await other.end();
  }
});

test("N01: a remote that falls silent (SIGSTOP) or is blackholed is noticed, keeps its keys, and goes on where it was", async () => {
  const wire = await mirrorByWire();
  const before = await stage.fingerprint(osaka);
  for (const [silence, speech] of [
    [() => osaka.server.stop(), () => osaka.server.cont()],
    [() => wire.freeze(), () => wire.cut()],
  ] as const) {
    silence();
    await until("it is noticed", async () => ((await mirror.remote("osaka"))?.connected === false ? true : undefined));
    assert.equal(await stage.fingerprint(osaka), before);
    speech();
    await watching();
    assert.equal(await stage.fingerprint(osaka), before, "not one key was written again");
  }
  osaka.putIp(7, "changed");
  await osaka.flush();
  await stage.mirrored(osaka, PODS);
});

test("N03: a link that flaps: few connections, no deletion, and it converges", async () => {
  const wire = await mirrorByWire();
  const events = await stage.record();
  wire.accepted = 0;
  const startedMs = performance.now();
  for (let round = 0; round < 12; round++) {
    wire.cut(false);
    await pause(500);
    wire.cut(true);
    osaka.putIp(1 + round, `round-${round}`);
    await osaka.flush();
    await pause(500);
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  // Each try makes up to three connections, and the shortest wait of these settings is 50 ms, growing to 1 s.
  assert(wire.accepted / seconds <= 12, `${(wire.accepted / seconds).toFixed(1)} connections a second`);
  await stage.mirrored(osaka, PODS);
  assert.deepEqual(
    events.filter(({ type }) => type === "delete"),
    [],
  );
});
