/** Identities that nobody has are taken back: not at once, not while a source cannot be heard, not while an address stands for one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL, cluster, LEDGER_POD } from "./kube-cluster.ts";
import { BILLING, joined, podText, Scene } from "./scene.ts";

const TICK_MS = 10_000;
/** As by default, each minute a tick. */
const TIMES = { identityKeepMs: 30 * TICK_MS, auditIntervalMs: 5 * TICK_MS, manifestIntervalMs: 2_000 };

/** What follows `/id/` of the state keys. */
const shared = async (scene: Scene): Promise<readonly string[]> =>
  [...(await scene.keys()).keys()].filter((key) => key.startsWith("cilium/state/identities/v1/id/"));

/** A pod of other labels, then the last one to come: its number is the highest, which stays. */
const OTHERS = {
  "/m/20-cart.yaml": podText("cart-0", { labels: "app: cart", ip: "10.77.3.82" }),
  "/m/30-last.yaml": podText("last-0", { labels: "app: last", ip: "10.77.3.83" }),
};

test("the identity of pods that are gone goes half an hour later, its addresses at once", async () => {
  const scene = new Scene({ ...BILLING, ...OTHERS });
  await scene.synced(TIMES);
  assert.equal((await shared(scene)).length, 3);
  scene.disk.remove("/m/20-cart.yaml");
  await scene.clock.advance(10 * TICK_MS);
  assert.equal(await scene.text("cilium/state/ip/v1/default/10.77.3.82"), undefined);
  assert.equal((await shared(scene)).length, 3, "somebody may still return");
  await scene.clock.advance(40 * TICK_MS);
  assert.equal((await shared(scene)).length, 2);
  assert.match(await scene.metrics.text(), /^bulkhead_export_identities_collected_total 1$/m);
  const stays = await scene.revisions();
  await scene.clock.advance(60 * TICK_MS);
  assert.deepEqual(await scene.revisions(), stays, "the others are in use");
  await scene.end();
});

test("who returns in time keeps the number; who returns later gets one that nobody had", async () => {
  const scene = new Scene({ ...BILLING, ...OTHERS });
  await scene.synced(TIMES);
  const idOf = async (): Promise<number> =>
    JSON.parse((await scene.text("cilium/state/ip/v1/default/10.77.3.82")) ?? "{}").ID;
  const first = await idOf();
  scene.disk.remove("/m/20-cart.yaml");
  await scene.clock.advance(20 * TICK_MS);
  scene.disk.put("/m/20-cart.yaml", OTHERS["/m/20-cart.yaml"]);
  await scene.clock.advance(60 * TICK_MS);
  assert.equal(await idOf(), first);
  scene.disk.remove("/m/20-cart.yaml");
  await scene.clock.advance(60 * TICK_MS);
  scene.disk.put("/m/20-cart.yaml", OTHERS["/m/20-cart.yaml"]);
  await scene.clock.advance(TICK_MS);
  assert.equal(await idOf(), first + 2);
  await scene.end();
});

test("a new leader counts anew, and goes on with the numbers", async () => {
  const scene = new Scene({ ...BILLING, ...OTHERS });
  await scene.synced(TIMES);
  scene.disk.remove("/m/20-cart.yaml");
  await scene.clock.advance(25 * TICK_MS);
  await scene.end();
  await scene.synced(TIMES);
  await scene.clock.advance(25 * TICK_MS);
  assert.equal((await shared(scene)).length, 3);
  await scene.clock.advance(15 * TICK_MS);
  assert.equal((await shared(scene)).length, 2);
  await scene.end();
  scene.disk.put("/m/40-new.yaml", podText("new-0", { labels: "app: new", ip: "10.77.3.84" }));
  await scene.synced(TIMES);
  const numbers = (await shared(scene)).map((key) => Number(key.slice(key.lastIndexOf("/") + 1)));
  assert.deepEqual(
    numbers.map((number) => number - (numbers[0] ?? 0)),
    [0, 2, 3],
  );
  await scene.end();
});

test("while a source cannot be heard, or a document was never understood, nothing is taken back, and the time counts from then", async () => {
  const scene = new Scene({ ...BILLING, ...OTHERS });
  await scene.synced(TIMES);
  scene.disk.remove("/m/20-cart.yaml");
  await scene.clock.advance(6 * TICK_MS);
  scene.diskFaults.set("/m", "denied");
  await scene.clock.advance(40 * TICK_MS);
  assert.equal((await shared(scene)).length, 3);
  scene.diskFaults.clear();
  await scene.clock.advance(25 * TICK_MS);
  assert.equal((await shared(scene)).length, 3);
  scene.disk.put("/m/50-bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: UPPER}\n");
  await scene.clock.advance(40 * TICK_MS);
  assert.equal((await shared(scene)).length, 3, "it may be one of them");
  scene.disk.remove("/m/50-bad.yaml");
  await scene.clock.advance(45 * TICK_MS);
  assert.equal((await shared(scene)).length, 2);
  await scene.end();
});

test("an API server that is away: nothing is taken back of what went before, until it was heard for long enough", async () => {
  const second = LEDGER_POD.replaceAll("ledger", "zebra")
    .replace("10.77.3.81", "10.77.3.99")
    .replaceAll("10.77.3.81", "10.77.3.99");
  const { kube, scene, remove } = await cluster(
    [ALL, second.replace(', {ip: "fd00:77:3::51"}', "")].join("---"),
    {},
    TIMES,
  );
  await remove("Pod", "billing/ledger-5c9d");
  await scene.clock.advance(10 * TICK_MS);
  kube.die();
  await scene.clock.advance(32 * TICK_MS);
  assert.equal((await shared(scene)).length, 2);
  kube.revive();
  await scene.clock.advance(50 * TICK_MS);
  assert.equal((await shared(scene)).length, 1);
  await scene.end();
});

test("a pod that cannot be read keeps its address, and so its identity", async () => {
  const second = LEDGER_POD.replaceAll("ledger", "zebra").replaceAll("10.77.3.81", "10.77.3.99");
  const { kube, scene, apply } = await cluster(
    [ALL, second.replace(', {ip: "fd00:77:3::51"}', "")].join("---"),
    {},
    TIMES,
  );
  await scene.end();
  await apply(LEDGER_POD.replace("containerPort: 8080", "containerPort: 80800"));
  const { exporter } = await scene.synced({ ...scene.kubernetes(kube), ...TIMES });
  assert.match(exporter.status().problems.join(), /pods\/billing\/ledger-5c9d: .*what is published for it stays/);
  await scene.clock.advance(60 * TICK_MS);
  assert.equal((await shared(scene)).length, 2);
  await scene.end();
});

test("a namespace that is not shared any more: other clusters forget the identity, the own agents do not", async () => {
  const scene = new Scene({ ...BILLING, ...OTHERS });
  await scene.synced(TIMES);
  const home = (BILLING["/m/00-base.yaml"] ?? "").replace(
    "name: billing,",
    'name: billing, annotations: {clustermesh.cilium.io/global: "false"},',
  );
  scene.disk.put("/m/00-base.yaml", joined(home));
  await scene.clock.advance(50 * TICK_MS);
  assert.equal((await shared(scene)).length, 1, "the highest number");
  const own = [...(await scene.keys()).keys()].filter((key) => key.startsWith("bulkhead/v1/identities/"));
  assert.equal(own.length, 3);
  await scene.end();
});
