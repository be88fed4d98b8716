/** Proof of a case in the lab: what the agent and its kernel say, what really answers, and what the kernel reports of the packet. */
import { waitFor } from "../deploy/lab/lab.ts";
import type { Flow, FlowPeer } from "../src/model/flow.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { type Case, casesOf, type Scenario, worldOf } from "../test/policy/cases/case.ts";
import { evaluate } from "../test/policy/reference/evaluate.ts";
import { partyAt, type World } from "../test/policy/reference/world.ts";
import { endsOf, type PolicyLab, WITHIN_MS } from "./policy-lab.ts";

const REPORTED_WITHIN_MS = 5_000;
/** Two clocks of one machine, read at different moments. */
const CLOCK_SLACK_MS = 20;

const titleOf = ({ family, line }: Case): string => `${family} ${line}`;

/** What an agent says that disagrees with a person's word, or undefined. */
function ruleFault(rule: string | undefined, allowed: readonly string[]): string | undefined {
  const named = rule === undefined ? allowed.includes("") : allowed.some((name) => rule.startsWith(`${name} (`));
  return named ? undefined : `rule ${rule}, not ${allowed.join(" or ")}`;
}

async function explainFault(scene: PolicyLab, world: World, one: Case): Promise<string | undefined> {
  const said = await scene.explain(world.thisNode, one.tuple);
  if (said?.kernel === undefined) return `no answer of ${world.thisNode}: ${said?.kernelFault}`;
  for (const { verdict, reason, rule } of [said.compiled, said.kernel]) {
    if (verdict !== one.verdict || reason !== one.reason) return `${verdict} ${reason}`;
    const fault = ruleFault(rule, evaluate(world, one.tuple).rules);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** A name that answers: the pod's, or a node's or the world's. */
function answerFault(world: World, one: Case, answer: string | undefined): string | undefined {
  if (one.verdict === "dropped") return answer === undefined ? undefined : `answered by ${answer}`;
  const party = partyAt(world, endsOf(one.tuple).to);
  const wanted = one.tuple.protocol.startsWith("ICMP") ? "echo" : party.kind === "pod" ? podName(party.pod) : "peer/";
  return answer?.startsWith(wanted) ? undefined : `answered by ${answer ?? "nobody"}`;
}

const podName = ({ cluster, name }: { cluster: string; name: string }): string => `${cluster}/${name}`;

/** Whether one end of a reported flow is who has the address. */
function endFault(world: World, peer: FlowPeer, address: string): string | undefined {
  const { cluster, pod, identity, labels } = peer;
  const said = `${address} is ${cluster} ${pod} ${identity} ${labels.join(" ")}`;
  const party = partyAt(world, address);
  switch (party.kind) {
    case "pod": {
      const { namespace, name } = party.pod;
      const same = cluster === party.pod.cluster && pod === `${namespace}/${name}` && identity >= 256;
      return same && labels.includes(`k8s:io.cilium.k8s.policy.cluster=${cluster}`) ? undefined : said;
    }
    case "reserved":
      return labels.includes(`reserved:${party.name}`) ? undefined : said;
    case "outside":
      return pod === "" && labels.some((label) => /^(reserved:world|cidr:)/.test(label)) ? undefined : said;
    case "unknown":
      return pod === "" && identity === 0 ? undefined : said;
  }
}

/** Whether the flow is this case's packet, whatever became of it. */
function isOf(flow: Flow, { tuple }: Case): boolean {
  const { from, to } = endsOf(tuple);
  const same = flow.source.address === from && flow.destination.address === to && flow.direction === tuple.direction;
  return same && flow.protocol === tuple.protocol && flow.destination.port === tuple.port;
}

function flowFault(world: World, one: Case, flows: readonly Flow[]): string | undefined {
  const { from, to } = endsOf(one.tuple);
  const all = flows.filter((flow) => isOf(flow, one));
  if (all.length === 0) return "no event";
  for (const { verdict, reason, rule, source, destination, endpoint } of all) {
    if (verdict !== one.verdict || reason !== one.reason) return `event: ${verdict} ${reason}`;
    if (endpoint !== one.tuple.endpoint) return `event at ${endpoint}`;
    const fault =
      ruleFault(rule, evaluate(world, one.tuple).rules) ??
      endFault(world, source, from) ??
      endFault(world, destination, to);
    if (fault !== undefined) return `event: ${fault}`;
  }
  return undefined;
}

async function faultsOf(cases: readonly Case[], fault: (one: Case) => Promise<string | undefined>): Promise<string[]> {
  const faults = await Promise.all(cases.map(fault));
  return faults.flatMap((text, index) => (text === undefined ? [] : [`${titleOf(cases[index] as Case)}: ${text}`]));
}

/** Asks again until nothing is wrong; then, or after the time, says what still is. */
async function settled(what: string, withinMs: number, faults: () => Promise<string[]>): Promise<void> {
  let last: string[] = [];
  const right = async (): Promise<true | undefined> => {
    last = await faults();
    return last.length === 0 ? true : undefined;
  };
  await waitFor(what, withinMs, right, () => `\n${last.join("\n")}`);
}

/** Sends every packet of the scenario at once; a line for each that is answered and should not be, or the other way round. */
export function answerFaults(scene: PolicyLab, scenario: Scenario): Promise<string[]> {
  const world = worldOf(scenario);
  return faultsOf(casesOf(scenario), async (one) => answerFault(world, one, await scene.send(one.tuple)));
}

/** Every packet of the scenario fares as a person said, by all who can tell. Rejects with a line for each that does not. */
export async function proveCases(scene: PolicyLab, scenario: Scenario): Promise<void> {
  const world = worldOf(scenario);
  const cases = casesOf(scenario);
  await settled("the agent and its kernel say so", WITHIN_MS, () => {
    return faultsOf(cases, (one) => explainFault(scene, world, one));
  });
  const sinceMs = systemClock.wallMs() - CLOCK_SLACK_MS;
  const faults = await answerFaults(scene, scenario);
  if (faults.length > 0) throw new Error(faults.join("\n"));
  await settled("every packet is reported", REPORTED_WITHIN_MS, async () => {
    const flows = await scene.flows(world.thisNode, sinceMs);
    return await faultsOf(cases, async (one) => flowFault(world, one, flows));
  });
}

export async function proveScenario(scene: PolicyLab, scenario: Scenario): Promise<void> {
  await scene.setPolicies(worldOf(scenario).own, scenario.policies);
  await proveCases(scene, scenario);
}
