/** A great many connections to services with a local backend, and long ones that exchange bytes, while all around them breaks: none fails, none is cut. */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cgroupPids } from "../../deploy/lab/cgroups.ts";
import { etcdctl } from "../../deploy/lab/etcd.ts";
import { Lab, waitFor } from "../../deploy/lab/lab.ts";
import { publishObject } from "../../deploy/lab/manifests.ts";
import { pinsInUse } from "../../deploy/lab/maps.ts";
import { answersText, whole } from "../../deploy/lab/output.ts";
import type { LabPlan, NodePlan } from "../../deploy/lab/plan.ts";
import {
  type AgentVariant,
  agentId,
  agentStatus,
  etcdId,
  mirrorId,
  mirrorStatus,
  startAgent,
  startProgram,
} from "../../deploy/lab/programs.ts";
import { expectNoFailure, InvalidRun } from "../../deploy/lab/tour/expect.ts";
import { burst, newTour, serviceTarget, type Tour } from "../../deploy/lab/tour/tour.ts";
import { byCluster, totalOf } from "../../deploy/lab/workload/jobs.ts";
import type { AgentStatus, RemoteStatus } from "../../src/model/status.ts";
import { type Hold, hold } from "../hold.ts";
import { plan, standing } from "../mesh.ts";
import { nextVersion } from "../next-version.ts";
import { type Source, Traffic } from "../traffic.ts";

const NAME = "e2e-faults";
const WITHIN_MS = 180_000;
/** Made in all, with the twin's: each fault lasts until its share of them is made. */
const CONNECTIONS = Number(process.env["BULKHEAD_FAULT_CONNECTIONS"] ?? 200_000);
/** Of the run without faults that comes first. */
const TWIN_CONNECTIONS = Math.min(10_000, CONNECTIONS / 10);
/** Whatever was made while earlier ones were mended. */
const LEAST_SHARE = TWIN_CONNECTIONS;
const FLOWS = 100;
const FLOW_EVERY_MS = 500;
const PROOF = "e2e/proof";
const [OTHER_SERVICES_MAX, OTHER_CONNTRACK_MAX] = [200_000, 300_000];
/** One on each node of amsterdam. */
const CALLERS = ["client", "frontend"] as const;
type Caller = (typeof CALLERS)[number];

let lab: LabPlan;
let tour: Tour;
let next: AgentVariant;
const traffic = new Traffic();

standing(NAME, async () => {
  lab = plan(NAME);
  tour = newTour(Lab.open(lab, "up"));
  next = nextVersion(join(tour.lab.dataDirectory, "next-version"));
  await onlyAnswersComeIn();
});

const call = (from: Caller, service: string): Source =>
  traffic.start(tour.lab.pod("amsterdam", from), serviceTarget("amsterdam", service, "v4"));

/** From now on the callers depend on what their nodes' kernels know of connections. */
async function onlyAnswersComeIn(): Promise<void> {
  const policy = { kind: "NetworkPolicy", namespace: "demo", name: "callers" } as const;
  const podSelector = { matchExpressions: [{ key: "app", operator: "In", values: CALLERS }] };
  publishObject(tour.amsterdam, policy, {
    ...{ apiVersion: "networking.k8s.io/v1", kind: policy.kind, metadata: { namespace: "demo", name: policy.name } },
    spec: { podSelector, policyTypes: ["Ingress"] },
  });
  await agentsAre("enforcing", ({ endpoints }) =>
    endpoints.some(({ pod, ingress }) => ingress === "enforced" && CALLERS.some((name) => pod === `demo/${name}`)),
  );
}

/** Every agent of amsterdam, or those of some nodes, works on what its own etcd says, and is as asked. */
async function agentsAre(
  what: string,
  isSo: (status: AgentStatus) => boolean = () => true,
  nodes: readonly NodePlan[] = tour.amsterdam.nodes,
): Promise<void> {
  for (const node of nodes) {
    let said = "";
    const ask = async (): Promise<true | undefined> => {
      const status = await agentStatus(tour.amsterdam, node);
      said = JSON.stringify(status?.readiness ?? "no answer");
      return (status?.readiness.ready && status.connected && isSo(status)) || undefined;
    };
    await waitFor(`the agent of ${node.name} is ${what}`, WITHIN_MS, ask, () => said);
  }
}

async function killAgents(nodes: readonly NodePlan[] = tour.amsterdam.nodes): Promise<void> {
  await tour.lab.kill(...nodes.map((node) => agentId(tour.amsterdam, node)));
}

async function restartAgents(variant: AgentVariant): Promise<void> {
  await killAgents();
  for (const node of tour.amsterdam.nodes) startAgent(tour.lab, tour.amsterdam, node, variant);
  await agentsAre("back");
}

/** The programs of every node of amsterdam use these backends. */
async function agentsUse(pin: string): Promise<void> {
  for (const node of tour.amsterdam.nodes) {
    assert.deepEqual(await pinsInUse(node, "backends", "link_connect4"), [pin], node.name);
  }
}

const remotes = () => [tour.osaka, tour.virginia];
const theirIds = (): readonly string[] => remotes().flatMap((remote) => [etcdId(remote), mirrorId(remote)]);

function startRemotes(): void {
  for (const remote of remotes()) {
    for (const id of [etcdId(remote), mirrorId(remote)]) startProgram(tour.lab, remote, id);
  }
}

function signalRemotes(signal: "SIGSTOP" | "SIGCONT", more: readonly number[] = []): void {
  for (const pid of [...theirIds().map((id) => tour.lab.process(id).pid), ...more]) process.kill(pid, signal);
}

/** Amsterdam's mirror says so of every remote. */
async function remotesAre(what: string, isSo: (remote: RemoteStatus) => boolean): Promise<void> {
  await waitFor(`amsterdam's mirror finds the remotes ${what}`, WITHIN_MS, async () => {
    const found = (await mirrorStatus(tour.amsterdam))?.remotes ?? [];
    return (found.length === remotes().length && found.every(isSo)) || undefined;
  });
}

const remotesAreAway = () => remotesAre("away", ({ connected }) => !connected);
const remotesAreBack = () =>
  remotesAre("back", ({ connected, synced, grade, holds }) => {
    return connected && synced && grade === "fresh" && holds.length === 0;
  });

interface Fault {
  readonly name: string;
  /** @param lasts resolves when the fault's share of the connections is made. */
  run(lasts: () => Promise<void>): Promise<void>;
}

const killed: Fault = {
  name: "remote etcds and mirrors killed; then amsterdam's agents killed with -9, and back",
  async run(lasts) {
    await tour.lab.kill(...theirIds());
    await remotesAreAway();
    await killAgents();
    await lasts();
    for (const node of tour.amsterdam.nodes) startAgent(tour.lab, tour.amsterdam, node);
    await agentsAre("back", ({ adopted }) => adopted > 1_000);
    startRemotes();
    await remotesAreBack();
  },
};

const hung: Fault = {
  name: "remote etcds and mirrors hang; then amsterdam's agents are upgraded to other maps",
  async run(lasts) {
    signalRemotes("SIGSTOP");
    try {
      await remotesAreAway();
      await restartAgents(next);
      await agentsUse("backends_v2");
      await lasts();
    } finally {
      signalRemotes("SIGCONT");
    }
    await remotesAreBack();
  },
};

const lost: Fault = {
  name: "remote etcds lose all data; then amsterdam's agents are downgraded",
  async run(lasts) {
    for (const remote of remotes()) await etcdctl(remote, ["put", PROOF, "there"]);
    await tour.lab.kill(...theirIds());
    for (const { name } of remotes()) rmSync(join(tour.lab.dataDirectory, name), { recursive: true });
    startRemotes();
    await restartAgents({});
    await agentsUse("backends_v1");
    await lasts();
    await remotesAreBack();
    for (const remote of remotes()) assert.equal(await etcdctl(remote, ["get", PROOF]), "");
  },
};

const gone: Fault = {
  name: "remote clusters hang with their pods; all calls prefer local backends",
  async run(lasts) {
    const local = call("client", "hello-local");
    await sources.client.stop();
    const pods = remotes().flatMap(({ name }) => cgroupPids(join(lab.cgroup, name)));
    signalRemotes("SIGSTOP", pods);
    try {
      await remotesAreAway();
      await lasts();
    } finally {
      signalRemotes("SIGCONT", pods);
    }
    await remotesAreBack();
    sources.client = call("client", "hello");
    await local.stop();
  },
};

/** As far as eBPF goes: the node's processes stay, and so do their connections. A real boot ends them; others must not notice, and new ones must work after it. */
const booted: Fault = {
  name: "amsterdam-2 boots while remote etcds and mirrors are dead",
  async run(lasts) {
    const node = tour.amsterdam.nodes[1] ?? assert.fail();
    await agentsAre("in the possession of a snapshot", ({ snapshot }) => snapshot.ageMs !== undefined);
    await tour.lab.kill(...theirIds());
    await remotesAreAway();
    await sources.frontend.stop();
    await killAgents([node]);
    for (const pin of readdirSync(node.bpfDirectory)) rmSync(join(node.bpfDirectory, pin), { recursive: true });
    const target = serviceTarget("amsterdam", "hello-local", "v4");
    const withoutMaps = await burst(tour, tour.amsterdam, target, 8, "frontend");
    assert.equal(totalOf(withoutMaps.answers), 0, "without maps nobody answers");
    startAgent(tour.lab, tour.amsterdam, node);
    await agentsAre("back from a snapshot", ({ snapshot }) => snapshot.restoredAgeMs !== undefined, [node]);
    sources.frontend = call("frontend", "hello-local");
    await lasts();
    startRemotes();
    await remotesAreBack();
  },
};

const resized: Fault = {
  name: "amsterdam's agents ask for maps of another size; then their pins are removed, and they ask again",
  async run(lasts) {
    const variant = { settings: { servicesMax: OTHER_SERVICES_MAX, conntrackMax: OTHER_CONNTRACK_MAX } };
    const sizeOf = ({ maps }: AgentStatus) => maps.find(({ name }) => name === "services")?.maxEntries;
    await restartAgents(variant);
    await agentsAre("content with the old size, and says so", (status) => {
      return sizeOf(status) !== OTHER_SERVICES_MAX && /services: pinned with room for/.test(status.problems.join());
    });
    for (const { bpfDirectory } of tour.amsterdam.nodes) {
      for (const pin of readdirSync(bpfDirectory)) if (pin.endsWith("_v1")) rmSync(join(bpfDirectory, pin));
    }
    await restartAgents(variant);
    await agentsAre("using the new size, but for connections", (status) => {
      return sizeOf(status) === OTHER_SERVICES_MAX && /conntrack: pinned with room for/.test(status.problems.join());
    });
    await agentsUse("backends_v1");
    await lasts();
  },
};

const FAULTS = [killed, hung, lost, gone, booted, resized];

/** Who calls what, until the test ends. */
let sources: Record<Caller, Source>;

/** Packets that amsterdam's nodes dropped at their pods. */
async function drops(): Promise<number> {
  const statuses = await Promise.all(tour.amsterdam.nodes.map((node) => agentStatus(tour.amsterdam, node)));
  return statuses.reduce((sum, status) => sum + totalOf(status?.drops ?? assert.fail("an agent does not answer")), 0);
}

/** No connection failed since the last time, and no packet was dropped; what was counted is told in a line. */
async function none(what: string): Promise<void> {
  const counted = await traffic.turn();
  const answers = Object.fromEntries(byCluster(counted.answers));
  const line = `${whole(counted.calls)} connections: ${answersText(answers)}, slowest ${counted.maxMs.toFixed(0)} ms`;
  process.stdout.write(`faults: ${what}: ${line}\n`);
  expectNoFailure(what, counted);
  assert.equal(await drops(), 0, `${what}: packets dropped`);
}

/** Twin of 0 drops: who begins a connection to a caller is refused by policy, and counted. */
async function strangersAreDropped(): Promise<void> {
  const [address] = tour.lab.pod("amsterdam", "client").addresses;
  const { answers } = await burst(tour, tour.osaka, { address, port: 8080, protocol: "tcp" }, 1);
  assert.equal(totalOf(answers), 0);
  await waitFor("the drop is counted", WITHIN_MS, async () => ((await drops()) > 0 ? true : undefined));
}

async function twin(): Promise<void> {
  const startMs = performance.now();
  await traffic.until(TWIN_CONNECTIONS);
  const rate = (traffic.made / (performance.now() - startMs)) * 1_000;
  try {
    await none(`twin without faults, ${rate.toFixed(0)} a second`);
  } catch (error) {
    throw new InvalidRun(`the twin without faults failed, so this machine proves nothing: ${String(error)}`);
  }
}

async function expectFlows(held: readonly Hold[]): Promise<void> {
  const found = await Promise.all(held.map((one) => one.answers()));
  const answered = new Map<string, number>();
  for (const { answers } of found) {
    for (const [who, count] of byCluster(answers)) answered.set(who, (answered.get(who) ?? 0) + count);
  }
  const bytes = found.reduce((sum, { bytes: came }) => sum + came, 0);
  const line = answersText(Object.fromEntries(answered));
  process.stdout.write(`faults: long connections: ${line}, ${whole(bytes)} bytes back in order\n`);
  const clusters = lab.clusters.map(({ name }) => name);
  assert.deepEqual([...answered.keys()].sort(), clusters, "none is cut, silent or wrong");
  assert.equal(
    [...answered.values()].reduce((sum, count) => sum + count, 0),
    FLOWS,
  );
  assert.ok(bytes > FLOWS * 10_000, `only ${bytes} bytes`);
}

test(`${whole(CONNECTIONS)} connections through every fault, 0 failed; ${FLOWS} long ones, 0 cut`, async () => {
  const hello = serviceTarget("amsterdam", "hello", "v4");
  const holding = CALLERS.map((name) =>
    hold(tour.lab.pod("amsterdam", name), hello, FLOWS / CALLERS.length, FLOW_EVERY_MS),
  );
  const held = await Promise.all(holding);
  sources = { client: call("client", "hello"), frontend: call("frontend", "hello-local") };
  try {
    await twin();
    for (const [index, { name, run }] of FAULTS.entries()) {
      const share = (CONNECTIONS - traffic.made) / (FAULTS.length - index);
      const until = traffic.made + Math.max(LEAST_SHARE, share);
      await run(() => traffic.until(until));
      await none(name);
    }
    assert.ok(traffic.made >= CONNECTIONS);
    await expectFlows(held);
    await strangersAreDropped();
  } finally {
    await Promise.all(Object.values(sources).map((source) => source.stop()));
    for (const one of held) one.end();
  }
});
