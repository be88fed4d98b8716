/** Step 6: a policy admits one workload of one other cluster by identity, refuses everyone else, and needs no control plane for it. */
import { DROP_REASONS, type Flow, VERDICTS } from "../../../src/model/flow.ts";
import { waitFor } from "../lab.ts";
import { kernelFlows } from "../maps.ts";
import { sayFigure, sayResult, whole } from "../output.ts";
import type { NodePlan } from "../plan.ts";
import { nodeOf } from "../pods.ts";
import { droppedFlows, explain, programIds } from "../programs.ts";
import type { PodRecord } from "../state.ts";
import { type JobResult, type Target, totalOf } from "../workload/jobs.ts";
import { sayDrill } from "./drill.ts";
import { expect, expectNoFailure } from "./expect.ts";
import { beginDrill, burst, type Step, type Tour } from "./tour.ts";

const PORT = 8080;
const CALLS = 200;
/** Each takes until its client gives up. */
const REFUSED_CALLS = 4;
const REPORTED_WITHIN_MS = 10_000;
const POLICY = "CiliumNetworkPolicy/demo/ledger";

export const policyFollowsIdentity: Step = {
  title: "Osaka's ledger admits amsterdam/frontend and nobody else, also when Osaka's whole control plane is dead",
  async run(tour) {
    const { lab, osaka } = tour;
    const ledger = lab.pod("osaka", "ledger");
    const node = nodeOf(osaka, ledger);
    await expectAdmitted(tour, ledger);
    for (const pod of strangers(tour)) await expectReported(tour, pod, ledger);
    await expectExplained(tour, ledger);

    const drill = beginDrill(tour, "policy");
    await drill.lasts;
    sayFigure("killed with -9", programIds(osaka).join(" "));
    await expectAdmitted(tour, ledger);
    for (const pod of strangers(tour)) await expectDroppedByKernel(tour, pod, ledger, node);

    sayDrill(await drill.end());
  },
};

/** The same program elsewhere, another program there, and another pod of the ledger's own cluster and namespace. */
function strangers(tour: Tour): readonly PodRecord[] {
  return [tour.amsterdam, tour.virginia, tour.osaka].map(({ name }) => tour.lab.pod(name, "client"));
}

const nameOf = (pod: PodRecord): string => `${pod.cluster}/${pod.name}`;

function target(pod: PodRecord, family: 0 | 1): Target {
  return { address: pod.addresses[family], port: PORT, protocol: "tcp" };
}

async function expectAdmitted(tour: Tour, ledger: PodRecord): Promise<void> {
  for (const [family, name] of [
    [0, "IPv4"],
    [1, "IPv6"],
  ] as const) {
    const label = `${whole(CALLS)} calls of frontend, ${name}`;
    const result = await burst(tour, tour.amsterdam, target(ledger, family), CALLS, "frontend");
    sayResult(label, result);
    expectNoFailure(label, result);
  }
}

/** Nothing was answered, and osaka's agent reports the drop with its reason and both identities. */
async function expectReported(tour: Tour, pod: PodRecord, ledger: PodRecord): Promise<void> {
  await expectNoAnswer(tour, pod, ledger);
  const from = pod.addresses[0];
  const flow = await waitFor(`a drop of ${nameOf(pod)} is reported`, REPORTED_WITHIN_MS, async () =>
    (await droppedFlows(tour.lab.plan, from, ledger.addresses[0])).find(({ direction }) => direction === "ingress"),
  );
  sayFigure(`${REFUSED_CALLS} calls of ${nameOf(pod)}`, "0 answered", `${flow.verdict}: ${flow.reason}`, ends(flow));
  const { source, destination, reason } = flow;
  expect(reason === "policy-denied", `${nameOf(pod)} was dropped as ${reason}; expected policy-denied`);
  expect(
    source.cluster === pod.cluster && source.pod === `${pod.namespace}/${pod.name}` && source.identity >= 256,
    `the drop's source is ${source.cluster} ${source.pod} ${source.identity}; expected ${nameOf(pod)}`,
  );
  expect(
    destination.cluster === ledger.cluster && destination.labels.includes("k8s:app=ledger"),
    `the drop's destination is ${destination.cluster} ${destination.labels.join(" ")}; expected osaka's ledger`,
  );
}

function ends({ source, destination }: Flow): string {
  return `${source.cluster} ${source.pod} (${source.identity}) -> ${destination.cluster} ${destination.pod} (${destination.identity})`;
}

async function expectNoAnswer(tour: Tour, pod: PodRecord, ledger: PodRecord): Promise<JobResult> {
  const { plan } = tour.lab;
  const cluster = plan.clusters.find(({ name }) => name === pod.cluster);
  if (cluster === undefined) throw new RangeError(`the lab has no cluster ${pod.cluster}`);
  const result = await burst(tour, cluster, target(ledger, 0), REFUSED_CALLS, pod.name);
  expect(
    totalOf(result.answers) === 0 && result.calls === REFUSED_CALLS && result.unstarted === 0,
    `${nameOf(pod)} made ${result.calls} calls and got ${totalOf(result.answers)} answers; expected ${REFUSED_CALLS} and 0`,
  );
  return result;
}

/** As long as no agent lives: the kernel's own count of what it dropped. */
async function expectDroppedByKernel(tour: Tour, pod: PodRecord, ledger: PodRecord, node: NodePlan): Promise<void> {
  const [from, to] = [pod.addresses[0], ledger.addresses[0]];
  const before = await packetsDropped(node, from, to);
  await expectNoAnswer(tour, pod, ledger);
  const after = await packetsDropped(node, from, to);
  sayFigure(
    `${REFUSED_CALLS} calls of ${nameOf(pod)}`,
    "0 answered",
    `${after.packets - before.packets} packets dropped by ${node.name}'s kernel: ${after.reasons.join(" ")}`,
  );
  expect(after.packets - before.packets >= REFUSED_CALLS, `${node.name} dropped fewer packets than were sent`);
  expect(after.reasons.join() === "policy-denied", `dropped as ${after.reasons.join()}; expected policy-denied`);
}

async function packetsDropped(node: NodePlan, from: string, to: string) {
  const dropped = (await kernelFlows(node, from, to)).filter(({ verdict }) => VERDICTS[verdict] === "dropped");
  return {
    packets: dropped.reduce((sum, flow) => sum + Number(flow.packets), 0),
    reasons: [...new Set(dropped.map(({ reason }) => DROP_REASONS[reason] ?? `reason ${reason}`))],
  };
}

/** `bulkhead policy explain` names the rule and its file for whoever is admitted, and says that none admits the others. */
async function expectExplained(tour: Tour, ledger: PodRecord): Promise<void> {
  const to = `${ledger.cluster}/${ledger.namespace}/${ledger.name}`;
  for (const [cluster, pod, wanted] of [
    ["amsterdam", "frontend", "allowed"],
    ["amsterdam", "client", "denied"],
  ] as const) {
    const from = tour.lab.pod(cluster, pod);
    const said = await explain(tour.lab.plan, `${from.cluster}/${from.namespace}/${from.name}`, to, PORT);
    const ingress = said.directions.find(({ direction }) => direction === "ingress");
    const rule = ingress?.kernel?.rule ?? "no rule";
    sayFigure(`policy explain, ${nameOf(from)}`, said.outcome, rule);
    // "disagree" when the kernel does not hold what the agent compiled.
    expect(said.outcome === wanted, `policy explain says ${said.outcome} of ${nameOf(from)}; expected ${wanted}`);
    expect(rule.startsWith(POLICY) === (wanted === "allowed"), `policy explain names ${rule} for ${nameOf(from)}`);
  }
}
