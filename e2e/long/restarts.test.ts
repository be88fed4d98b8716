/** A mirror of many keys that is killed again and again. Beside other work its lag would say nothing: it runs alone. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { RealCluster } from "../mirror/cluster.ts";
import { LEASE_TTL_SECONDS, type MirrorProcess, pause, Stage, until } from "../mirror/stage.ts";

const PODS = 20_000;

let stage: Stage;
let osaka: RealCluster;
afterEach(() => stage.end());

async function begin(): Promise<MirrorProcess> {
  stage = await Stage.start();
  osaka = await RealCluster.populated("osaka", 2, PODS);
  stage.configure(osaka);
  const mirror = stage.mirror();
  await stage.mirrored(osaka, PODS, 90_000);
  return mirror;
}

/** Revision at which the leader's lock was made. */
async function lock(): Promise<number> {
  const [held] = (await stage.held("cilium/kvstoremesh-lock/")).values();
  return held?.createRevision ?? 0;
}

/** No lease was lost, and none was near it: no work held up the loop for longer than a quarter of what a lease lasts. */
async function inTime(mirror: MirrorProcess): Promise<void> {
  const exported = 'bulkhead_event_loop_lag_max_seconds{since="start"}';
  const lag = await until("a lag is measured", async () => (await mirror.metric(exported)) || undefined);
  assert(lag < LEASE_TTL_SECONDS / 4, `${lag} s`);
}

test("killed and restarted again and again with 20,000 keys: no live key ever disappears, no lease is lost in between", async () => {
  const mirror = await begin();
  const written = Array.from((await stage.cache(osaka)).values(), ({ createRevision }) => createRevision);
  const began = await lock();
  assert(began > 0 && began < Math.min(...written), "the lock is older than all that was written under it");
  await inTime(mirror);
  const events = await stage.record();
  for (let round = 0; round < 3; round++) {
    await mirror.kill();
    osaka.putIp(1 + round, `round-${round}`);
    await osaka.flush();
    mirror.start();
    await pause(1_000 + 700 * round);
  }
  await until("it leads again", async () => ((await mirror.status())?.leader ? true : undefined));
  const term = await lock();
  await stage.mirrored(osaka, PODS, 90_000);
  await until("it follows again", async () => ((await mirror.remote("osaka"))?.audited ? true : undefined));
  await pause(LEASE_TTL_SECONDS * 1_000);
  assert.equal(await lock(), term, "renewed in time");
  await inTime(mirror);
  assert.deepEqual(
    events.filter(({ type }) => type === "delete"),
    [],
  );
  assert.equal(events.length, 3, "and nothing but the changes was written");
});
