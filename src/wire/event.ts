/** Events of programs as the stream holds them: one JSON object each, under a subject that says whose and of which kind. */
import { clusterNameFault } from "../model/cluster.ts";
import {
  EVENT_KINDS,
  EVENT_VERSION,
  type EventDetails,
  type EventDraft,
  type EventKind,
  type MeshEvent,
  SEVERITIES,
} from "../model/event.ts";
import type { Judged } from "../model/resource.ts";
import { Fields } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { judging, limitBytes, oneLine, quote, Refusal } from "./refusal.ts";
import { isTimestamp } from "./timestamp.ts";

export const EVENT_STREAM = "BULKHEAD_EVENTS";
const SUBJECT_ROOT = `bulkhead.events.v${EVENT_VERSION}`;
export const EVENT_SUBJECTS = `${SUBJECT_ROOT}.>`;

const MAX_BYTES = 16 * 1024;
const MAX_LINE = 400;
const MAX_NAME = 253;
const MAX_DETAILS = 32;
const MAX_DETAIL = 400;
/** UTC with milliseconds: then texts are in the order of times. */
const TIME = /^.{19}\.\d{3}Z$/;
const DETAIL_NAME = /^[a-zA-Z][a-zA-Z0-9]{0,39}$/;

/** Of one cluster and kind, or of all. */
export function eventSubject(cluster = "*", kind: EventKind | "*" = "*"): string {
  return `${SUBJECT_ROOT}.${cluster}.${kind}`;
}

/** What is said in an event may come from anybody: its texts cut to what is accepted, its numbers whole. */
export function boundDraft(draft: EventDraft): EventDraft {
  const bound = (value: string | number | boolean): string | number | boolean => {
    if (typeof value === "string") return oneLine(value);
    return typeof value === "number" ? Math.round(value) : value;
  };
  const details = Object.entries(draft.details).slice(0, MAX_DETAILS);
  return {
    ...draft,
    line: oneLine(draft.line),
    details: Object.fromEntries(details.map(([name, value]) => [name, bound(value)])),
  };
}

export function encodeEvent(event: MeshEvent): Uint8Array {
  const { version, id, time, cluster, program, instance, kind, remote, severity, lost, line, details } = event;
  return encodeGoJson({
    ...{ version, id, time, cluster, program, instance, kind, remote, severity, lost, line },
    details: { ...details },
  });
}

/** @param subject the message's: whoever may write under one cluster's must not speak for another. */
export function judgeEvent(subject: string, bytes: Uint8Array): Judged<MeshEvent> {
  return judging(subject, () => {
    limitBytes(bytes, MAX_BYTES);
    const fields = new Fields(parseJson(bytes));
    const version = fields.whole("version", Number.MAX_SAFE_INTEGER);
    if (version !== EVENT_VERSION) throw new Refusal("unsupported", `is version ${version}`, ["version"]);
    const remote = fields.has("remote") ? { remote: nameOf(fields, "remote") } : {};
    const event: MeshEvent = {
      version,
      id: matching(fields, "id", /^[0-9a-f]{16}-[1-9][0-9]{0,14}$/),
      time: timeOf(fields),
      cluster: nameOf(fields, "cluster"),
      program: matching(fields, "program", /^[a-z]{1,20}$/),
      instance: shortText(fields, "instance", MAX_NAME),
      kind: wordOf(fields, "kind", EVENT_KINDS),
      ...remote,
      severity: wordOf(fields, "severity", SEVERITIES),
      lost: fields.whole("lost", Number.MAX_SAFE_INTEGER),
      line: shortText(fields, "line", MAX_LINE),
      details: detailsOf(fields.fields("details")),
    };
    const own = eventSubject(event.cluster, event.kind);
    if (subject !== own) throw new Refusal("wrong-key", `belongs under ${own}`);
    return event;
  });
}

function matching(fields: Fields, name: string, pattern: RegExp): string {
  const text = fields.text(name);
  if (!pattern.test(text)) throw fields.refusal(name, `${quote(text)} is none`);
  return text;
}

function shortText(fields: Fields, name: string, longest: number): string {
  const text = fields.text(name);
  if (text === "" || text.length > longest) throw fields.refusal(name, `must have 1 to ${longest} characters`);
  return text;
}

function nameOf(fields: Fields, name: string): string {
  const text = fields.text(name);
  const fault = clusterNameFault(text);
  if (fault !== undefined) throw fields.refusal(name, fault);
  return text;
}

function timeOf(fields: Fields): string {
  const time = fields.text("time");
  if (!(isTimestamp(time) && TIME.test(time))) throw fields.refusal("time", `${quote(time)} is none`);
  return time;
}

/** A word that a later version may add to is not called malformed. */
function wordOf<W extends string>(fields: Fields, name: string, words: readonly W[]): W {
  const text = fields.text(name);
  const word = words.find((one) => one === text);
  if (word === undefined) throw new Refusal("unsupported", `${quote(text)} is not known`, [name]);
  return word;
}

function detailsOf(fields: Fields): EventDetails {
  const names = [...fields.names()];
  if (names.length > MAX_DETAILS) throw new Refusal("malformed", `has more than ${MAX_DETAILS} members`, fields.path);
  return Object.fromEntries(names.map((name) => [name, detailOf(fields, name)]));
}

function detailOf(fields: Fields, name: string): string | number | boolean {
  if (!DETAIL_NAME.test(name)) throw new Refusal("malformed", `${quote(name)} is no name`, fields.path);
  const value = fields.tree(name);
  if (typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value !== "string") throw fields.refusal(name, "must be a text, a whole number, true or false");
  if (value.length > MAX_DETAIL) throw fields.refusal(name, `must have ${MAX_DETAIL} characters at most`);
  return value;
}
