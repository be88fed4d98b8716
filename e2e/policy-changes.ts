/** What happens when things change under a policy: devices, documents, agents, connections. And what operators' commands say. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { command, inNetns } from "../deploy/lab/command.ts";
import { keysBelow } from "../deploy/lab/etcd.ts";
import { waitFor } from "../deploy/lab/lab.ts";
import { inputPod, parseInput, publishText } from "../deploy/lab/manifests.ts";
import { kernelFlows } from "../deploy/lab/maps.ts";
import { podLines, runScript } from "../deploy/lab/network.ts";
import { announcePod, buildPod, stopPod } from "../deploy/lab/pods.ts";
import { agentId, exporterStatus } from "../deploy/lab/programs.ts";
import type { PodRecord } from "../deploy/lab/state.ts";
import { startCluster, waitForCluster } from "../deploy/lab/up.ts";
import { DROP_REASONS, type DropReason, type Flow } from "../src/model/flow.ts";
import { sleep, systemClock } from "../src/runtime/clock.ts";
import { casesOf, type Scenario } from "../test/policy/cases/case.ts";
import { ciliumPolicy } from "../test/policy/cases/documents.ts";
import { labMesh } from "../test/policy/cases/lab-world.ts";
import { BULKHEAD, type Outcome, run } from "./mesh.ts";
import { endsOf, type PolicyLab, ping, WITHIN_MS } from "./policy-lab.ts";
import { proveCases, proveScenario } from "./policy-proof.ts";

const HOLD = join(import.meta.dirname, "policy-hold.ts");
const HOLD_PORT = 9_000;
/** What the product promises of a device that came or came back. */
const KNOWN_WITHIN_MS = 1_000;
const NODE = "amsterdam-2";

const tillPolicy = (peer: string, more = ""): string =>
  ciliumPolicy(
    "demo/till",
    `
    endpointSelector: {matchLabels: {app: till}}
    ingress:
      - fromEndpoints: [{matchLabels: {app: ${peer}}}]
        toPorts: [{ports: [{port: "8080", protocol: TCP}, {port: "${HOLD_PORT}", protocol: TCP}]${more}}]
    `,
  );

const BASE: Scenario = {
  title: "till is for frontends",
  mesh: labMesh(NODE),
  policies: [tillPolicy("frontend")],
  checks: `
    demo/till <- demo/frontend TCP/8080 = allowed by ingress[0]
    demo/till <- demo/client TCP/8080 = dropped policy-denied
  `,
};

function bulkhead(scene: PolicyLab, ...words: readonly string[]): Promise<Outcome> {
  return run(BULKHEAD, [...words, "--run-dir", scene.lab.plan.runDirectory]);
}

async function dropped(
  scene: PolicyLab,
  node: string,
  sinceMs: number,
  reason: DropReason,
  from: string,
): Promise<Flow> {
  return await waitFor(`${node} reports a drop of ${from} as ${reason}`, WITHIN_MS, async () =>
    (await scene.flows(node, sinceMs)).find((flow) => {
      return flow.verdict === "dropped" && flow.reason === reason && flow.source.address === from;
    }),
  );
}

/** The endpoint of a pod as the agent of its node has it, once it is another device than before. */
async function attachedAgain(scene: PolicyLab, pod: PodRecord, before: number): Promise<number> {
  const startedMs = systemClock.nowMs();
  await waitFor(`${pod.name} is attached again`, WITHIN_MS, async () => {
    const known = (await scene.status(pod.node))?.endpoints.find((one) => one.pod === `${pod.namespace}/${pod.name}`);
    return known !== undefined && known.ifindex !== before && known.ingress === "enforced" ? true : undefined;
  });
  return systemClock.nowMs() - startedMs;
}

const LATE = `
apiVersion: v1
kind: Pod
metadata:
  namespace: demo
  name: late
  labels: {app: till, tier: db}
spec:
  containers:
    - {name: server, command: [node, workload/server.ts]}
`;

/** Registers the tests. Each leaves BASE in force and everything running. */
export function policyChanges(scene: () => PolicyLab): void {
  test("`bulkhead policy explain`, `list` and `flows` say who may what, and why", () => commandsAgree(scene()));
  test("`bulkhead policy validate` refuses what is not enforced", () => validateRefuses(scene()));
  test("a policy with an L7 rule is refused loudly: the last good one stays", () => badPolicyStays(scene()));
  test("a withdrawn permission cuts a connection that is open", () => permissionWithdrawn(scene()));
  test("agents killed with -9: their nodes go on enforcing", () => agentsKilled(scene()));
  test("an address that is not the sender's own is dropped", () => spoofedSource(scene()));
  test("a veth that is made again is attached again within a second", (t) => vethAgain(scene(), t));
  test("a new pod is denied until it is known, within a second of its cluster's etcd", (t) => newPod(scene(), t));
}

async function commandsAgree(scene: PolicyLab): Promise<void> {
  await proveScenario(scene, BASE);
  const ask = (from: string, port: string): Promise<Outcome> =>
    bulkhead(scene, "policy", "explain", "--from", from, "--to", "demo/till", "--port", port);
  const allowed = await ask("amsterdam/demo/frontend", "8080");
  assert.equal(allowed.code, 0, allowed.err);
  assert.match(allowed.out, /^ALLOWED: amsterdam\/demo\/frontend -> amsterdam\/demo\/till 8080\/TCP/);
  assert.match(allowed.out, /kernel +allowed by CiliumNetworkPolicy\/demo\/till ingress\[0\] \(.*policy-0\.yaml:\d+\)/);
  const denied = await ask("amsterdam/demo/client", "8080/tcp");
  assert.equal(denied.code, 3, denied.err);
  assert.match(denied.out, /^DENIED: .*\n(.*\n)*.*kernel +dropped policy-denied/);
  const bad = await ask("nobody", "8080");
  assert.equal(bad.code, 2);
  assert.match(bad.err, /^bulkhead: --from nobody: .*\n$/);

  const list = await bulkhead(scene, "policy", "list");
  assert.match(list.out, /amsterdam +CiliumNetworkPolicy\/demo\/till +enforced +amsterdam-1 0, amsterdam-2 1 /);

  const words = ["--last", "5", "--from", "amsterdam/demo/client", "--to", "demo/till", "--verdict", "dropped"];
  const json = await bulkhead(scene, "flows", ...words, "--json");
  assert.equal(json.code, 0, json.err);
  const flows = json.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Flow);
  assert.ok(flows.length > 0 && flows.length <= 5, `${flows.length} flows`);
  for (const { reason, source, destination } of flows) {
    assert.deepEqual([reason, source.pod, destination.pod], ["policy-denied", "demo/client", "demo/till"]);
  }
  const text = await bulkhead(scene, "flows", ...words);
  assert.match(
    text.out.split("\n")[0] ?? "",
    /dropped policy-denied: .*demo\/client.* -> .*demo\/till.* TCP, ingress of/,
  );
}

const L7 = `, rules: {http: [{method: GET}]}`;

async function validateRefuses(scene: PolicyLab): Promise<void> {
  const file = join(scene.lab.plan.runDirectory, "candidate.yaml");
  writeFileSync(file, tillPolicy("frontend"));
  const good = await run(BULKHEAD, ["policy", "validate", file]);
  assert.equal(good.code, 0, good.err);
  assert.match(good.out, /CiliumNetworkPolicy\/demo\/till/);
  writeFileSync(file, tillPolicy("frontend", L7));
  const bad = await run(BULKHEAD, ["policy", "validate", file]);
  assert.equal(bad.code, 2);
  assert.match(bad.out, /^! .*candidate\.yaml:\d+: .*ingress\[0\]\.toPorts\[0\]\.rules.*\n$/);
}

async function badPolicyStays(scene: PolicyLab): Promise<void> {
  await proveScenario(scene, BASE);
  const cluster = scene.cluster("amsterdam");
  const complaint = async (): Promise<readonly string[]> =>
    ((await exporterStatus(cluster))?.problems ?? []).filter((line) => line.includes("policy-0.yaml"));
  try {
    // It would admit the client instead, if its L7 part were merely left out.
    publishText(cluster, "policy-0.yaml", tillPolicy("client", L7));
    const lines = await waitFor("the exporter complains", WITHIN_MS, async () => {
      const found = await complaint();
      return found.length > 0 ? found : undefined;
    });
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0] ?? "", /toPorts\[0\]\.rules/);
    await proveCases(scene, BASE);
  } finally {
    publishText(cluster, "policy-0.yaml", tillPolicy("frontend"));
  }
  await waitFor("the complaint is gone", WITHIN_MS, async () => ((await complaint()).length === 0 ? true : undefined));
}

/** Lines that a process of the lab wrote. */
function linesOf(log: string): number {
  return readFileSync(log, "utf8").split("\n").length - 1;
}

async function permissionWithdrawn(scene: PolicyLab): Promise<void> {
  await proveScenario(scene, BASE);
  const { lab } = scene;
  const [frontend, till] = [lab.pod("amsterdam", "frontend"), lab.pod("amsterdam", "till")];
  const start = (pod: PodRecord, ...words: readonly string[]): string =>
    lab.start({
      id: `hold/${pod.name}`,
      netns: pod.netns,
      cgroup: pod.cgroup,
      argv: [process.execPath, HOLD, ...words],
    }).log;
  const server = start(till, "serve", String(HOLD_PORT));
  try {
    await waitFor("the server listens", WITHIN_MS, () => (linesOf(server) > 0 ? true : undefined));
    const client = start(frontend, "hold", till.addresses[0], String(HOLD_PORT));
    await waitFor("the connection is in use", WITHIN_MS, () => (linesOf(client) >= 10 ? true : undefined));
    const sinceMs = systemClock.wallMs();
    await scene.setPolicies("amsterdam", [tillPolicy("nobody")]);
    const flow = await dropped(scene, NODE, sinceMs, "policy-denied", frontend.addresses[0]);
    assert.equal(flow.destination.port, HOLD_PORT);
    const heard = linesOf(client);
    await sleep(systemClock, 1_000);
    assert.equal(linesOf(client), heard, "nothing comes back any more");
  } finally {
    await lab.kill(...[frontend, till].map(({ name }) => `hold/${name}`).filter((id) => lab.isRunning(id)));
  }
}

async function agentsKilled(scene: PolicyLab): Promise<void> {
  await proveScenario(scene, BASE);
  const { lab } = scene;
  const cluster = scene.cluster("amsterdam");
  await lab.kill(...cluster.nodes.map((node) => agentId(cluster, node)));
  for (const { tuple, verdict, family } of casesOf(BASE)) {
    const { from, to } = endsOf(tuple);
    const before = await dropsOfKernel(scene, from, to);
    const answer = await scene.send(tuple);
    assert.equal(answer, verdict === "allowed" ? "amsterdam/till" : undefined, family);
    const drops = (await dropsOfKernel(scene, from, to)) - before;
    assert.ok(verdict === "allowed" ? drops === 0 : drops > 0, `${family}: the kernel dropped ${drops}`);
  }
  startCluster(lab, cluster);
  await waitForCluster(lab, cluster);
  await proveCases(scene, BASE);
}

async function dropsOfKernel(scene: PolicyLab, from: string, to: string): Promise<number> {
  const flows = await kernelFlows(scene.node(NODE).node, from, to);
  const denied = flows.filter(({ reason }) => DROP_REASONS[reason] === "policy-denied");
  return denied.reduce((sum, { packets }) => sum + Number(packets), 0);
}

async function spoofedSource(scene: PolicyLab): Promise<void> {
  const { lab } = scene;
  const [client, hello] = [lab.pod("amsterdam", "client"), lab.pod("amsterdam", "hello-2")];
  for (const [side, foreign, bits] of [
    [0, "10.1.1.200", 32],
    [1, "fd6c:6162:1:1::200", 128],
  ] as const) {
    const inside = ["ip", "-n", client.netns, "addr"];
    await command([...inside, "add", `${foreign}/${bits}`, "dev", "eth0", ...(side === 1 ? ["nodad"] : [])]);
    try {
      const sinceMs = systemClock.wallMs();
      const target = hello.addresses[side];
      assert.equal(await ping(client.netns, target, ["-I", client.addresses[side]]), "echo", "with its own address");
      assert.equal(await ping(client.netns, target, ["-I", foreign]), undefined, "with a foreign one");
      const flow = await dropped(scene, client.node, sinceMs, "spoofed-source", foreign);
      assert.deepEqual(
        [flow.direction, flow.endpoint, flow.destination.pod],
        ["egress", "demo/client", "demo/hello-2"],
      );
    } finally {
      await command([...inside, "del", `${foreign}/${bits}`, "dev", "eth0"]);
    }
  }
}

async function vethAgain(scene: PolicyLab, t: TestContext): Promise<void> {
  await proveScenario(scene, BASE);
  const { node } = scene.node(NODE);
  const till = scene.lab.pod("amsterdam", "till");
  const before = (await scene.status(NODE))?.endpoints.find(({ pod }) => pod === "demo/till");
  assert.ok(before !== undefined);
  await command(inNetns(node.netns, ["ip", "link", "del", before.device]));
  const made = podLines(scene.lab.plan, node, { netns: till.netns, port: before.device, addresses: till.addresses });
  // These routes do not go with the device.
  await runScript({ netns: node.netns, lines: made.filter((line) => !line.includes(" unreachable ")) });
  const tookMs = await attachedAgain(scene, till, before.ifindex);
  t.diagnostic(`enforced again after ${tookMs.toFixed()} ms`);
  assert.ok(tookMs <= KNOWN_WITHIN_MS, `after ${tookMs} ms`);
  await scene.openWorldTo(till.netns, node);
  await proveCases(scene, BASE);
}

async function newPod(scene: PolicyLab, t: TestContext): Promise<void> {
  await proveScenario(scene, BASE);
  const { lab } = scene;
  const cluster = scene.cluster("amsterdam");
  const [object] = parseInput("late.yaml", LATE);
  assert.ok(object !== undefined);
  const input = inputPod(object);
  const pod = await buildPod(lab, cluster, input);
  assert.equal(pod.node, NODE);
  const [frontend, client] = ["frontend", "client"].map((name) => lab.pod("amsterdam", name).addresses[0]);
  const call = (peer: string | undefined): Promise<string | undefined> =>
    scene.send({
      direction: "ingress",
      endpoint: "demo/late",
      address: pod.addresses[0],
      peer: peer ?? "",
      protocol: "TCP",
      port: 8080,
    });
  // An agent looks for devices when it is told of one, and some times a second: before that the packet would meet no program.
  await waitFor(
    `${NODE} denies the new device`,
    WITHIN_MS,
    async () =>
      (await scene.status(NODE))?.endpoints.some(({ addresses, ingress, egress }) => {
        return addresses.includes(pod.addresses[0]) && ingress === "denied" && egress === "denied";
      }) || undefined,
  );
  const sinceMs = systemClock.wallMs();
  assert.equal(await call(frontend), undefined, "nobody answers before it is known");
  const early = await dropped(scene, NODE, sinceMs, "endpoint-unknown", frontend ?? "");
  assert.equal(early.destination.address, pod.addresses[0]);

  const announcedMs = systemClock.nowMs();
  announcePod(cluster, input, pod);
  const key = `cilium/state/ip/v1/default/${pod.addresses[0]}`;
  await waitFor("the cluster's etcd knows the pod", WITHIN_MS, async () =>
    (await keysBelow(cluster, key)).length > 0 ? true : undefined,
  );
  const exportedMs = systemClock.nowMs() - announcedMs;
  const tookMs = await attachedAgain(scene, pod, 0);
  t.diagnostic(`manifest to etcd ${exportedMs.toFixed()} ms, then to the kernel ${tookMs.toFixed()} ms`);
  assert.ok(tookMs <= KNOWN_WITHIN_MS, `known ${tookMs} ms after etcd knew`);
  assert.equal(await call(frontend), "amsterdam/late");
  const knownMs = systemClock.wallMs();
  assert.equal(await call(client), undefined, "and denied to others");
  await dropped(scene, NODE, knownMs, "policy-denied", client ?? "");
  await stopPod(lab, cluster, pod);
}
