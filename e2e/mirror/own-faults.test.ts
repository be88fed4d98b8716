/** What may happen to the mirror itself and to its own etcd: nothing expires, nothing old wins, nobody is stopped for good. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { revisionOf, type WatchEvent } from "../../src/kv/client.ts";
import { RealCluster } from "./cluster.ts";
import { DRAIN_GRACE_MS, LEASE_TTL_SECONDS, type MirrorProcess, pause, Stage, until } from "./stage.ts";

const LONGER_THAN_ANY_LEASE_MS = 3 * LEASE_TTL_SECONDS * 1_000;

let stage: Stage;
let osaka: RealCluster;
afterEach(() => stage.end());

async function begin(pods: number, flags: readonly string[] = []): Promise<MirrorProcess> {
  stage = await Stage.start(flags);
  osaka = await RealCluster.populated("osaka", 2, pods);
  stage.configure(osaka);
  const mirror = stage.mirror();
  await stage.mirrored(osaka, pods);
  return mirror;
}

const deletions = (events: readonly WatchEvent[]) => events.filter(({ type }) => type === "delete");

test("L05: killed, 40 keys deleted at the remote meanwhile, restarted: they go at once; no live key is touched", async () => {
  const mirror = await begin(3_000);
  const events = await stage.record();
  await mirror.kill();
  for (let number = 1; number <= 40; number++) osaka.remove(osaka.ipKey(number));
  await osaka.flush();
  mirror.start();
  await stage.mirrored(osaka, 2_960);
  assert.equal(deletions(events).length, 40);
  assert.equal(events.length, 40);
});

test("L06: killed and left down, or stopped, for longer than any lease: not one key goes, none has a lease", async () => {
  const mirror = await begin(3_000);
  const before = await stage.fingerprint(osaka);
  const stopped = stage.mirror();
  await mirror.kill();
  await until("the other one leads", async () => ((await stopped.status())?.leader ? true : undefined));
  stopped.stop();
  await pause(LONGER_THAN_ANY_LEASE_MS);
  assert.equal(await stage.fingerprint(osaka), before);
  assert((await stage.held("cilium/cache/")).size > 3_000);
  for (const prefix of ["cilium/cache/", "cilium/synced/", "cilium/cluster-config/"]) {
    for (const [key, { leaseId }] of await stage.held(prefix)) assert.equal(leaseId, 0n, key);
  }
});

test("L09: the leader is stopped for longer than its lease, another one leads, the first wakes: none of its writes counts", async () => {
  const first = await begin(1_000);
  const second = stage.mirror();
  await until("the first leads", async () => ((await first.status())?.leader ? true : undefined));
  const events = await stage.record();
  for (let number = 1; number <= 500; number++) osaka.putIp(number, "old");
  await osaka.flush();
  first.stop();
  await until("the second leads", async () => ((await second.status())?.leader ? true : undefined));
  for (let number = 1; number <= 500; number++) osaka.putIp(number, "new");
  await osaka.flush();
  await stage.mirrored(osaka, 1_000);
  const revision = (await stage.kv.range({ key: "none" })).revision;
  first.cont();
  await pause(2_000);
  assert.equal(first.alive, true, "it stands again in the same process");
  assert.equal((await first.status())?.leader, false);
  assert.equal(await stage.difference(osaka), undefined);
  assert.deepEqual(
    events.filter((event) => revisionOf(event) > revision),
    [],
    "not one stale write",
  );
});

test("L04: the own etcd down and back with its data: the process lives, updates flow at once, no wait for a dead lock", async () => {
  const mirror = await begin(3_000);
  const { pid } = mirror;
  await stage.local.kill();
  osaka.putIp(1, "meanwhile");
  osaka.remove(osaka.ipKey(2));
  await osaka.flush();
  await pause(LONGER_THAN_ANY_LEASE_MS);
  assert(mirror.alive, mirror.output);
  await stage.local.restart();
  await stage.mirrored(osaka, 2_999);
  assert.equal(mirror.pid, pid);
});

test("L11: the own etcd back empty: everything is there again", async () => {
  const mirror = await begin(3_000);
  await stage.local.wipe();
  await stage.mirrored(osaka, 3_000);
  assert(mirror.alive);
});

test("L13: the own etcd hangs with writes on their way, newer values come, it wakes: the newest win", async () => {
  const mirror = await begin(1_000);
  for (let round = 0; round < 3; round++) {
    for (let number = 1; number <= 300; number++) osaka.putIp(number, `old-${round}`);
    await osaka.flush();
    stage.local.stop();
    for (let number = 1; number <= 300; number++) osaka.putIp(number, `new-${round}`);
    await osaka.flush();
    // Longer than the deadline of a write.
    await pause(1_500);
    stage.local.cont();
    await stage.mirrored(osaka, 1_000);
    await pause(300);
    assert.equal(await stage.difference(osaka), undefined, "and it stays so");
  }
  assert(mirror.alive);
});

test("L03: the own etcd is out of space: deletions still flow; with space again everything does", async () => {
  const mirror = await begin(500, ["--quota-backend-bytes=16777216"]);
  const waste = new Uint8Array(1024 * 1024);
  const fill = async (): Promise<void> => {
    for (let number = 0; number < 64; number++) {
      await stage.kv.txn({ operations: [{ put: { key: `waste/${number}`, value: waste } }] });
    }
  };
  await assert.rejects(fill(), /space/);
  osaka.putIp(1, "held up");
  osaka.remove(osaka.ipKey(2));
  await osaka.flush();
  const gone = "cilium/cache/ip/v1/osaka/10.2.0.2";
  await until("the deletion is through", async () => ((await stage.cache(osaka)).has(gone) ? undefined : true));
  assert.notEqual(await stage.difference(osaka), undefined, "the put is not");
  assert(mirror.alive);
  const { revision } = await stage.kv.txn({ operations: [{ delete: { key: "waste/", rangeEnd: "waste0" } }] });
  await stage.local.compact(revision);
  await stage.local.post("maintenance/defragment", {});
  const { alarms } = (await stage.local.post("maintenance/alarm", { action: "GET" })) as { alarms: readonly object[] };
  await stage.local.post("maintenance/alarm", { ...alarms[0], action: "DEACTIVATE" });
  await stage.mirrored(osaka, 499);
});

test("C01: all files vanish: nothing is drained; one of two vanishes: that one is, in its time", async () => {
  const mirror = await begin(500);
  const virginia = await RealCluster.populated("virginia", 3, 500);
  stage.configure(virginia);
  await stage.mirrored(virginia, 500);
  const before = (await stage.fingerprint(osaka)) + (await stage.fingerprint(virginia));
  stage.unconfigure(osaka);
  stage.unconfigure(virginia);
  await until("it is seen", async () =>
    (await mirror.status())?.remotes.every(({ holds }) => holds.some(({ kind }) => kind === "config"))
      ? true
      : undefined,
  );
  await pause(2 * DRAIN_GRACE_MS);
  assert.equal((await stage.fingerprint(osaka)) + (await stage.fingerprint(virginia)), before);
  stage.configure(osaka);
  stage.configure(virginia);
  await stage.mirrored(osaka, 500);
  await until("both are followed", async () =>
    (await mirror.status())?.remotes.every(({ phase }) => phase === "watching") ? true : undefined,
  );
  stage.unconfigure(virginia);
  await until("virginia is drained", async () => ((await stage.cache(virginia)).size === 0 ? true : undefined));
  await stage.mirrored(osaka, 500);
});

test("S03, S04: a remote that speaks of what is not its own: refused with the reason, its other values flow", async () => {
  const mirror = await begin(500);
  const before = await stage.fingerprint(osaka);
  const ip = (address: string, id: number): void =>
    osaka.put(`cilium/state/ip/v1/default/${address}`, `{"IP":"${address}","HostIP":"","ID":${id}}`);
  ip("10.2.0.1", 3);
  ip("10.2.0.2", 3 * 65_536 + 300);
  ip("169.254.169.254", osaka.identity(0));
  ip("10.9.9.9", osaka.identity(0));
  await osaka.flush();
  await until("all four are set aside", async () => {
    const { rejected = 0, parked = 0 } = (await mirror.remote("osaka")) ?? {};
    return rejected === 3 && parked === 1 ? true : undefined;
  });
  assert.equal(await stage.fingerprint(osaka), before);
  osaka.putIp(1);
  osaka.putIp(2);
  for (const address of ["169.254.169.254", "10.9.9.9"]) osaka.remove(`cilium/state/ip/v1/default/${address}`);
  await osaka.flush();
  await stage.mirrored(osaka, 500);
});
