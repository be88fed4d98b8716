import assert from "node:assert/strict";
import { test } from "node:test";
import { BILLING, joined, LEDGER_SERVICE, podText, Scene } from "./scene.ts";

const IP = "cilium/state/ip/v1/default/";
const SERVICE = "cilium/state/services/v1/osaka/billing/ledger";
const CANARY = "cilium/synced/osaka/cilium/state/ip/v1";
const ID = "cilium/state/identities/v1/id/";

/** Host names of the backends of the one service. */
async function backends(scene: Scene): Promise<readonly string[]> {
  return Object.keys(JSON.parse((await scene.text(SERVICE)) ?? '{"backends":{}}').backends);
}

async function identities(scene: Scene): Promise<ReadonlyMap<string, string>> {
  const found = [...(await scene.keys()).values()].filter(({ key }) => key.startsWith(ID));
  return new Map(found.map(({ key, value }) => [key.slice(ID.length), new TextDecoder().decode(value)]));
}

/** Of no data: it says that no marker means no drain. */
const DRAIN_CANARY = "cilium/synced/osaka/cilium/state/bulkhead/v1";

test("publishes everything, canaries last, and leases nothing but the heartbeat", async () => {
  const scene = new Scene(BILLING);
  await scene.synced();
  const keys = await scene.keys();
  assert.deepEqual(
    [...keys.keys()],
    [
      "bulkhead/v1/services/billing/ledger",
      "cilium/.heartbeat",
      "cilium/cluster-config/osaka",
      "cilium/state/identities/v1/id/459008",
      "cilium/state/ip/v1/default/10.77.3.81",
      "cilium/state/nodes/v1/osaka/osk-w1",
      "cilium/state/services/v1/osaka/billing/ledger",
      "cilium/synced/osaka/bulkhead/v1/endpoints",
      "cilium/synced/osaka/bulkhead/v1/identities",
      "cilium/synced/osaka/bulkhead/v1/ip",
      "cilium/synced/osaka/bulkhead/v1/policies",
      "cilium/synced/osaka/bulkhead/v1/services",
      DRAIN_CANARY,
      "cilium/synced/osaka/cilium/state/identities/v1",
      "cilium/synced/osaka/cilium/state/ip/v1",
      "cilium/synced/osaka/cilium/state/nodes/v1",
      "cilium/synced/osaka/cilium/state/serviceexports/v1",
      "cilium/synced/osaka/cilium/state/services/v1",
    ],
  );
  const leased = [...keys.values()].filter(({ leaseId }) => leaseId !== 0n).map(({ key }) => key);
  assert.deepEqual(leased, ["cilium/.heartbeat"]);
  const created = (prefix: string): readonly number[] =>
    [...keys.values()]
      .filter(({ key }) => key.startsWith(prefix) && key !== DRAIN_CANARY)
      .map(({ createRevision }) => createRevision);
  const data = [...created("cilium/state/"), ...created("bulkhead/"), ...created("cilium/cluster-config/")];
  assert.ok(Math.min(...created("cilium/synced/")) > Math.max(...data), "canaries come after all data");
  assert.ok(Math.min(...created(IP)) > Math.max(...created(ID)), "an address comes after its identity");
  await scene.end();
});

/** Canaries say when everything was compared last: each term writes them once. */
async function data(scene: Scene): Promise<ReadonlyMap<string, number>> {
  return new Map([...(await scene.revisions())].filter(([key]) => !key.startsWith("cilium/synced/")));
}

test("a restart rewrites nothing but the canaries, and keeps every number", async () => {
  const scene = new Scene(BILLING);
  const first = await scene.synced();
  await first.stop();
  const [before, canaries] = [await data(scene), await scene.text(CANARY)];
  await scene.clock.advance(100_000);
  await scene.synced();
  await scene.clock.advance(20_000);
  assert.deepEqual(await data(scene), before);
  assert.notEqual(await scene.text(CANARY), canaries);
  await scene.end();
});

test("the heartbeat is rewritten every interval and goes when its writer is gone", async () => {
  const scene = new Scene(BILLING);
  const running = await scene.synced();
  const first = await scene.text("cilium/.heartbeat");
  await scene.clock.advance(10_000);
  const second = await scene.text("cilium/.heartbeat");
  assert.notEqual(second, first);
  await scene.clock.advance(60_000);
  assert.notEqual(await scene.text("cilium/.heartbeat"), second);
  await running.kill();
  const data = await scene.revisions();
  await scene.clock.advance(31_000);
  assert.equal(await scene.text("cilium/.heartbeat"), undefined);
  assert.deepEqual(await scene.revisions(), data, "nothing else goes");
});

test("a pod that comes and one that goes change its address and its service, not the identity", async () => {
  const scene = new Scene(BILLING);
  await scene.synced();
  scene.disk.put("/m/20-more.yaml", podText("ledger-1", { ip: "10.77.3.82" }));
  await scene.clock.advance(2_000);
  assert.deepEqual(await backends(scene), ["10.77.3.81", "10.77.3.82"]);
  assert.ok(await scene.text(`${IP}10.77.3.82`));
  const numbers = await identities(scene);
  scene.disk.put("/m/10-ledger.yaml", LEDGER_SERVICE);
  await scene.clock.advance(2_000);
  assert.deepEqual(await backends(scene), ["10.77.3.82"]);
  assert.equal(await scene.text(`${IP}10.77.3.81`), undefined);
  scene.disk.remove("/m/20-more.yaml");
  await scene.clock.advance(2_000);
  assert.deepEqual(await backends(scene), []);
  assert.deepEqual(await identities(scene), numbers, "identities are never taken back");
  await scene.end();
});

test("a bad manifest is refused alone; what it said before stays until it is mended", async () => {
  const scene = new Scene({ ...BILLING, "/m/20-more.yaml": podText("ledger-1", { ip: "10.77.3.82" }) });
  const { exporter } = await scene.synced();
  scene.disk.put("/m/20-more.yaml", "kind: [");
  scene.disk.put("/m/30-other.yaml", podText("ledger-2", { ip: "10.77.3.83" }));
  await scene.clock.advance(2_000);
  assert.deepEqual(await backends(scene), ["10.77.3.81", "10.77.3.82", "10.77.3.83"]);
  const [problem = "", ...others] = exporter.status().problems;
  assert.match(problem, /^20-more\.yaml:1: .*; the last good state of the file stays$/);
  assert.deepEqual(others, []);
  scene.disk.put("/m/20-more.yaml", "# withdrawn");
  await scene.clock.advance(2_000);
  assert.deepEqual(await backends(scene), ["10.77.3.81", "10.77.3.83"]);
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("a bad manifest over a restart: nothing is withdrawn until every manifest was understood once", async () => {
  const scene = new Scene({ ...BILLING, "/m/20-more.yaml": podText("ledger-1", { ip: "10.77.3.82" }) });
  await (await scene.synced()).stop();
  scene.disk.put("/m/20-more.yaml", "kind: [");
  await scene.synced();
  assert.ok(await scene.text(`${IP}10.77.3.82`), "an address that nobody withdrew stays");
  scene.disk.put("/m/20-more.yaml", "# withdrawn");
  await scene.clock.advance(2_000);
  assert.equal(await scene.text(`${IP}10.77.3.82`), undefined);
  await scene.end();
});

function empty(scene: Scene): void {
  for (const path of Object.keys(BILLING)) scene.disk.remove(path);
}

for (const [name, act] of [
  ["is gone", (scene: Scene) => scene.disk.removeDirectory("/m")],
  ["cannot be read", (scene: Scene) => scene.diskFaults.set("/m", "denied")],
  ["is empty", empty],
] as const) {
  test(`a directory that ${name} withdraws nothing`, async () => {
    const scene = new Scene(BILLING);
    const { exporter } = await scene.synced({ auditIntervalMs: 5_000 });
    const before = await scene.revisions();
    act(scene);
    await scene.clock.advance(20_000);
    assert.deepEqual(await scene.revisions(), before);
    assert.match(exporter.status().problems.join("\n"), /nothing is withdrawn/);
    await scene.end();
  });
}

test("an empty directory at start withdraws nothing of earlier runs", async () => {
  const scene = new Scene(BILLING);
  await (await scene.synced()).stop();
  const before = await scene.revisions();
  empty(scene);
  await scene.synced();
  assert.deepEqual(await scene.revisions(), before);
  await scene.end();
});

test("the etcd goes and comes back: the latest state is written, once", async () => {
  const scene = new Scene(BILLING);
  const { exporter } = await scene.synced();
  scene.etcd.stop();
  for (let count = 0; count < 50; count++) {
    scene.disk.put(
      "/m/20-more.yaml",
      podText("ledger-1", { ip: `10.77.4.${count}`, labels: `app: ledger, run: "${count}"` }),
    );
    await scene.clock.advance(1_200);
  }
  assert.ok(exporter.status().queued < 10, `queued ${exporter.status().queued}`);
  assert.match(exporter.status().problems[0] ?? "", /^local etcd: /);
  assert.equal(exporter.ready().ready, false);
  scene.etcd.start();
  await scene.clock.advance(30_000);
  assert.equal(exporter.status().synced, true);
  assert.deepEqual(exporter.status().problems, []);
  assert.deepEqual(await backends(scene), ["10.77.3.81", "10.77.4.49"]);
  const addresses = [...(await scene.keys()).keys()].filter((key) => key.startsWith(IP));
  assert.deepEqual(addresses, [`${IP}10.77.3.81`, `${IP}10.77.4.49`]);
  await scene.end();
});

test("a wiped etcd is filled again with the same numbers", async () => {
  const scene = new Scene(BILLING);
  await scene.synced();
  scene.disk.put("/m/05-early.yaml", podText("early", { ip: "10.77.3.90", labels: "app: early" }));
  await scene.clock.advance(2_000);
  const before = await identities(scene);
  assert.equal(before.size, 2);
  scene.etcd.wipe();
  await scene.clock.advance(60_000);
  assert.deepEqual(await identities(scene), before);
  assert.deepEqual(await backends(scene), ["10.77.3.81"]);
  await scene.end();
});

test("what others delete, change or lease below our prefixes is put right by the next audit", async () => {
  const scene = new Scene(BILLING);
  await scene.synced({ auditIntervalMs: 5_000 });
  const right = await scene.keys();
  const kv = scene.client();
  const { leaseId } = await scene.clock.settle(kv.grantLease(1_000));
  const value = new TextEncoder().encode("{}");
  await scene.clock.settle(
    kv.txn({
      operations: [
        { delete: { key: SERVICE } },
        { put: { key: "cilium/cluster-config/osaka", value } },
        { put: { key: `${IP}10.9.9.9`, value } },
        { put: { key: "cilium/synced/osaka/cilium/state/ip/v1", value, leaseId } },
      ],
    }),
  );
  await scene.clock.advance(8_000);
  const now = await scene.keys();
  assert.deepEqual([...now.keys()], [...right.keys()]);
  for (const [key, { value: expected }] of right) {
    if (!key.startsWith("cilium/synced/") && key !== "cilium/.heartbeat")
      assert.deepEqual(now.get(key)?.value, expected);
  }
  assert.equal(now.get("cilium/synced/osaka/cilium/state/ip/v1")?.leaseId, 0n);
  await scene.end();
});

test("of two exporters one leads; the other takes over and gives no number twice", async () => {
  const scene = new Scene(BILLING);
  const first = await scene.synced();
  const second = scene.start();
  await scene.clock.advance(5_000);
  assert.deepEqual([first.exporter.status().leader, second.exporter.status().leader], [true, false]);
  assert.deepEqual(second.exporter.ready(), { ready: true, detail: "standby" });
  const before = await identities(scene);
  const heldRevisions = await data(scene);
  await first.kill();
  await scene.clock.advance(20_000);
  assert.equal(second.exporter.status().synced, true);
  assert.deepEqual(await data(scene), heldRevisions, "taking over rewrites nothing");
  scene.disk.put("/m/05-early.yaml", podText("early", { ip: "10.77.3.90", labels: "app: early" }));
  await scene.clock.advance(3_000);
  const after = await identities(scene);
  assert.equal(after.size, 2);
  assert.deepEqual(new Map([...after].filter(([id]) => before.has(id))), before);
  await scene.end();
});

test("an address claimed by two pods stays with the first and goes to the next when it is given up, also over a restart", async () => {
  const scene = new Scene({ ...BILLING, "/m/20-late.yaml": podText("late", { labels: "app: late" }) });
  const owner = async (): Promise<string> => JSON.parse((await scene.text(`${IP}10.77.3.81`)) ?? "{}").K8sPodName;
  const first = await scene.synced();
  assert.equal(await owner(), "ledger-0");
  assert.match(
    first.exporter.status().problems.join("\n"),
    /20-late\.yaml:1: Pod billing\/late: address 10\.77\.3\.81 belongs to pod billing\/ledger-0/,
  );
  scene.disk.put("/m/05-early.yaml", podText("early", { labels: "app: early" }));
  await scene.clock.advance(2_000);
  assert.equal(await owner(), "ledger-0", "a file that sorts first does not take over");
  await first.stop();
  await scene.synced();
  assert.equal(await owner(), "ledger-0", "nor does it after a restart");
  scene.disk.put("/m/10-ledger.yaml", LEDGER_SERVICE);
  await scene.clock.advance(2_000);
  assert.equal(await owner(), "early");
  await scene.end();
});

test("two files that define one object: the first by name stays", async () => {
  const scene = new Scene({
    ...BILLING,
    "/m/90-again.yaml": joined(LEDGER_SERVICE.replace("10.140.9.3", "10.140.9.4")),
  });
  const { exporter } = await scene.synced();
  assert.deepEqual(Object.keys(JSON.parse((await scene.text(SERVICE)) ?? "{}").frontends), ["10.140.9.3"]);
  assert.deepEqual(exporter.status().problems, [
    "90-again.yaml:1: Service billing/ledger is already defined in 10-ledger.yaml:1, which stays; remove one of the two",
  ]);
  await scene.end();
});

test("an object that peers would refuse keeps what was published for it, and is withdrawn with its manifest", async () => {
  const scene = new Scene(BILLING);
  const { exporter } = await scene.synced();
  const before = await scene.text(`${IP}10.77.3.81`);
  const ports = Array.from({ length: 250 }, (_, index) => `{name: port-${index}, containerPort: ${index + 1}}`);
  const pod = podText("ledger-0").replace("ports: [", `ports: [${ports.join(", ")}, `);
  scene.disk.put("/m/10-ledger.yaml", joined(LEDGER_SERVICE, pod));
  await scene.clock.advance(2_000);
  assert.equal(await scene.text(`${IP}10.77.3.81`), before);
  assert.match(
    exporter.status().problems.join("\n"),
    /^10-ledger\.yaml:9: Pod billing\/ledger-0: .*; it is not published as it stands$/,
  );
  scene.disk.put("/m/10-ledger.yaml", LEDGER_SERVICE);
  await scene.clock.advance(2_000);
  assert.equal(await scene.text(`${IP}10.77.3.81`), undefined);
  await scene.end();
});

test("a number whose labels nobody can read is left alone and not given out", async () => {
  const scene = new Scene(BILLING);
  const value = new TextEncoder().encode("garbage");
  await scene.clock.settle(scene.client().txn({ operations: [{ put: { key: `${ID}459008`, value } }] }));
  await scene.synced();
  assert.deepEqual([...(await identities(scene)).keys()], ["459008", "459009"]);
  assert.equal(await scene.text(`${ID}459008`), "garbage");
  await scene.end();
});

test("C01: into an empty etcd no canary is written before the manifests were read: peers would withdraw everything", async () => {
  const scene = new Scene({});
  scene.disk.makeDirectory("/m");
  const { exporter } = scene.start();
  await scene.clock.advance(5_000);
  const canaries = async (): Promise<number> =>
    [...(await scene.keys()).keys()].filter((key) => key.startsWith("cilium/synced/") && key !== DRAIN_CANARY).length;
  assert.equal(await canaries(), 0);
  assert.equal(exporter.status().synced, false);
  assert.equal(exporter.ready().ready, false);
  assert.match(exporter.ready().detail, /could be read since start/);
  for (const [path, text] of Object.entries(BILLING)) scene.disk.put(path, text);
  await scene.clock.advance(2_000);
  assert.equal(await canaries(), 10);
  assert.equal(exporter.status().synced, true);
  assert.deepEqual(await backends(scene), ["10.77.3.81"]);
  await scene.end();
});

test("one bad manifest at the very first start keeps nothing else out of the mesh", async () => {
  const scene = new Scene({ ...BILLING, "/m/bad.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: Bad}\n" });
  const { exporter } = scene.start();
  await scene.clock.advance(5_000);
  assert.equal(exporter.status().synced, true);
  assert.match(exporter.status().problems.join("\n"), /bad\.yaml:3: metadata\.name/);
  const keys = [...(await scene.keys()).keys()];
  assert.equal(keys.filter((key) => key.startsWith("cilium/synced/") && key !== DRAIN_CANARY).length, 10);
  assert.deepEqual(await backends(scene), ["10.77.3.81"]);
  await scene.end();
});
