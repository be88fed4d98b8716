import assert from "node:assert/strict";
import { test } from "node:test";
import { type DockerFaults, faultyDocker } from "../../src/docker/faulty.ts";
import type { MemoryContainer } from "../../src/docker/memory.ts";
import { parseCidr } from "../../src/model/address.ts";
import { BILLING, Scene } from "./scene.ts";

const IP = "cilium/state/ip/v1/default/";
const CART = "cilium/state/services/v1/osaka/billing/cart";

function cart(
  name: string,
  address: string | undefined,
  labels: Readonly<Record<string, string>> = {},
): MemoryContainer {
  const own = {
    "bulkhead.cluster": "osaka",
    "bulkhead.namespace": "billing",
    "com.docker.compose.service": "cart",
    "bulkhead.ports": "http=80:8080",
    "service.cilium.io/global": "true",
    app: "cart",
  };
  return { name, labels: { ...own, ...labels }, ...(address !== undefined && { address }) };
}

async function running(faults: DockerFaults = {}) {
  const scene = new Scene(BILLING);
  scene.docker.put(cart("cart-1", "10.77.3.91"));
  scene.docker.put(cart("cart-2", "10.77.3.92"));
  const { exporter } = await scene.synced(scene.containers(faultyDocker(scene.docker, faults)));
  return { scene, exporter };
}

async function backends(scene: Scene): Promise<readonly string[] | undefined> {
  const text = await scene.text(CART);
  return text === undefined ? undefined : Object.keys(JSON.parse(text).backends);
}

test("containers are published beside manifests: endpoints, identity, service", async () => {
  const { scene, exporter } = await running();
  assert.deepEqual(await backends(scene), ["10.77.3.91", "10.77.3.92"]);
  const entry = JSON.parse((await scene.text(`${IP}10.77.3.91`)) ?? "{}");
  assert.equal(entry.K8sPodName, "cart-1");
  assert.equal(entry.HostIP, "192.0.2.14", "that of the node");
  const labels = await scene.text(`cilium/state/identities/v1/id/${entry.ID}`);
  assert.match(labels ?? "", /k8s:app=cart;/);
  assert.match(labels ?? "", /k8s:bulkhead\.service=cart;/);
  assert.ok(await scene.text(`${IP}10.77.3.81`), "the pod of the manifest too");
  const local = JSON.parse((await scene.text("bulkhead/v1/services/billing/cart")) ?? "{}");
  assert.match(JSON.stringify(local), /"10\.140\.\d+\.\d+"/, "an address by its name");
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});

test("events: what starts is added, what stops is withdrawn, its service stays until it is removed", async () => {
  const { scene } = await running();
  scene.docker.put(cart("cart-3", "10.77.3.93"));
  await scene.clock.advance(500);
  assert.deepEqual(await backends(scene), ["10.77.3.91", "10.77.3.92", "10.77.3.93"]);
  for (const name of ["cart-1", "cart-2", "cart-3"]) scene.docker.put(cart(name, undefined));
  await scene.clock.advance(500);
  assert.deepEqual(await backends(scene), [], "the service is there, for backends of other clusters");
  assert.equal(await scene.text(`${IP}10.77.3.91`), undefined);
  for (const name of ["cart-1", "cart-2", "cart-3"]) scene.docker.remove(name);
  await scene.clock.advance(500);
  assert.equal(await backends(scene), undefined);
  assert.ok(await scene.text(`${IP}10.77.3.81`), "manifests are not touched");
  await scene.end();
});

test("an unhealthy or paused container takes no new connections and keeps its identity", async () => {
  const { scene } = await running();
  scene.docker.put({ ...cart("cart-1", "10.77.3.91"), health: "unhealthy" });
  scene.docker.put({ ...cart("cart-2", "10.77.3.92"), state: "paused" });
  await scene.clock.advance(500);
  assert.deepEqual(await backends(scene), []);
  assert.ok(await scene.text(`${IP}10.77.3.91`));
  scene.docker.put({ ...cart("cart-1", "10.77.3.91"), health: "healthy" });
  await scene.clock.advance(500);
  assert.deepEqual(await backends(scene), ["10.77.3.91"]);
  await scene.end();
});

test("a dead engine withdraws nothing; what changed meanwhile is found when it is back", async () => {
  const { scene, exporter } = await running();
  const before = await scene.revisions();
  scene.docker.die();
  scene.docker.remove("cart-1");
  scene.docker.put(cart("cart-3", "10.77.3.93"));
  await scene.clock.advance(400_000);
  assert.deepEqual(await scene.revisions(), before, "nothing was written, over an audit");
  const [problem = "", ...others] = exporter.status().problems;
  assert.equal(problem, "Docker engine: the engine is gone; what it said last stays until it answers");
  assert.deepEqual(others, []);
  scene.docker.revive();
  await scene.clock.advance(5_000);
  assert.deepEqual(await backends(scene), ["10.77.3.92", "10.77.3.93"]);
  assert.deepEqual(exporter.status().problems, []);
  scene.docker.put(cart("cart-4", "10.77.3.94"));
  await scene.clock.advance(500);
  assert.deepEqual(await backends(scene), ["10.77.3.92", "10.77.3.93", "10.77.3.94"], "events are heard again");
  await scene.end();
});

test("a dead engine at start: nobody leads, and nothing of the process before is withdrawn", async () => {
  const { scene } = await running();
  await scene.end();
  const before = await scene.revisions();
  scene.docker.die();
  const { exporter } = scene.start(scene.containers());
  await scene.clock.advance(400_000);
  assert.deepEqual(await scene.revisions(), before);
  assert.equal(exporter.status().leader, false);
  assert.deepEqual(exporter.ready(), { ready: false, detail: "not every source was read yet" });
  scene.docker.remove("cart-1");
  scene.docker.revive();
  await scene.clock.advance(10_000);
  assert.deepEqual(await backends(scene), ["10.77.3.92"], "a real answer withdraws");
  await scene.end();
});

for (const [what, answer, expected] of [
  ["no list", () => new TextEncoder().encode("{}"), /is no list of containers/],
  ["half a list", (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 9), /JSON /],
  ["no text", () => new Uint8Array([0xff, 0xfe]), /is not UTF-8/],
] as const) {
  test(`an engine that answers with ${what} withdraws nothing`, async () => {
    let broken = false;
    const { scene, exporter } = await running({ answer: (bytes) => (broken ? answer(bytes) : bytes) });
    const before = await scene.revisions();
    broken = true;
    scene.docker.remove("cart-1");
    await scene.clock.advance(60_000);
    assert.deepEqual(await scene.revisions(), before);
    assert.match(exporter.status().problems[0] ?? "", expected);
    broken = false;
    await scene.clock.advance(10_000);
    assert.deepEqual(await backends(scene), ["10.77.3.92"]);
    await scene.end();
  });
}

test("an engine that hangs is given up in time, and withdraws nothing", async () => {
  let hangs = false;
  const { scene, exporter } = await running({ fault: (call) => (hangs && call === "list" ? "silent" : undefined) });
  hangs = true;
  scene.docker.remove("cart-1");
  await scene.clock.advance(6_000);
  assert.match(exporter.status().problems[0] ?? "", /^Docker engine: no answer within 5000 ms; /);
  assert.deepEqual(await backends(scene), ["10.77.3.91", "10.77.3.92"]);
  hangs = false;
  await scene.clock.advance(10_000);
  assert.deepEqual(await backends(scene), ["10.77.3.92"]);
  await scene.end();
});

test("an event that was lost is found by the list that is read now and then", async () => {
  const { scene } = await running({ fault: (call) => (call === "watch" ? "silent" : undefined) });
  const { lists } = scene.docker;
  scene.docker.remove("cart-1");
  await scene.clock.advance(31_000);
  assert.deepEqual(await backends(scene), ["10.77.3.92"]);
  assert.ok(scene.docker.lists - lists <= 2, "and not more often");
  await scene.end();
});

test("a hostile container is refused alone, with its reason", async () => {
  const { scene, exporter } = await running();
  const before = await scene.revisions();
  scene.docker.put(cart("evil", "10.77.3.99", { app: "cart;k8s:io.cilium.k8s.policy.cluster=tokyo" }));
  await scene.clock.advance(1_000);
  assert.deepEqual(await scene.revisions(), before);
  const [problem = "", ...others] = exporter.status().problems;
  assert.match(problem, /^docker:0+3: container "evil": metadata\.labels\.app: .* is no label value; /);
  assert.deepEqual(others, []);
  scene.docker.remove("cart-1");
  await scene.clock.advance(1_000);
  assert.deepEqual(await backends(scene), ["10.77.3.92"], "it holds nothing up");
  await scene.end();
});

test("no container can say where it runs, or take another's address", async () => {
  const { scene, exporter } = await running();
  scene.docker.put(cart("forger", "10.77.3.91", { "io.cilium.k8s.policy.cluster": "tokyo", app: "forger" }));
  await scene.clock.advance(1_000);
  const { K8sPodName } = JSON.parse((await scene.text(`${IP}10.77.3.91`)) ?? "{}");
  assert.equal(K8sPodName, "cart-1");
  assert.match(
    exporter.status().problems.join("\n"),
    /address 10\.77\.3\.91 belongs to pod billing\/cart-1; give it another/,
  );
  const identities = [...(await scene.keys()).values()].filter(({ key }) => key.startsWith("cilium/state/identities/"));
  for (const { value } of identities) {
    assert.match(new TextDecoder().decode(value), /k8s:io\.cilium\.k8s\.policy\.cluster=osaka;/);
  }
  await scene.end();
});

test("two names of services, one address: told apart and counted; one that is made anew has its address again", async () => {
  const scene = new Scene(BILLING);
  const serving = (name: string) => cart(name, undefined, { "com.docker.compose.service": name });
  // Three services, two addresses.
  for (const name of ["a", "b", "c"]) scene.docker.put(serving(name));
  const { containers } = scene.containers();
  assert.ok(containers);
  const place = { ...containers.place, serviceCidr: parseCidr("10.140.0.4/30") };
  const { exporter } = await scene.synced({ containers: { ...containers, place } });
  const addressOf = async (name: string) => {
    const text = await scene.text(`bulkhead/v1/services/billing/${name}`);
    return /"(10\.140\.0\.\d+)"/.exec(text ?? "")?.[1];
  };
  const [a, b, c] = [await addressOf("a"), await addressOf("b"), await addressOf("c")];
  assert.deepEqual([a, b].sort(), ["10.140.0.5", "10.140.0.6"]);
  assert.equal(c, undefined);
  assert.match(exporter.status().problems.join("\n"), /Service billing\/c has no address: all are given/);
  const counted = await scene.metrics.text();
  const [, moved] = /bulkhead_export_container_services\{address="moved"\} (\d)/.exec(counted) ?? [];
  assert.match(counted, new RegExp(`container_services\\{address="of-name"\\} ${2 - Number(moved)}`));
  assert.match(counted, /container_services\{address="refused"\} 1/);
  scene.docker.remove("c");
  scene.docker.remove("a");
  await scene.clock.advance(500);
  assert.equal(await addressOf("a"), undefined);
  scene.docker.put(serving("a"));
  await scene.clock.advance(500);
  assert.deepEqual([await addressOf("a"), await addressOf("b")], [a, b]);
  assert.deepEqual(exporter.status().problems, []);
  await scene.end();
});
