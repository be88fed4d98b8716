/** Policies, local pods and what agents of the own cluster are told, through changes, faults and restarts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventKey, type Watch } from "../../src/kv/client.ts";
import { ciliumPolicyText, networkPolicyText } from "../wire/policies.ts";
import { BILLING, joined, podText, Scene } from "./scene.ts";

const POLICY = "bulkhead/v1/policies/CiliumNetworkPolicy/billing/guard";
const SHARED_IP = "cilium/state/ip/v1/default/10.77.3.81";
const LOCAL_IP = "bulkhead/v1/ip/10.77.3.81";
const SHARED_ID = "cilium/state/identities/v1/id/459008";
const LOCAL_ID = "bulkhead/v1/identities/459008";
const FILE = "/m/50-policy.yaml";

const policy = (rest: string): string =>
  ciliumPolicyText(`endpointSelector: {}, ${rest}`, "name: guard, namespace: billing");

async function settle(scene: Scene): Promise<void> {
  await scene.clock.advance(2_000);
}

function closed(text: string): string {
  return text.replace("name: billing,", 'name: billing, annotations: {clustermesh.cilium.io/global: "false"},');
}

/** Notes `put <key>` and `delete <key>` in the order in which they happen. */
function watchKeys(scene: Scene, order: string[]): Watch {
  const ignore = (): void => {};
  return scene.client().watch(
    { key: "\0", rangeEnd: "\xff" },
    {
      created: ignore,
      events: (events) => order.push(...events.map((event) => `${event.type} ${eventKey(event)}`)),
      progress: ignore,
      ended: ignore,
    },
  );
}

const BASE = BILLING["/m/00-base.yaml"] ?? "";

test("a policy is written after what it may select, follows its file, and goes with its document", async () => {
  const scene = new Scene({ ...BILLING, [FILE]: policy("ingress: [{}]") });
  const { exporter } = await scene.synced();
  const keys = await scene.keys();
  const revision = (key: string): number => keys.get(key)?.createRevision ?? 0;
  assert.ok(revision(POLICY) > revision(SHARED_IP));
  assert.ok(revision("cilium/synced/osaka/bulkhead/v1/policies") > revision(POLICY));
  assert.equal(exporter.status().entries.policies, 1);
  scene.disk.put(FILE, `# moved\n---\n${policy("ingress: [{fromEndpoints: [{}]}]")}`);
  await settle(scene);
  const value = JSON.parse((await scene.text(POLICY)) ?? "{}");
  assert.equal(value.source, "50-policy.yaml:2");
  assert.deepEqual(value.document.spec.ingress, [{ fromEndpoints: [{}] }]);
  scene.disk.put(FILE, "# withdrawn");
  await settle(scene);
  assert.equal(await scene.text(POLICY), undefined);
  await scene.end();
});

test("a refused policy keeps its last good version in force and is listed; so does one that asks for more than is enforced", async () => {
  const scene = new Scene({ ...BILLING, [FILE]: policy("ingress: [{}]") });
  const { exporter } = await scene.synced();
  const good = await scene.text(POLICY);
  for (const bad of [policy("ingres: [{}]"), policy("egress: [{toFQDNs: [{matchName: a.example}]}]")]) {
    scene.disk.put(FILE, bad);
    await settle(scene);
    assert.equal(await scene.text(POLICY), good);
    const problems = exporter.status().problems.filter((line) => line.startsWith("50-policy.yaml:4: spec."));
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", /; the last good state of the file stays$/);
  }
  await scene.end();
});

test("a policy that is refused after a restart stays in etcd, with everything else that may be missing", async () => {
  const scene = new Scene({ ...BILLING, [FILE]: policy("ingress: [{}]") });
  const first = await scene.synced();
  const good = await scene.text(POLICY);
  await first.stop();
  scene.disk.put(FILE, policy("ingress: [{fromGroups: [{}]}]"));
  await scene.clock.advance(10_000);
  await scene.synced();
  await settle(scene);
  assert.equal(await scene.text(POLICY), good);
  await scene.end();
});

test("a kind that would enforce something is listed, never passed over", async () => {
  const scene = new Scene({
    ...BILLING,
    "/m/60-admin.yaml":
      "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: a}\n",
  });
  const { exporter } = await scene.synced();
  assert(exporter.status().problems.some((line) => /^60-admin\.yaml:1: .*AdminNetworkPolicy" is not read/.test(line)));
  await scene.end();
});

test("two files with one policy: one problem, and the first stays", async () => {
  const scene = new Scene({ ...BILLING, [FILE]: policy("ingress: [{}]"), "/m/60-again.yaml": policy("egress: [{}]") });
  const { exporter } = await scene.synced();
  assert.equal(JSON.parse((await scene.text(POLICY)) ?? "{}").source, "50-policy.yaml:1");
  assert.match(
    exporter.status().problems.join("\n"),
    /60-again\.yaml:1: CiliumNetworkPolicy\/billing\/guard is already/,
  );
  await scene.end();
});

test("a namespace that changes sides: its pods keep their number, and the new key comes before the old one goes", async () => {
  const scene = new Scene(BILLING);
  await scene.synced();
  const value = await scene.text(SHARED_IP);
  assert.ok(value);
  for (const [base, here, gone] of [
    [closed(BASE), LOCAL_IP, SHARED_IP],
    [BASE, SHARED_IP, LOCAL_IP],
  ] as const) {
    const order: string[] = [];
    const watched = watchKeys(scene, order);
    scene.disk.put("/m/00-base.yaml", base);
    await settle(scene);
    watched.cancel();
    assert.deepEqual(
      order.filter((line) => line.endsWith(here) || line.endsWith(gone)),
      [`put ${here}`, `delete ${gone}`],
    );
    assert.equal(await scene.text(here), value);
    assert.equal(await scene.text(LOCAL_ID), await scene.text(SHARED_ID), "one number, told to both sides");
  }
  await scene.end();
});

test("a namespace that changes sides while no exporter runs: the new key comes before the old one goes", async () => {
  const scene = new Scene(BILLING);
  let running = await scene.synced();
  for (const [base, here, gone] of [
    [closed(BASE), LOCAL_IP, SHARED_IP],
    [BASE, SHARED_IP, LOCAL_IP],
  ] as const) {
    await running.stop();
    scene.disk.put("/m/00-base.yaml", base);
    await scene.clock.advance(10_000);
    const order: string[] = [];
    const watched = watchKeys(scene, order);
    running = await scene.synced();
    await settle(scene);
    watched.cancel();
    assert.deepEqual(
      order.filter((line) => line.endsWith(here) || line.endsWith(gone)),
      [`put ${here}`, `delete ${gone}`],
    );
  }
  await scene.end();
});

test("numbers of local identities survive a restart and are never given to another label set", async () => {
  const scene = new Scene({ ...BILLING, "/m/00-base.yaml": closed(BASE) });
  const first = await scene.synced();
  const labels = await scene.text(LOCAL_ID);
  assert.ok(labels);
  assert.equal(await scene.text(SHARED_ID), undefined, "what is not shared is told to nobody else");
  await first.stop();
  const text = podText("till-0", { labels: "app: till", ip: "10.77.3.70" });
  scene.disk.put("/m/05-first.yaml", text);
  await scene.clock.advance(10_000);
  await scene.synced();
  assert.equal(await scene.text(LOCAL_ID), labels);
  assert.match((await scene.text("bulkhead/v1/identities/459009")) ?? "", /k8s:app=till;/);
  await scene.end();
});

test("a pod that leaves audit loses its record", async () => {
  const audited = podText("safe", { ip: "10.77.3.90" }).replace(
    "labels:",
    'annotations: {policy.bulkhead.io/audit: "true"}, labels:',
  );
  const scene = new Scene({ ...BILLING, "/m/30-safe.yaml": audited });
  await scene.synced();
  assert.ok(await scene.text("bulkhead/v1/endpoints/billing/safe"));
  scene.disk.put("/m/30-safe.yaml", podText("safe", { ip: "10.77.3.90" }));
  await settle(scene);
  assert.equal(await scene.text("bulkhead/v1/endpoints/billing/safe"), undefined);
  await scene.end();
});

test("every policy of a file stands for itself", async () => {
  const other = networkPolicyText("podSelector: {}", "name: other, namespace: billing");
  const scene = new Scene({ ...BILLING, [FILE]: joined(`${policy("ingress: [{}]")}\n`, `\n${other}`) });
  await scene.synced();
  scene.disk.put(
    FILE,
    joined(`${policy("ingress: [{}], egress: [{}]")}\n`, `\n${other.replace("podSelector", "pods")}`),
  );
  await settle(scene);
  assert.match((await scene.text(POLICY)) ?? "", /"egress":\[\{\}\]/);
  assert.ok(await scene.text("bulkhead/v1/policies/NetworkPolicy/billing/other"));
  await scene.end();
});
