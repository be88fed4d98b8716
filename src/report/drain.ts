/** What `bulkhead drain` and `return` print while traffic moves, and what the status says of it. */
import { type DrainStatus, FULL_WEIGHT } from "../model/drain.ts";
import type { AgentStatus, ServiceStatus } from "../model/status.ts";
import { safeText } from "./text.ts";

/** What is moved: a cluster, or services of it (`namespace/name`). */
export interface Moved {
  readonly cluster: string;
  readonly services: readonly string[];
}

/** The ramps of what is moved; one that has come back to full weight is not told any more. */
export function rampsOf({ cluster, services }: Moved, drains: readonly DrainStatus[] = []): readonly DrainStatus[] {
  const full = { cluster, weight: FULL_WEIGHT, target: FULL_WEIGHT };
  const find = (name: string | undefined): DrainStatus | undefined =>
    drains.find((drain) => drain.cluster === cluster && drain.service === name);
  if (services.length === 0) return [find(undefined) ?? full];
  return services.map((service) => find(service) ?? { ...full, service });
}

/** `osaka: weight 40 of 100, on its way to 0`. */
export function rampText({ cluster, service, weight, target }: DrainStatus): string {
  const what = service === undefined ? cluster : `${service} of ${cluster}`;
  return `${safeText(what)}: weight ${weight} of ${FULL_WEIGHT}${weight === target ? "" : `, on its way to ${target}`}`;
}

/** The same, and how many of its backends the nodes still give new connections to. */
export function progressText(moved: Moved, drains: readonly DrainStatus[], agents: readonly AgentStatus[]): string {
  const using = agents.map((agent) => usedBackends(moved, agent.services)).filter((used) => used.size > 0);
  const backends = new Set(using.flatMap((used) => [...used])).size;
  const ramps = rampsOf(moved, drains).map(rampText).join("; ");
  return `${ramps}   ${backends} of its backends are used by ${using.length} of ${agents.length} nodes here`;
}

/** Only of global services: others have nowhere else to go. */
function usedBackends({ cluster, services: names }: Moved, services: readonly ServiceStatus[]): ReadonlySet<string> {
  const meant = services.filter(
    ({ global, namespace, name }) => global && (names.length === 0 || names.includes(`${namespace}/${name}`)),
  );
  const used = meant.flatMap(({ backends }) => backends.filter((one) => one.used && one.cluster === cluster));
  return new Set(used.map(({ address }) => address));
}

/** Nodes that see other weights than these, as far as they know the cluster at all. */
export function laggards(
  moved: Moved,
  ramps: readonly DrainStatus[],
  agents: readonly AgentStatus[],
): readonly string[] {
  const knows = ({ cluster, peers }: AgentStatus): boolean =>
    cluster === moved.cluster || peers.remotes.some((remote) => remote.cluster === moved.cluster);
  const agrees = (agent: AgentStatus): boolean =>
    rampsOf(moved, agent.drains).every(({ weight }, index) => weight === ramps[index]?.weight);
  return agents.filter((agent) => knows(agent) && !agrees(agent)).map(({ node }) => node);
}

/** The last line: what it means, and how to undo it. */
export function arrivedText({ cluster, services }: Moved, target: number): string {
  const args = [cluster, ...services.map((name) => `--service ${name}`)].map(safeText).join(" ");
  if (target === FULL_WEIGHT) return `back at full weight; \`bulkhead drain ${args}\` drains again`;
  const where = target === 0 ? "new connections go elsewhere where there is an elsewhere" : "new connections are fewer";
  return `${where}, established ones stay; \`bulkhead return ${args}\` brings them back`;
}
