/** What happened between two looks at a program, as events. */
import { type DrainStatus, FULL_WEIGHT } from "../model/drain.ts";
import type { EventDraft, Severity } from "../model/event.ts";
import { type HealthDecision, type HealthStatus, isDemoted, type RemoteHealth } from "../model/health.ts";
import type { Grade, HoldStatus, RemoteStatus } from "../model/status.ts";

type RemoteSeen = Pick<
  RemoteStatus,
  "name" | "phase" | "breaker" | "failures" | "grade" | "holds" | "ageMs" | "lastError"
>;

/** Between a remote that is not known and what is seen first of it, changes are told too. */
const UNKNOWN: Omit<RemoteSeen, "name"> = {
  phase: "idle",
  breaker: "closed",
  failures: 0,
  grade: "unproven",
  holds: [],
};

const GRADE_SEVERITY: Readonly<Record<Grade, Severity>> = {
  fresh: "info",
  suspect: "warning",
  stale: "error",
  unproven: "warning",
};

/** What became of each remote, and of those that are gone. */
export function remoteChanges(before: readonly RemoteSeen[], after: readonly RemoteSeen[]): readonly EventDraft[] {
  const known = new Map(before.map((remote) => [remote.name, remote]));
  const left = new Set(after.map(({ name }) => name));
  const gone = before.filter(({ name, phase }) => !left.has(name) && phase === "draining");
  return [
    ...after.flatMap((now) => changesOf(known.get(now.name) ?? { name: now.name, ...UNKNOWN }, now)),
    ...gone.map(({ name }): EventDraft => {
      return { kind: "removal", remote: name, severity: "info", line: `${name}: removed`, details: { done: true } };
    }),
  ];
}

function changesOf(was: RemoteSeen, now: RemoteSeen): readonly EventDraft[] {
  return [
    ...breakerChange(was, now),
    ...gradeChange(was, now),
    ...holdChanges(was, now),
    ...removalChange(was, now),
    ...refusal(was, now),
  ];
}

/** Half-open is a try that the breaker lets through: it is neither news nor its end. */
function breakerChange(was: RemoteSeen, now: RemoteSeen): readonly EventDraft[] {
  const { name: remote, failures, lastError } = now;
  const [wasOpen, isOpen] = [was.breaker !== "closed", now.breaker !== "closed"];
  if (wasOpen === isOpen) return [];
  if (!isOpen) {
    const line = `${remote}: breaker closed, it answers again`;
    return [{ kind: "breaker", remote, severity: "info", line, details: { state: "closed" } }];
  }
  const details = { state: "open", failures, ...(lastError !== undefined && { error: lastError }) };
  const line = `${remote}: breaker opened: ${lastError ?? "it does not answer"}; what is cached of it stays`;
  return [{ kind: "breaker", remote, severity: "warning", line, details }];
}

function gradeChange(was: RemoteSeen, { name: remote, grade, ageMs }: RemoteSeen): readonly EventDraft[] {
  if (was.grade === grade) return [];
  const details = { from: was.grade, to: grade, ...(ageMs !== undefined && { ageMs }) };
  const line = `${remote}: state is ${grade}, was ${was.grade}`;
  return [{ kind: "grade", remote, severity: GRADE_SEVERITY[grade], line, details }];
}

function holdChanges(was: RemoteSeen, now: RemoteSeen): readonly EventDraft[] {
  const earlier = new Map(was.holds.map((hold) => [hold.kind, hold]));
  const kinds = new Set(now.holds.map(({ kind }) => kind));
  const made = now.holds.filter(({ kind, state }) => earlier.get(kind)?.state !== state);
  const over = was.holds.filter(({ kind }) => !kinds.has(kind));
  return [
    ...made.map((hold) => holdEvent(now.name, hold, hold.state)),
    ...over.map((hold) => holdEvent(now.name, hold, "over")),
  ];
}

function holdEvent(remote: string, hold: HoldStatus, state: HoldStatus["state"] | "over"): EventDraft {
  const { kind, keys, withdrawals, example } = hold;
  const what = `${withdrawals} withdrawals of ${kind} (${keys} keys)`;
  const line = state === "over" ? `nothing of ${kind} is held any more` : `${what} are ${state}`;
  const severity = state === "held" ? "warning" : "info";
  const details = { what: kind, state, keys, withdrawals, example };
  return { kind: "hold", remote, severity, line: `${remote}: ${line}`, details };
}

function removalChange(was: RemoteSeen, { name: remote, phase }: RemoteSeen): readonly EventDraft[] {
  const [before, now] = [was.phase === "draining", phase === "draining"];
  if (before === now) return [];
  const line = `${remote}: ${now ? "is being removed: its state is taken out of the cache" : "is removed no more"}`;
  return [
    { kind: "removal", remote, severity: now ? "warning" : "info", line, details: { done: false, draining: now } },
  ];
}

function refusal(was: RemoteSeen, { name: remote, phase, lastError }: RemoteSeen): readonly EventDraft[] {
  if (phase !== "refused" || was.phase === "refused") return [];
  const line = `${remote}: refused: ${lastError ?? "see its status"}`;
  return [{ kind: "problem", remote, severity: "error", line, details: { refused: true } }];
}

const DECISION_LINES: Readonly<Record<HealthDecision, string>> = {
  normal: "its backends serve as always",
  keep: "its etcd is silent; all that is known of it stays",
  demote: "its backends serve only where there are no others",
  "take-out": "its etcd is silent too; its backends serve only where there are no others",
};

/** What became of the data paths of a node. That one began to be known, or ceased to, is no news. */
export function healthChanges(before: HealthStatus, after: HealthStatus): readonly EventDraft[] {
  const known = new Map(before.remotes.map((remote) => [remote.cluster, remote]));
  const changes = after.remotes.flatMap((now) => pathChange(known.get(now.cluster), now));
  return [...selfChange(before.suspectsItself, after.suspectsItself), ...changes];
}

function pathChange(was: RemoteHealth | undefined, now: RemoteHealth): readonly EventDraft[] {
  const { cluster: remote, dataPath, decision } = now;
  const [wasDead, isDead] = [was?.dataPath === "dead", dataPath === "dead"];
  if ((was?.decision ?? "normal") === decision && wasDead === isDead) return [];
  const line = `${remote}: data path ${dataPath}: ${DECISION_LINES[decision]}`;
  const severity = isDemoted(decision) ? "error" : decision === "normal" && !isDead ? "info" : "warning";
  return [{ kind: "health", remote, severity, line, details: { dataPath, decision } }];
}

function selfChange(was: boolean, now: boolean): readonly EventDraft[] {
  if (was === now) return [];
  const line = now
    ? "this node lost most remotes at once and suspects itself: it demotes none"
    : "this node does not suspect itself any more";
  return [{ kind: "health", severity: now ? "error" : "info", line, details: { suspectsItself: now } }];
}

export function leaderChange(program: string, was: boolean, leads: boolean): readonly EventDraft[] {
  if (was === leads) return [];
  const line = leads ? `${program} leads` : `${program} does not lead any more`;
  return [{ kind: "leader", severity: leads ? "info" : "warning", line, details: { leads } }];
}

const drainName = ({ cluster, service }: DrainStatus): string =>
  service === undefined ? cluster : `${service} of ${cluster}`;

/** What was ordered and what has arrived, not each step. One that is gone has come back. */
export function drainChanges(before: readonly DrainStatus[], after: readonly DrainStatus[]): readonly EventDraft[] {
  const was = new Map(before.map((drain) => [drainName(drain), drain]));
  const left = new Set(after.map(drainName));
  const gone = before.filter((drain) => !left.has(drainName(drain)));
  const back = gone.map((drain) => ({ ...drain, weight: FULL_WEIGHT, target: FULL_WEIGHT }));
  return [...after, ...back].flatMap((now) => {
    const known = was.get(drainName(now)) ?? { ...now, weight: FULL_WEIGHT, target: FULL_WEIGHT };
    const arrived = now.weight === now.target;
    const isNews = known.target !== now.target || arrived !== (known.weight === known.target);
    return isNews ? [drainEvent(now, arrived)] : [];
  });
}

function drainEvent(drain: DrainStatus, arrived: boolean): EventDraft {
  const { service, weight, target } = drain;
  const details = { weight, target, ...(service !== undefined && { service }) };
  const line = `${drainName(drain)}: weight ${weight} of ${FULL_WEIGHT}${arrived ? "" : `, on its way to ${target}`}`;
  return { kind: "drain", severity: target < FULL_WEIGHT ? "warning" : "info", line, details };
}
