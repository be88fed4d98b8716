import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyKernel, type MapCall } from "../../../src/kernel/faulty.ts";
import { MemoryKernel, type MemoryRing } from "../../../src/kernel/memory.ts";
import { EVENT_RING, encodeFlowEvent } from "../../../src/maps/flow-map.ts";
import { IPCACHE_MAP } from "../../../src/maps/ipcache-map.ts";
import { LAYOUT_VERSION } from "../../../src/maps/layout.ts";
import { ENDPOINT_OBJECT, SOCK_LB_OBJECT } from "../../../src/maps/objects.ts";
import { parseAddress } from "../../../src/model/address.ts";
import { DROP_REASONS, EVENT_KINDS, VERDICTS } from "../../../src/model/flow.ts";
import { policyName } from "../../../src/model/policy.ts";
import type { Agent } from "../../../src/programs/agent/agent.ts";
import { judge, kernelMaps } from "../../../src/programs/agent/judgement.ts";
import { encodeIdentity } from "../../../src/wire/identity.ts";
import { encodeIp } from "../../../src/wire/ip.ts";
import { POLICIES_PREFIX } from "../../../src/wire/keys.ts";
import { stateKey } from "../../../src/wire/resources.ts";
import { OSAKA, OWN } from "../../tables/world.ts";
import { settings, start, world } from "./stage.ts";

const POD = "10.2.0.1";
const CLIENT = "10.2.0.7";
const IDENTITY = OWN.id * 65536 + 300;
const device = { ifindex: 7, name: "veth7", addresses: [POD] };
const programs = { pinDirectory: settings.bpfDir, ...ENDPOINT_OBJECT };

/** A world whose own cluster has the identity of `shop/web`, and its device on this node. */
function withPod() {
  const mesh = world();
  const label = (key: string, value: string) => ({ source: "k8s", key, value });
  const labels = [
    label("app", "web"),
    label("io.cilium.k8s.policy.cluster", OWN.name),
    label("io.kubernetes.pod.namespace", "shop"),
  ];
  mesh.local.put(stateKey("identities", OWN.name, String(IDENTITY)), encodeIdentity(labels));
  mesh.network.set({ devices: [device], ownAddresses: ["192.0.2.1"] });
  return mesh;
}

/** Only TCP 80 from pods of `shop` to `shop/web`. */
function admit(mesh: ReturnType<typeof world>, app = "web"): void {
  const name = { kind: "CiliumNetworkPolicy", namespace: "shop", name: "web" } as const;
  const document = {
    apiVersion: "cilium.io/v2",
    kind: name.kind,
    metadata: { name: "web", namespace: "shop" },
    spec: {
      endpointSelector: { matchLabels: { app: "web" } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app } }],
          toPorts: [{ ports: [{ port: "80", protocol: "TCP" }] }],
        },
      ],
    },
  };
  const value = new TextEncoder().encode(JSON.stringify({ source: "web.yaml:1", document }));
  mesh.local.put(`${POLICIES_PREFIX}${policyName(name)}`, value);
}

/** What the kernel reports of a packet to the pod from an address that it knows nothing of. */
function identityUnknown(source: string, destination: string): Uint8Array {
  const bytes = (address: string) => parseAddress(address) as Uint8Array;
  const flow = { source: bytes(source), destination: bytes(destination), sourcePort: 40_000, destinationPort: 80 };
  return encodeFlowEvent({
    flow: { ...flow, ifindex: 7, protocol: 6, direction: 0 },
    ...{ timeNs: 1n, sourceIdentity: 0, destinationIdentity: IDENTITY, rule: 0, bytes: 60 },
    verdict: VERDICTS.indexOf("dropped"),
    reason: DROP_REASONS.indexOf("identity-unknown"),
    kind: EVENT_KINDS.indexOf("dropped"),
  });
}

const question = (from: string, to: string, port: string) => new Map(Object.entries({ from, to, port }));

async function answers(agent: Agent, from: string, to: string, port: string) {
  const { directions } = await agent.explain(question(from, to, port));
  return directions.map(({ direction, compiled, kernel, enforcement }) => {
    assert.deepEqual(kernel, compiled, "the kernel's maps say the same");
    return `${direction} ${enforcement} ${compiled.verdict} ${compiled.reason}${compiled.rule ? ` ${compiled.rule}` : ""}`;
  });
}

test("a pod's device that no pattern matches is told: nothing is enforced there", async () => {
  const mesh = withPod();
  const others = [
    { ifindex: 8, name: "gke8", addresses: [POD] },
    { ifindex: 9, name: "eth0", addresses: ["198.51.100.9"] },
  ];
  mesh.network.set({ devices: others, ownAddresses: ["192.0.2.1"] });
  const { agent, crash } = await start(mesh);
  await mesh.local.clock.advance(6_000);
  const { endpoints, problems } = agent.status();
  assert.deepEqual(endpoints, []);
  assert.deepEqual(problems, [
    "device gke8 of shop/web: --endpoint-devices or --endpoint-cidrs leaves it out, so no policy is enforced there; add it",
  ]);
  await crash();
});

for (const [what, given, known] of [
  ["that no device of the host has: its pods are not this node's", undefined, [undefined, "denied"]],
  ["that the settings name: its pods are this node's", ["192.0.2.1"], ["shop/web", "enforced"]],
] as const) {
  test(`a node known by an address ${what}`, async () => {
    const mesh = withPod();
    admit(mesh);
    const entry = { address: POD, hostAddress: "192.0.2.1", identity: IDENTITY, namespace: "shop", podName: "web" };
    const value = encodeIp({ ...entry, serviceAccount: "default", namedPorts: [] });
    mesh.local.put(stateKey("ip", OWN.name, POD), value);
    mesh.network.set({ devices: [device], ownAddresses: ["198.51.100.1"] });
    const { agent, crash } = await start(mesh, given && { nodeAddresses: [...given] });
    await mesh.local.clock.advance(6_000);
    const { endpoints } = agent.status();
    assert.deepEqual(
      endpoints.map(({ pod, ingress }) => [pod, ingress]),
      [known],
    );
    await crash();
  });
}

test("a policy in the local etcd is enforced at the device, and explained by rule and file", async () => {
  const mesh = withPod();
  admit(mesh);
  mesh.local.ip(OWN, CLIENT);
  const { agent, metrics, crash } = await start(mesh);
  await mesh.local.clock.advance(6_000);
  const { endpoints, policies, problems, drops, flowsLost } = agent.status();
  assert.deepEqual(problems, []);
  assert.deepEqual(
    endpoints.map(({ device: name, pod, identity, ingress, egress }) => [name, pod, identity, ingress, egress]),
    [["veth7", "shop/web", IDENTITY, "enforced", "open"]],
  );
  assert.deepEqual(
    policies.map(({ name, source, endpoints: count }) => [name, source, count]),
    [["CiliumNetworkPolicy/shop/web", "web.yaml:1", 1]],
  );
  assert.deepEqual([drops["policy-denied"], flowsLost], [0, 0]);
  const told = await answers(agent, CLIENT, "shop/web", "80/TCP");
  assert.equal(told.length, 1);
  assert.match(
    told[0] ?? "",
    /^ingress enforced allowed forwarded CiliumNetworkPolicy\/shop\/web .*ingress\[0\] \(web\.yaml:1\)$/,
  );
  assert.deepEqual(await answers(agent, CLIENT, POD, "81/TCP"), ["ingress enforced dropped policy-denied"]);
  assert.deepEqual(await answers(agent, "198.51.100.9", POD, "80/TCP"), ["ingress enforced dropped policy-denied"]);
  assert.deepEqual(await answers(agent, POD, "198.51.100.9", "443/TCP"), ["egress open allowed forwarded"]);
  assert.match(await metrics.text(), /bulkhead_policy_endpoints\{direction="ingress",state="enforced"\} 1/);
  assert.throws(() => agent.explain(question("nobody", POD, "80/TCP")), /from and to must be pods/);
  await crash();
});

test("a fresh node: entries first, then programs; a device that comes later is attached before its entry is there", async () => {
  const mesh = withPod();
  admit(mesh);
  mesh.local.etcd.stop();
  const { crash, agent } = await start(mesh);
  await mesh.local.clock.advance(5_000);
  assert.deepEqual(mesh.kernel.attachedDevices(programs), [], "running pods are not cut off while nothing is known");
  mesh.local.etcd.start();
  await mesh.local.clock.advance(40_000);
  assert.deepEqual(mesh.kernel.attachedDevices(programs), [7]);
  mesh.local.etcd.stop();
  mesh.network.putDevice({ ifindex: 8, name: "veth8", addresses: ["10.2.0.99"] });
  await mesh.local.clock.advance(200);
  assert.deepEqual(mesh.kernel.attachedDevices(programs), [7, 8]);
  assert.deepEqual(
    agent.status().endpoints.map(({ device: name, ingress }) => [name, ingress]),
    [
      ["veth7", "enforced"],
      ["veth8", "denied"],
    ],
  );
  await crash();
});

test("an agent that never learnt anything does not cut pods off when it starts again", async () => {
  const mesh = withPod();
  mesh.local.etcd.stop();
  for (let round = 0; round < 2; round++) {
    const { crash } = await start(mesh);
    await mesh.local.clock.advance(2_000);
    await crash();
  }
  assert.deepEqual(mesh.kernel.attachedDevices(programs), []);
});

test("I4: restarted with every etcd down it keeps every endpoint and policy, and writes nothing when the etcd returns", async () => {
  const mesh = withPod();
  admit(mesh);
  mesh.local.ip(OWN, CLIENT);
  const first = await start(mesh);
  const before = first.agent.status();
  await first.crash();
  mesh.local.etcd.stop();
  const { agent, crash } = await start(mesh);
  assert.deepEqual(mesh.kernel.attachedDevices(programs), [7]);
  const held = before.maps.reduce((sum, { entries }) => sum + entries, 0);
  const counts = () => [agent.status().written, agent.status().removed];
  assert.deepEqual(counts(), [0, 0]);
  mesh.local.etcd.start();
  await mesh.local.clock.advance(40_000);
  assert.deepEqual(counts(), [0, 0]);
  assert.deepEqual(agent.status().endpoints, before.endpoints);
  assert(agent.status().adopted >= held - 1, `${agent.status().adopted} of ${held}`);
  await crash();
});

test("a policy that narrows is in the kernel at once; so is one that is withdrawn", async () => {
  const mesh = withPod();
  admit(mesh);
  mesh.local.ip(OWN, CLIENT);
  const { agent, crash } = await start(mesh);
  admit(mesh, "nobody");
  await mesh.local.clock.advance(100);
  assert.deepEqual(await answers(agent, CLIENT, POD, "80/TCP"), ["ingress enforced dropped policy-denied"]);
  mesh.local.delete(`${POLICIES_PREFIX}CiliumNetworkPolicy/shop/web`);
  await mesh.local.clock.advance(100);
  assert.deepEqual(await answers(agent, CLIENT, POD, "80/TCP"), ["ingress open allowed forwarded"]);
  await crash();
});

test("what somebody else removed from the ipcache is put back as soon as the kernel meets it", async () => {
  const mesh = withPod();
  admit(mesh);
  mesh.local.ip(OWN, CLIENT);
  const { crash } = await start(mesh);
  const request = { objectPath: "view", pinDirectory: settings.bpfDir, layoutVersion: LAYOUT_VERSION };
  const view = await mesh.kernel.load({ ...request, layouts: [IPCACHE_MAP], rings: ENDPOINT_OBJECT.rings ?? [] });
  const ipcache = view.maps.get(IPCACHE_MAP.name);
  const held = await ipcache?.dump();
  await ipcache?.remove(held?.keys ?? new Uint8Array(), held?.count ?? 0);
  const ring = view.rings.get(EVENT_RING) as MemoryRing;
  ring.push(identityUnknown(CLIENT, POD));
  await mesh.local.clock.advance(300);
  assert.equal((await ipcache?.dump())?.count, 1, "the address that was met, long before the drift scan");
  await crash();
});

/** What the node's maps do with a packet of TCP from an address to the pod behind a device. */
async function verdict(kernel: MemoryKernel, ifindex: number, from: string, port: number): Promise<string> {
  const { maps: layouts, families = [] } = ENDPOINT_OBJECT;
  const request = { objectPath: "", pinDirectory: settings.bpfDir, layoutVersion: LAYOUT_VERSION, layouts, families };
  const { maps, families: held } = await kernel.load(request);
  const peer = parseAddress(from) ?? assert.fail(from);
  const { verdict: said, reason } = await judge(kernelMaps(maps, held), ifindex, "ingress", {
    peer,
    protocol: 6,
    port,
  });
  return `${said} ${reason}`;
}

test("P03: a boot with every etcd down: a pod's policy is enforced at its new device before it may be reached, another pod is denied", async () => {
  const mesh = withPod();
  admit(mesh);
  mesh.local.ip(OWN, CLIENT);
  const first = await start(mesh, { snapshotIntervalMs: 1_000 });
  await mesh.local.clock.advance(6_000);
  await first.crash();
  const judged = [await verdict(mesh.kernel, 7, CLIENT, 80), await verdict(mesh.kernel, 7, CLIENT, 81)];
  assert.deepEqual(judged, ["allowed forwarded", "dropped policy-denied"]);

  mesh.local.etcd.stop();
  const kernel = new MemoryKernel(SOCK_LB_OBJECT.programs);
  const devices = [
    { ifindex: 21, name: "veth21", addresses: [POD] },
    { ifindex: 22, name: "veth22", addresses: ["10.2.0.99"] },
  ];
  mesh.network.set({ devices, ownAddresses: ["192.0.2.1"] });
  const { agent, crash } = await start({ ...mesh, kernel });
  await mesh.local.clock.advance(1_000);
  assert.match(agent.ready().detail, /from snapshot/);
  assert.deepEqual(kernel.attachedDevices(programs), [21, 22]);
  assert.deepEqual([await verdict(kernel, 21, CLIENT, 80), await verdict(kernel, 21, CLIENT, 81)], judged);
  assert.equal(await verdict(kernel, 22, CLIENT, 80), "dropped endpoint-unknown");
  mesh.local.etcd.start();
  await mesh.local.clock.advance(40_000);
  assert.deepEqual(agent.ready(), { ready: true, detail: "synced" });
  assert.deepEqual([await verdict(kernel, 21, CLIENT, 80), await verdict(kernel, 21, CLIENT, 81)], judged);
  await crash();
});

test("P03: where nothing was enforced, a boot with every etcd down attaches to no pod: none is cut off for a new address", async () => {
  const mesh = withPod();
  await (await start(mesh)).crash();
  mesh.local.etcd.stop();
  const kernel = new MemoryKernel(SOCK_LB_OBJECT.programs);
  mesh.network.set({
    devices: [{ ifindex: 21, name: "veth21", addresses: ["10.2.0.99"] }],
    ownAddresses: ["192.0.2.1"],
  });
  const { agent, crash } = await start({ ...mesh, kernel });
  await mesh.local.clock.advance(1_000);
  assert.match(agent.ready().detail, /from snapshot/);
  assert.deepEqual(kernel.attachedDevices(programs), []);
  await crash();
});

const NEWCOMER = "10.2.0.8";

/** Each question to the pod, and what its node says. */
async function verdicts(kernel: MemoryKernel): Promise<readonly string[]> {
  const all: string[] = [];
  for (const from of [CLIENT, NEWCOMER, "10.2.0.1", "192.0.2.77"]) {
    for (const port of [80, 81]) all.push(await verdict(kernel, 7, from, port));
  }
  return all;
}

/** A world in which CLIENT may talk to the pod, after an agent converged. */
async function admitted() {
  const mesh = withPod();
  admit(mesh);
  mesh.local.ip(OWN, CLIENT);
  const { crash } = await start(mesh);
  await mesh.local.clock.advance(300);
  await crash();
  return { mesh };
}

type Mesh = ReturnType<typeof world>;

/** Another port is allowed. */
function allowMore({ local }: Mesh): void {
  const document = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "shop", name: "more" },
    spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 81, protocol: "TCP" }] }] },
  };
  const value = new TextEncoder().encode(JSON.stringify({ source: "more.yaml:1", document }));
  local.put(`${POLICIES_PREFIX}NetworkPolicy/shop/more`, value);
}

/** CLIENT is gone, NEWCOMER and an address of another cluster came. */
function moveAddresses({ local }: Mesh): void {
  local.delete(stateKey("ip", OWN.name, CLIENT));
  local.ip(OWN, NEWCOMER);
  local.ip(OSAKA, "10.1.0.77");
}

/** After these changes: what the node says, and what its maps hold. */
async function changed(...changes: readonly ((mesh: Mesh) => void)[]) {
  const { mesh } = await admitted();
  for (const change of changes) change(mesh);
  const { agent, crash } = await start(mesh);
  await mesh.local.clock.advance(300);
  await crash();
  return { said: await verdicts(mesh.kernel), maps: agent.status().maps };
}

test("P01: killed before, in or after any call while policies and addresses change: packets meet the old or the new, and the next agent finishes", async () => {
  const wanted = await changed(allowMore, moveAddresses);
  // A policy and the addresses that it is about are two things.
  const legitimate = [await changed(), await changed(allowMore), await changed(moveAddresses), wanted];
  assert.equal(new Set(legitimate.map(({ said }) => said.join())).size, 4);
  let calls = 0;
  for (let finished = false; !finished; calls++) {
    for (const when of ["before", "midway", "after"] as const) {
      const { mesh } = await admitted();
      for (const change of [allowMore, moveAddresses]) change(mesh);
      let reached = false;
      const plan = ({ index }: MapCall) => {
        if (index !== calls) return undefined;
        reached = true;
        return { when };
      };
      const doomed = await start({ ...mesh, kernel: faultyKernel(mesh.kernel, plan) }).catch(() => undefined);
      await mesh.local.clock.advance(300);
      await doomed?.crash();
      finished = !reached;
      for (const [at, said] of (await verdicts(mesh.kernel)).entries()) {
        const known = legitimate.map((one) => one.said[at]);
        assert(known.includes(said), `killed ${when} call ${calls}: packet ${at} ${said}, not ${known}`);
      }
      const { agent, crash } = await start(mesh);
      await mesh.local.clock.advance(300);
      assert.deepEqual(await verdicts(mesh.kernel), wanted.said);
      assert.deepEqual(agent.status().maps, wanted.maps);
      await crash();
    }
  }
  assert(calls > 15, `only ${calls} calls were made`);
});
