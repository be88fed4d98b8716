/** Static stability: every etcd is gone, and agents come back all the same. The lab's nodes serve throughout. */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Lab, waitFor } from "../../deploy/lab/lab.ts";
import { kernelBackends, removeBackend } from "../../deploy/lab/maps.ts";
import type { LabPlan } from "../../deploy/lab/plan.ts";
import { agentId, agentStatus, etcdId, startProgram } from "../../deploy/lab/programs.ts";
import { expectNoFailure, expectShares } from "../../deploy/lab/tour/expect.ts";
import { calls, newTour, serviceTarget, type Tour } from "../../deploy/lab/tour/tour.ts";
import { type JobResult, totalOf } from "../../deploy/lab/workload/jobs.ts";
import { BULKHEAD, plan, run, standing } from "../mesh.ts";

const NAME = "e2e-static";
const WITHIN_MS = 60_000;
const ALL = ["amsterdam", "osaka", "virginia"];
let lab: LabPlan;
let tour: Tour;

standing(NAME, () => {
  lab = plan(NAME);
  tour = newTour(Lab.open(lab, "up"));
});

/** Connections without a pause, from before the action until after it; those to every cluster among them. */
async function throughout(action: () => Promise<void>): Promise<JobResult> {
  const target = serviceTarget("amsterdam", "hello", "v4");
  const job = { kind: "stream", target, perSecond: 100, seconds: 15 } as const;
  const streaming = calls(tour, tour.amsterdam, job);
  streaming.catch(() => {});
  await action();
  const result = await streaming;
  assert.ok(result.calls >= 1_000, `only ${result.calls} calls: no load`);
  expectNoFailure("the stream", result);
  expectShares("the stream", result, ALL, 0.15);
  return result;
}

const agentIds = (): readonly string[] => tour.amsterdam.nodes.map((node) => agentId(tour.amsterdam, node));

/** Kills -9 the agents of amsterdam, and starts them again. */
async function restartAgents(): Promise<void> {
  await tour.lab.kill(...agentIds());
  for (const id of agentIds()) startProgram(tour.lab, tour.amsterdam, id);
}

/** Every agent of amsterdam is ready and says so with these words. */
async function agentsSay(detail: RegExp): Promise<void> {
  for (const node of tour.amsterdam.nodes) {
    await waitFor(`the agent of ${node.name} says ${detail}`, WITHIN_MS, async () => {
      const { ready, detail: said } = (await agentStatus(tour.amsterdam, node))?.readiness ?? {};
      return ready && detail.test(said ?? "") ? true : undefined;
    });
  }
}

const statuses = async () => {
  const found = await Promise.all(tour.amsterdam.nodes.map((node) => agentStatus(tour.amsterdam, node)));
  return found.map((status) => status ?? assert.fail("an agent does not answer"));
};

async function expectNothingMoved(): Promise<void> {
  for (const { node, adopted, written, removed, health, firstView } of await statuses()) {
    assert.ok(adopted > 1_000, `${node} adopted ${adopted}`);
    // A machine that is too busy to answer probes has remotes demoted: that moves entries.
    assert.deepEqual([written, removed], [0, 0], `${node}: ${JSON.stringify({ health, firstView })}`);
  }
}

async function everyEtcdIsKilled(): Promise<void> {
  await tour.lab.kill(...lab.clusters.map(etcdId));
}

async function everyEtcdReturns(): Promise<void> {
  for (const cluster of lab.clusters) startProgram(tour.lab, cluster, etcdId(cluster));
  await agentsSay(/^synced$/);
}

const mapsOf = (...more: readonly string[]) =>
  run(BULKHEAD, [
    "maps",
    "--run-dir",
    lab.runDirectory,
    "--cluster",
    "amsterdam",
    "--node",
    "amsterdam-1",
    "--diff",
    ...more,
  ]);

test("P06: `bulkhead maps` shows no difference; an entry removed behind the agent's back is shown, and put back", async () => {
  const [node] = tour.amsterdam.nodes;
  assert.ok(node);
  await waitFor("no difference", WITHIN_MS, async () => ((await mapsOf()).code === 0 ? true : undefined));
  const { out: calm } = await mapsOf();
  assert.match(calm, /amsterdam-1 +services +[1-9]\d* +[1-9]\d* +0 +0 +0/);
  assert.match(calm, /\nno difference\n$/);
  const before = await kernelBackends(node);
  // Again, should a scan come in between.
  const shown = await waitFor("the difference is shown", WITHIN_MS, async () => {
    await removeBackend(node);
    const { code, out } = await mapsOf();
    return code === 1 ? out : undefined;
  });
  assert.match(shown, /^amsterdam-1 backends: missing: id=\d+: address=\S+ port=\d+ /m);
  await waitFor("a scan put it back", WITHIN_MS, async () => ((await mapsOf()).code === 0 ? true : undefined));
  assert.deepEqual(await kernelBackends(node), before);
});

test("twin of P02: agents killed and back with every etcd there go on from what they wrote down, without a listing", async () => {
  await throughout(async () => {
    await restartAgents();
    await agentsSay(/^synced$/);
  });
  await expectNothingMoved();
  const views = (await statuses()).map(({ firstView }) => firstView?.how);
  assert.deepEqual([...new Set(views)], ["resumed"], JSON.stringify((await statuses()).map((one) => one.firstView)));
});

test("P02: agents killed and back with every etcd down: ready, stale, and nothing is pruned", async () => {
  await throughout(async () => {
    await everyEtcdIsKilled();
    await restartAgents();
    await agentsSay(/^stale: serving what the maps held/);
    await expectNothingMoved();
  });
  await everyEtcdReturns();
  await expectNothingMoved();
});

/** What a boot does to the nodes of amsterdam, as far as eBPF goes: no agent, no map, no program. */
async function boot(): Promise<void> {
  await tour.lab.kill(...agentIds());
  for (const { bpfDirectory } of tour.amsterdam.nodes) {
    for (const entry of readdirSync(bpfDirectory)) rmSync(join(bpfDirectory, entry), { recursive: true });
  }
}

async function everyoneAnswers(): Promise<void> {
  const target = serviceTarget("amsterdam", "hello", "v4");
  const result = await calls(tour, tour.amsterdam, { kind: "burst", target, count: 300, concurrency: 8 });
  expectNoFailure("300 calls", result);
  expectShares("300 calls", result, ALL, 0.15);
}

const newestSnapshots = () => statuses().then((all) => all.map(({ snapshot }) => snapshot));

test("P03: a boot with every etcd down: services answer from the snapshot, and nothing is pruned when the etcds return", async () => {
  await waitFor("every agent took a snapshot", WITHIN_MS, async () =>
    (await newestSnapshots()).every(({ ageMs }) => ageMs !== undefined) ? true : undefined,
  );
  const backends = await Promise.all(tour.amsterdam.nodes.map(kernelBackends));
  await everyEtcdIsKilled();
  await boot();
  const gone = await calls(tour, tour.amsterdam, {
    kind: "burst",
    target: serviceTarget("amsterdam", "hello", "v4"),
    count: 8,
    concurrency: 8,
  });
  assert.equal(totalOf(gone.answers), 0, "without maps nobody answers");
  for (const id of agentIds()) startProgram(tour.lab, tour.amsterdam, id);
  await agentsSay(/^stale: serving from snapshot of /);
  await everyoneAnswers();
  assert.deepEqual(await Promise.all(tour.amsterdam.nodes.map(kernelBackends)), backends);
  await everyEtcdReturns();
  for (const { node, removed } of await statuses()) assert.equal(removed, 0, node);
  assert.deepEqual(await Promise.all(tour.amsterdam.nodes.map(kernelBackends)), backends);
  await everyoneAnswers();
});
