/** Two signals, each taken away alone and both together: who serves meanwhile, and that all come back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { command, inNetns } from "../../deploy/lab/command.ts";
import { mirrorOf } from "../../deploy/lab/etcd.ts";
import { Lab, waitFor } from "../../deploy/lab/lab.ts";
import type { ClusterPlan, LabPlan } from "../../deploy/lab/plan.ts";
import { agentStatus, etcdId, meshEvents } from "../../deploy/lab/programs.ts";
import { expectNoFailure, expectShares, expectUnchanged } from "../../deploy/lab/tour/expect.ts";
import { burst, newTour, serviceTarget, type Tour } from "../../deploy/lab/tour/tour.ts";
import { byCluster } from "../../deploy/lab/workload/jobs.ts";
import type { HealthDecision } from "../../src/model/health.ts";
import { BULKHEAD, plan, run, standing } from "../mesh.ts";

const NAME = "e2e-paths";
const WITHIN_MS = 60_000;
let lab: LabPlan;
let tour: Tour;

standing(NAME, () => {
  lab = plan(NAME);
  tour = newTour(Lab.open(lab, "up"));
});

/** A device whose other end takes nothing: what is sent there is addressed to nobody. */
const HOLE = [
  "ip link show hole >/dev/null 2>&1 || ip link add hole type veth peer name hole-end",
  "ip link set hole arp off up",
  "ip link set hole-end up",
];

/** On the nodes of amsterdam, packets to the remote's pods go into a device that swallows them; those to its nodes, and so to its etcd, do not. */
async function swallow(remote: ClusterPlan): Promise<void> {
  for (const { netns } of tour.amsterdam.nodes) {
    const routes = remote.nodes.flatMap(({ podCidrs }) => podCidrs.map((cidr) => `ip route replace ${cidr} dev hole`));
    await command(inNetns(netns, ["sh", "-ec", [...HOLE, ...routes].join("\n")]));
  }
}

async function restore(remote: ClusterPlan): Promise<void> {
  for (const { netns } of tour.amsterdam.nodes) {
    const routes = remote.nodes.flatMap(({ podCidrs, addresses }) =>
      ([0, 1] as const).flatMap((side) => [
        `ip route del ${podCidrs[side]} dev hole`,
        `ip route replace ${podCidrs[side]} via ${addresses[side]}`,
      ]),
    );
    await command(inNetns(netns, ["sh", "-ec", routes.join("\n")]));
  }
}

/** Until every node of amsterdam has found a backend there that answers: most of those on paper never do. */
async function alive(remote: string): Promise<void> {
  for (const node of tour.amsterdam.nodes) {
    await waitFor(`${node.name} reaches ${remote}`, 2 * WITHIN_MS, async () => {
      const status = await agentStatus(tour.amsterdam, node);
      const found = status?.health.remotes.find(({ cluster }) => cluster === remote);
      return found?.dataPath === "alive" ? true : undefined;
    });
  }
}

/** Until every node of amsterdam has decided so. */
async function decided(remote: string, decision: HealthDecision): Promise<void> {
  for (const node of tour.amsterdam.nodes) {
    await waitFor(`${node.name} decides ${decision} for ${remote}`, WITHIN_MS, async () => {
      const status = await agentStatus(tour.amsterdam, node);
      return status?.health.remotes.find(({ cluster }) => cluster === remote)?.decision === decision ? true : undefined;
    });
  }
}

/** New connections go to exactly these clusters, and none fails. */
async function servedBy(...clusters: readonly string[]): Promise<void> {
  const result = await waitFor(`${clusters.join(", ")} serve`, WITHIN_MS, async () => {
    const calls = await burst(tour, tour.amsterdam, serviceTarget("amsterdam", "hello", "v4"), 300);
    return isDeepStrictEqual([...byCluster(calls.answers).keys()].sort(), clusters) ? calls : undefined;
  });
  expectNoFailure("300 calls", result);
  expectShares("300 calls", result, clusters, 0.1);
}

test("data path to osaka dead, its control plane alive: others serve, the command says why, and it comes back", async () => {
  for (const remote of ["osaka", "virginia"]) await alive(remote);
  await decided("osaka", "normal");
  await servedBy("amsterdam", "osaka", "virginia");
  await swallow(tour.osaka);
  try {
    await decided("osaka", "demote");
    await servedBy("amsterdam", "virginia");
    const { out } = await run(BULKHEAD, ["services", "demo/hello", "--run-dir", lab.runDirectory]);
    assert.match(out, /osaka +no +demoted: data path to osaka is dead since [\d.]+ m?s/);
    await decided("virginia", "normal");
  } finally {
    await restore(tour.osaka);
  }
  await decided("osaka", "normal");
  await servedBy("amsterdam", "osaka", "virginia");
  const lines = (await meshEvents(lab)).filter(({ kind }) => kind === "health").map(({ line }) => line);
  assert(lines.includes("osaka: data path dead: its backends serve only where there are no others"), lines.join("\n"));
});

test("osaka's etcd silent: kept; its data path dead too: taken out, nothing of it forgotten; then each comes back alone", async () => {
  const { pid } = tour.lab.process(etcdId(tour.osaka));
  const cached = await mirrorOf(tour.amsterdam, "osaka");
  process.kill(pid, "SIGSTOP");
  try {
    await decided("osaka", "keep");
    await servedBy("amsterdam", "osaka", "virginia");
    await swallow(tour.osaka);
    try {
      await decided("osaka", "take-out");
      await servedBy("amsterdam", "virginia");
      expectUnchanged("osaka's keys in amsterdam", cached, await mirrorOf(tour.amsterdam, "osaka"));
    } finally {
      await restore(tour.osaka);
    }
    await decided("osaka", "keep");
    await servedBy("amsterdam", "osaka", "virginia");
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await decided("osaka", "normal");
});

test("nodes that lose every remote at once suspect themselves and demote none", async () => {
  const { nodes } = tour.amsterdam;
  await Promise.all([swallow(tour.osaka), swallow(tour.virginia)]);
  try {
    for (const node of nodes) {
      const status = await waitFor(`${node.name} suspects itself`, WITHIN_MS, async () => {
        const found = await agentStatus(tour.amsterdam, node);
        return found?.health.suspectsItself ? found : undefined;
      });
      assert.deepEqual(new Set(status.health.remotes.map(({ decision }) => decision)), new Set(["normal"]));
      const hello = status.services.find(({ name }) => name === "hello");
      assert.deepEqual(
        hello?.backends.filter(({ used }) => !used),
        [],
      );
    }
  } finally {
    await restore(tour.osaka);
    await restore(tour.virginia);
  }
  await servedBy("amsterdam", "osaka", "virginia");
});
