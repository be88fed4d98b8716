/** Step 5: the lost cluster returns, changed; how long until the others' kernels agree. */
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { keysBelow } from "../etcd.ts";
import { waitFor } from "../lab.ts";
import { kernelBackends, kernelIdentity } from "../maps.ts";
import { sayFigure, sayResult, seconds } from "../output.ts";
import type { ClusterPlan } from "../plan.ts";
import { announcePod, buildPod, GRACE_MS, nodeOf, retirePod, stopPod } from "../pods.ts";
import { agentStatus } from "../programs.ts";
import { backendOf } from "../serving.ts";
import type { PodRecord } from "../state.ts";
import { sayDrill } from "./drill.ts";
import { expect, expectNoFailure, expectShares } from "./expect.ts";
import { begunDrill, burst, readLatePod, type Step, serviceTarget, type Tour } from "./tour.ts";

const AGREE_WITHIN_MS = 60_000;
const CALLS = 500;
const LEAST_SHARE = 0.15;

export const changedClusterReturns: Step = {
  title: "Osaka returns, with a new backend and without an old one",
  async run(tour) {
    const { lab, osaka } = tour;
    const others = [tour.amsterdam, tour.virginia];
    const old = lab.pod("osaka", "hello-1");
    const input = readLatePod();
    const added = await buildPod(lab, osaka, input);
    announcePod(osaka, input, added, false);
    retirePod(osaka, old);
    const startedMs = systemClock.nowMs();
    const ended = begunDrill(tour, "outage").end();
    ended.catch(() => {});
    const said = waitFor("osaka's etcd holds the change", AGREE_WITHIN_MS, () => osakaSays(osaka, added, old));
    // As every kubelet does: ready is what can be reached. Born while its etcd was dead, it is denied until its own node has read who it is.
    await waitForEndpoint(osaka, added);
    announcePod(osaka, input, added);
    const agreed = await Promise.all(
      others.flatMap((cluster) => cluster.nodes.map((node) => kernelAgrees(node, added, old))),
    );
    const saidMs = (await said) - startedMs;
    const agreedMs = Math.max(...agreed) - startedMs;
    sayFigure("osaka's etcd holds the change", `${seconds(saidMs)} after its start`);
    sayFigure(
      "BPF maps of 4 nodes show both",
      `${seconds(agreedMs)} after its start`,
      `+${seconds(Math.max(0, agreedMs - saidMs))}`,
    );
    await sleep(systemClock, GRACE_MS);
    await stopPod(lab, osaka, old);
    await expectIdentities(others, added, old);
    for (const cluster of others) await expectAnswers(tour, cluster, added, old);
    sayDrill(await ended);
  },
};

async function osakaSays(osaka: ClusterPlan, added: PodRecord, old: PodRecord): Promise<number | undefined> {
  const [stored] = await keysBelow(osaka, "cilium/state/services/v1/osaka/demo/hello").catch(() => []);
  const says = stored?.value.includes(`"${added.addresses[0]}"`) && !stored.value.includes(`"${old.addresses[0]}"`);
  return says ? systemClock.nowMs() : undefined;
}

async function kernelAgrees(node: ClusterPlan["nodes"][number], added: PodRecord, old: PodRecord): Promise<number> {
  return await waitFor(`${node.name}'s BPF maps show both changes`, AGREE_WITHIN_MS, async () => {
    const backends = await kernelBackends(node);
    return backends.has(backendOf(added)) && !backends.has(backendOf(old)) ? systemClock.nowMs() : undefined;
  });
}

async function waitForEndpoint(cluster: ClusterPlan, pod: PodRecord): Promise<void> {
  const node = nodeOf(cluster, pod);
  await waitFor(`${node.name} knows ${pod.name}`, AGREE_WITHIN_MS, async () => {
    const endpoints = (await agentStatus(cluster, node))?.endpoints ?? [];
    return endpoints.some((endpoint) => endpoint.pod === `${pod.namespace}/${pod.name}`) || undefined;
  });
}

/** The ipcache too: the new pod's address has an identity of osaka's, the old one's has none. */
async function expectIdentities(others: readonly ClusterPlan[], added: PodRecord, old: PodRecord): Promise<void> {
  let identity: number | undefined;
  for (const node of others.flatMap((cluster) => cluster.nodes)) {
    identity = await waitFor(`${node.name}'s ipcache shows both changes`, AGREE_WITHIN_MS, async () => {
      const found = await kernelIdentity(node, added.addresses[0]);
      return (await kernelIdentity(node, old.addresses[0])) === undefined ? found : undefined;
    });
  }
  sayFigure("ipcache", `${added.addresses[0]} is identity ${identity}`, `${old.addresses[0]} is unknown`);
}

async function expectAnswers(tour: Tour, cluster: ClusterPlan, added: PodRecord, old: PodRecord): Promise<void> {
  const who = `${CALLS} calls from ${cluster.name}`;
  const result = await burst(tour, cluster, serviceTarget(cluster.name, "hello", "v4"), CALLS);
  sayResult(who, result);
  expectNoFailure(who, result);
  expectShares(
    who,
    result,
    tour.lab.plan.clusters.map(({ name }) => name),
    LEAST_SHARE,
  );
  expect((result.answers[`osaka/${added.name}`] ?? 0) > 0, `${who}: none answered by osaka/${added.name}`);
  expect(result.answers[`osaka/${old.name}`] === undefined, `${who}: answered by osaka/${old.name}, which is gone`);
}
