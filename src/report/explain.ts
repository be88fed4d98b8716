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

interface AskedEnd {
  readonly end: ExplainEnd;
  /** What each agent that answered knows of it. */
  readonly known: readonly (ExplainedPeer | undefined)[];
}

const isKnown = ({ known }: AskedEnd): boolean => known.some((peer) => peer !== undefined);

/** Why a direction should have been answered and was not. */
function missing(direction: Direction, judged: AskedEnd, other: AskedEnd): readonly string[] {
  const isPod = judged.end.kind === "pod" || judged.known.some((peer) => peer !== undefined && peer.pod !== "");
  if (!isPod) return [];
  return [`${direction} of ${formatExplainEnd(judged.end)} is not known: ${missingFault(judged, other)}`];
}

function missingFault(judged: AskedEnd, other: AskedEnd): string {
  if (!isKnown(judged)) return "no agent that answered knows it";
  if (!isKnown(other)) return `no agent that answered knows ${formatExplainEnd(other.end)}`;
  return "the agent of its node did not answer";
}

function outcomeOf(directions: readonly ExplainedDirection[], notes: readonly string[]): Outcome {
  if (directions.some(disagrees)) return "disagree";
  if (directions.some(({ compiled }) => compiled.verdict === "dropped")) return "denied";
  const readAll = directions.every(({ compiled, kernel }) => compiled.verdict !== "none" && kernel !== undefined);
  return notes.length === 0 && directions.length > 0 && readAll ? "allowed" : "unknown";
}

/** Joins what the agents of both ends say. */
export function explain(question: ExplainQuestion, answers: readonly ExplainAnswer[]): Explanation {
  const service = answers.find((answer) => answer.service !== undefined)?.service;
  if (service !== undefined) {
    return { outcome: "unknown", directions: [], notes: [serviceNote(question.to, service)] };
  }
  const placed = answers.flatMap(({ cluster, node, directions }) =>
    directions.map((direction): PlacedDirection => ({ cluster, node, ...direction })),
  );
  const directions = placed.sort((left, right) => (left.direction < right.direction ? -1 : 1));
  const has = (direction: Direction): boolean => directions.some((one) => one.direction === direction);
  const from = { end: question.from, known: answers.map((answer) => answer.from) };
  const to = { end: question.to, known: answers.map((answer) => answer.to) };
  const notes = [
    ...(has("egress") ? [] : missing("egress", from, to)),
    ...(has("ingress") ? [] : missing("ingress", to, from)),
  ];
  if (directions.length === 0 && notes.length === 0) notes.push("neither end is a pod that an agent here knows");
  return { outcome: outcomeOf(directions, notes), directions, notes };
}

function serviceNote(to: ExplainEnd, service: string): string {
  return `${formatExplainEnd(to)} is an address of the service ${service}: policy judges its backends, ask about these (bulkhead services ${service})`;
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
