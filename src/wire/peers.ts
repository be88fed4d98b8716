/**
 * What a mirror says of its remotes to the nodes of its cluster: `bulkhead/v1/peers/grades`, short and followed by every agent, and
 * `bulkhead/v1/peers/detail/<cluster>`, read when somebody asks.
 */
import { clusterNameFault } from "../model/cluster.ts";
import type { Judged } from "../model/resource.ts";
import type { BreakerState, Grade, PeerDetail, RemotePhase } from "../model/status.ts";
import { Fields, Shape } from "./fields.ts";
import { encodeGoJson, sortedMap } from "./go-json.ts";
import { judgeHold } from "./holds.ts";
import { parseJson } from "./json.ts";
import { judging, limitBytes, Refusal } from "./refusal.ts";
import { RESOURCES } from "./resources.ts";

export interface GradesRecord {
  /** Another one at each writing, 1 or more. */
  readonly sequence: number;
  /** After that long it is written again at the latest, 1 or more. */
  readonly intervalMs: number;
  /** By cluster. */
  readonly grades: ReadonlyMap<string, Grade>;
}

const MAX_BYTES = 64 * 1024;
export const MAX_INTERVAL_MS = 24 * 3_600_000;
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

/** One byte each. */
const LETTERS: Readonly<Record<Grade, string>> = { fresh: "f", suspect: "s", stale: "o", unproven: "u" };
const GRADES = Object.keys(LETTERS) as readonly Grade[];
const BREAKERS: readonly BreakerState[] = ["closed", "half-open", "open"];
const PHASES: readonly RemotePhase[] = [
  "idle",
  "connecting",
  "handshake",
  "listing",
  "reconciling",
  "watching",
  "refused",
  "draining",
];

const GRADES_SHAPE = new Shape(["sequence", "intervalMs", "grades"]);
const DETAIL_SHAPE = new Shape([
  ...["sequence", "writtenAt", "grade", "ageMs", "phase", "connected", "synced", "breaker", "failures"],
  ...["rejected", "parked", "entries", "holds", "lastError"],
]);

export function encodeGrades({ sequence, intervalMs, grades }: GradesRecord): Uint8Array {
  const letters = new Map([...grades].map(([name, grade]) => [name, LETTERS[grade]]));
  return encodeGoJson({ sequence, intervalMs, grades: sortedMap(letters) });
}

/** @param key names the value in a rejection. */
export function judgeGrades(key: string, bytes: Uint8Array): Judged<GradesRecord> {
  return judging(key, () => {
    limitBytes(bytes, MAX_BYTES);
    const fields = new Fields(parseJson(bytes), [], GRADES_SHAPE);
    if (!fields.has("grades")) throw fields.refusal("grades", "is missing");
    const letters = fields.fields("grades");
    return {
      sequence: atLeastOne(fields, "sequence", MAX_COUNT),
      intervalMs: atLeastOne(fields, "intervalMs", MAX_INTERVAL_MS),
      grades: new Map(Array.from(letters.names(), (name) => [name, gradeOf(letters, name)])),
    };
  });
}

function gradeOf(letters: Fields, name: string): Grade {
  const fault = clusterNameFault(name);
  if (fault !== undefined) throw letters.refusal(name, fault);
  const letter = letters.text(name);
  const grade = GRADES.find((known) => LETTERS[known] === letter);
  if (grade === undefined) throw letters.refusal(name, "is no grade");
  return grade;
}

export function encodePeerDetail(detail: PeerDetail): Uint8Array {
  const { sequence, writtenAt, grade, ageMs, phase, connected, synced, breaker, failures } = detail;
  const { rejected, parked, entries, holds, lastError } = detail;
  const counts = new Map(Object.entries(entries));
  return encodeGoJson({
    ...{ sequence, writtenAt, grade, ageMs, phase, connected, synced, breaker, failures, rejected, parked },
    entries: sortedMap(counts),
    holds: holds.map(({ kind, state, keys }) => ({ kind, state, keys })),
    lastError,
  });
}

/** @param name of the remote; @param key names the value in a rejection. */
export function judgePeerDetail(name: string, key: string, bytes: Uint8Array): Judged<PeerDetail> {
  return judging(key, () => {
    limitBytes(bytes, MAX_BYTES);
    const fault = clusterNameFault(name);
    if (fault !== undefined) throw new Refusal("wrong-key", `the name ${fault}`);
    const fields = new Fields(parseJson(bytes), [], DETAIL_SHAPE);
    return {
      name,
      sequence: atLeastOne(fields, "sequence", MAX_COUNT),
      writtenAt: momentOf(fields),
      grade: oneOf(fields, "grade", GRADES),
      ...(fields.has("ageMs") && { ageMs: fields.whole("ageMs", MAX_COUNT) }),
      phase: oneOf(fields, "phase", PHASES),
      connected: fields.flag("connected"),
      synced: fields.flag("synced"),
      breaker: oneOf(fields, "breaker", BREAKERS),
      failures: fields.whole("failures", MAX_COUNT),
      rejected: fields.whole("rejected", MAX_COUNT),
      parked: fields.whole("parked", MAX_COUNT),
      entries: entriesOf(fields.fields("entries")),
      holds: fields.objects("holds").map(judgeHold),
      ...(fields.has("lastError") && { lastError: fields.text("lastError") }),
    };
  });
}

function entriesOf(counts: Fields): Readonly<Record<string, number>> {
  const entries: Record<string, number> = {};
  for (const kind of counts.names()) {
    if (!RESOURCES.some((row) => row.kind === kind)) throw counts.refusal(kind, "is no kind");
    entries[kind] = counts.whole(kind, MAX_COUNT);
  }
  return entries;
}

function atLeastOne(fields: Fields, name: string, max: number): number {
  const value = fields.whole(name, max);
  if (value === 0) throw fields.refusal(name, `must be a whole number from 1 to ${max}`);
  return value;
}

function oneOf<T extends string>(fields: Fields, name: string, known: readonly T[]): T {
  const word = fields.text(name);
  const found = known.find((one) => one === word);
  if (found === undefined) throw fields.refusal(name, `must be one of ${known.join(", ")}`);
  return found;
}

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function momentOf(fields: Fields): string {
  const text = fields.text("writtenAt");
  if (!MOMENT.test(text)) throw fields.refusal("writtenAt", "must be a moment, such as 2026-01-01T00:00:00.000Z");
  return text;
}
