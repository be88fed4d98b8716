import assert from "node:assert/strict";
import { test } from "node:test";
import { inputPod, nodeManifest, objectFile, parseInput, placedPod, readInput } from "../../deploy/lab/manifests.ts";
import { PAPER_ADDRESSES, PAPER_PODS, PAPER_SERVICES, paperFiles } from "../../deploy/lab/paper.ts";
import { planLab, podAddresses } from "../../deploy/lab/plan.ts";
import { place } from "../../deploy/lab/pods.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";

const lab = planLab("bulkhead", "/sys/fs/cgroup");
const [amsterdam] = lab.clusters;
assert.ok(amsterdam);
const [node] = amsterdam.nodes;
assert.ok(node);

const POD =
  "kind: Pod\nmetadata: { namespace: demo, name: p }\nspec: { containers: [{ name: c, command: [node, x.ts] }] }\n";

test("a pod is placed as a scheduler and a kubelet would have it", () => {
  const [object] = parseInput("pod.yaml", POD);
  assert.ok(object);
  const placed = placedPod(object, { node, addresses: podAddresses(node, 10), isReady: true });
  const { objects, problems } = parseManifests("pod.yaml", JSON.stringify({ apiVersion: "v1", ...placed }));
  assert.deepEqual(problems, []);
  const [pod] = objects;
  assert.ok(pod?.kind === "Pod");
  assert.equal(pod.nodeName, "amsterdam-1");
  assert.deepEqual(pod.podIps, ["10.1.1.10", "fd6c:6162:1:1::10"]);
  assert.equal(pod.ready, true);
});

test("node manifests are ones that the exporter accepts", () => {
  const { objects, problems } = parseManifests("node.yaml", JSON.stringify(nodeManifest(amsterdam, node)));
  assert.deepEqual(problems, []);
  assert.equal(objects[0]?.kind, "Node");
});

test("every manifest of the lab is read without a complaint, and every pod has a command", () => {
  for (const cluster of lab.clusters) {
    const objects = readInput(cluster.name);
    for (const object of objects) if (object.kind === "Pod") assert.ok(inputPod(object).command.length > 1);
    assert.ok(objects.some((object) => object.kind === "Service" && object.name === "hello"));
  }
});

test("pods go to the emptiest node, to an address that is free", () => {
  const taken = { name: "p", namespace: "demo", cluster: "amsterdam", netns: "", cgroup: "", controlSocket: "" };
  const first = { ...taken, node: "amsterdam-1", addresses: podAddresses(node, 10) };
  assert.equal(place(amsterdam, []).node.name, "amsterdam-1");
  assert.equal(place(amsterdam, [first]).node.name, "amsterdam-2");
  const [, other] = amsterdam.nodes;
  assert.ok(other);
  const second = { ...taken, node: "amsterdam-2", addresses: podAddresses(other, 10) };
  const third = place(amsterdam, [first, second]);
  assert.equal(`${third.node.name} ${third.host}`, "amsterdam-1 11");
});

test("generated manifests are as many as promised, labelled, and accepted", () => {
  for (const cluster of lab.clusters) {
    const parsed = paperFiles(cluster).map((file) => parseManifests(file.name, file.text));
    assert.deepEqual(
      parsed.flatMap((file) => file.problems),
      [],
    );
    const objects = parsed.flatMap((file) => file.objects);
    const services = objects.filter((object) => object.kind === "Service");
    const pods = objects.filter((object) => object.kind === "Pod");
    assert.equal(services.length, PAPER_SERVICES);
    assert.equal(pods.length, PAPER_PODS);
    assert.equal(new Set(pods.flatMap((pod) => pod.podIps)).size, PAPER_ADDRESSES);
    assert.equal(new Set(services.flatMap((service) => service.clusterIps)).size, PAPER_SERVICES);
    for (const object of [...services, ...pods]) assert.equal(object.labels.get("bulkhead/generated"), "true");
  }
});

test("one file per object, and no two objects share one", () => {
  assert.equal(objectFile("Service", "demo", "hello"), "service.demo.hello.yaml");
  assert.equal(objectFile("Node", "", "a-1"), "node.a-1.yaml");
});

for (const [what, text, complaint] of [
  ["bad YAML", "kind: Pod\n  metadata: [", /^mesh: x\.yaml \(document 1\): .*mend/],
  ["a kind that the lab does not run", "kind: Deployment\nmetadata: { name: d }\n", /document 1\): kind Deployment/],
  ["an object without a name", `${POD}---\nkind: Service\nmetadata: {}\n`, /document 2\): metadata\.name is missing/],
] as const) {
  test(`refused in one line: ${what}`, () => {
    assert.throws(() => parseInput("x.yaml", text), oneLine(complaint));
  });
}

test("refused in one line: a pod without a command", () => {
  const [object] = parseInput("x.yaml", "kind: Pod\nmetadata: { name: p }\nspec: { containers: [{ name: c }] }\n");
  assert.ok(object);
  assert.throws(() => inputPod(object), oneLine(/command is missing/));
});

function oneLine(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof UserError && pattern.test(error.message) && !error.message.includes("\n");
}
