/** What `bulkhead policy explain` prints: the answers of several agents as one. */
import type { Enforcement } from "../model/endpoint.ts";
import {
  type ExplainAnswer,
  type ExplainEnd,
  type ExplainedDecision,
  type ExplainedDirection,
  type ExplainedPeer,
  type ExplainQuestion,
  formatExplainEnd,
  formatExplainPort,
} from "../model/explain.ts";
import type { Direction } from "../model/policy.ts";
import { endName, identityText } from "./ends.ts";
import { safeText } from "./text.ts";

/** `disagree`: some kernel does not hold what its agent compiled. */
export type Outcome = "allowed" | "denied" | "unknown" | "disagree";

export interface Explanation {
  readonly outcome: Outcome;
  /** Egress first. */
  readonly directions: readonly PlacedDirection[];
  /** What keeps the outcome unknown, one line each. */
  readonly notes: readonly string[];
}

export interface PlacedDirection extends ExplainedDirection {
  readonly cluster: string;
  readonly node: string;
}

function disagrees({ compiled, kernel }: ExplainedDirection): boolean {
  if (kernel === undefined) return false;
  return compiled.verdict !== kernel.verdict || compiled.reason !== kernel.reason || compiled.rule !== kernel.rule;
}

/** Why a direction should have been answered and was not. */
function missing(
  direction: Direction,
  asked: ExplainEnd,
  known: readonly (ExplainedPeer | undefined)[],
): readonly string[] {
  const isPod = asked.kind === "pod" || known.some((peer) => peer !== undefined && peer.pod !== "");
  if (!isPod) return [];
  const name = formatExplainEnd(asked);
  const fault = known.some((peer) => peer !== undefined)
    ? "the agent of its node did not answer"
    : "no agent that answered knows it";
  return [`${direction} of ${name} is not known: ${fault}`];
}

function outcomeOf(directions: readonly ExplainedDirection[], notes: readonly string[]): Outcome {
  if (directions.some(disagrees)) return "disagree";
  if (directions.some(({ compiled }) => compiled.verdict === "dropped")) return "denied";
  const readAll = directions.every(({ compiled, kernel }) => compiled.verdict !== "none" && kernel !== undefined);
  return notes.length === 0 && directions.length > 0 && readAll ? "allowed" : "unknown";
}

/** Joins what the agents of both ends say. */
export function explain(question: ExplainQuestion, answers: readonly ExplainAnswer[]): Explanation {
  const placed = answers.flatMap(({ cluster, node, directions }) =>
    directions.map((direction): PlacedDirection => ({ cluster, node, ...direction })),
  );
  const directions = placed.sort((left, right) => (left.direction < right.direction ? -1 : 1));
  const has = (direction: Direction): boolean => directions.some((one) => one.direction === direction);
  const from = answers.map((answer) => answer.from);
  const to = answers.map((answer) => answer.to);
  const notes = [
    ...(has("egress") ? [] : missing("egress", question.from, from)),
    ...(has("ingress") ? [] : missing("ingress", question.to, to)),
  ];
  if (directions.length === 0 && notes.length === 0) notes.push("neither end is a pod that an agent here knows");
  return { outcome: outcomeOf(directions, notes), directions, notes };
}

function decisionText({ verdict, reason, rule }: ExplainedDecision, enforcement: Enforcement): string {
  const what = verdict === "allowed" ? verdict : `${verdict} ${reason}`;
  if (rule !== undefined) return `${what} by ${rule}`;
  if (reason === "policy-denied") return `${what}: no rule allows it`;
  if (verdict !== "allowed") return what;
  return enforcement === "open" ? `${what}: no policy in this direction` : `${what} without a rule`;
}

function peerText(peer: ExplainedPeer): string {
  const name = endName(peer);
  return `${name === "" ? "" : `${name} `}${peer.addresses.join(", ")} ${identityText(peer)}`;
}

function kernelText(direction: PlacedDirection): string {
  const { kernel, kernelFault, enforcement } = direction;
  if (kernel === undefined) return `not read: ${kernelFault ?? "no reason given"}`;
  return decisionText(kernel, enforcement);
}

function directionText(direction: PlacedDirection): string {
  const { endpoint, cluster, node, device, enforcement, peer, compiled, matching } = direction;
  const rules = matching.map(({ verdict, rule }) => `    ${verdict}  ${rule}`);
  const lines = [
    `${direction.direction} of ${cluster}/${endpoint} (${enforcement}; device ${device} on ${node})`,
    `  peer      ${peerText(peer)}`,
    ...(peer.labels.length === 0 ? [] : [`  labels    ${peer.labels.join(" ")}`]),
    `  compiled  ${decisionText(compiled, enforcement)}`,
    `  kernel    ${kernelText(direction)}`,
    ...(disagrees(direction) ? ["  DISAGREE  the kernel's maps do not hold what the agent compiled"] : []),
    ...(rules.length === 0 ? ["  rules     none matches"] : ["  rules that match:", ...rules]),
  ];
  return lines.map(safeText).join("\n");
}

/** The verdict first, then each direction and the rules. */
export function explainText(question: ExplainQuestion, { outcome, directions, notes }: Explanation): string {
  const [from, to] = [formatExplainEnd(question.from), formatExplainEnd(question.to)];
  const audited = outcome === "allowed" && directions.some(({ compiled }) => compiled.verdict === "audited");
  const verdict = `${outcome.toUpperCase()}${audited ? " (audit: would be denied)" : ""}`;
  const head = `${verdict}: ${from} -> ${to} ${formatExplainPort(question.port)}`;
  const lines = notes.map((note) => safeText(`! ${note}`));
  return [safeText(head), ...directions.map(directionText), ...lines].join("\n\n");
}
