import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshEvent } from "../../src/model/event.ts";
import { boundDraft, encodeEvent, eventSubject, judgeEvent } from "../../src/wire/event.ts";
import { EVENT, EVENT_SUBJECT } from "../golden/values.ts";

type Members = Readonly<Record<string, unknown>>;

function judged(members: Members, subject = EVENT_SUBJECT): string {
  const bytes = new TextEncoder().encode(JSON.stringify({ ...EVENT, ...members }));
  const judgement = judgeEvent(subject, bytes);
  return judgement.ok ? "accepted" : `${judgement.rejection.reason}: ${judgement.rejection.detail}`;
}

const REFUSED: readonly (readonly [string, Members, RegExp])[] = [
  ["another version", { version: 2 }, /^unsupported: version: is version 2/],
  ["no version", { version: undefined }, /^unsupported: version/],
  ["a kind of a later one", { kind: "eclipse" }, /^unsupported: kind: "eclipse" is not known/],
  ["a severity of a later one", { severity: "fatal" }, /^unsupported: severity/],
  ["an id of another form", { id: "1" }, /^malformed: id: "1" is none/],
  ["a time that is none", { time: "2026-13-01T00:00:00.000Z" }, /^malformed: time/],
  ["a time of another form", { time: "yesterday" }, /^malformed: time/],
  ["a cluster that can be none", { cluster: "Osaka" }, /^malformed: cluster/],
  ["a remote that can be none", { remote: "a b" }, /^malformed: remote/],
  ["a program that can be none", { program: "Agent 1" }, /^malformed: program/],
  ["no instance", { instance: "" }, /^malformed: instance/],
  ["no line", { line: "" }, /^malformed: line/],
  ["a line that is too long", { line: "x".repeat(401) }, /^malformed: line/],
  ["a negative count", { lost: -1 }, /^malformed: lost/],
  ["details that nest", { details: { a: {} } }, /^malformed: details\.a/],
  ["a fraction", { details: { a: 1.5 } }, /^malformed: details\.a/],
  ["a detail that is too long", { details: { a: "x".repeat(401) } }, /^malformed: details\.a/],
  ["a name that is none", { details: { "a b": 1 } }, /^malformed: details: "a b" is no name/],
  [
    "too many details",
    { details: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`d${at}`, at])) },
    /more than 32/,
  ],
  ["too many bytes", { more: "x".repeat(20_000) }, /^too-large/],
];

for (const [what, members, line] of REFUSED) {
  test(`${what} is refused`, () => assert.match(judged(members), line));
}

test("what is fine is accepted, with members of a later version too", () => {
  assert.equal(judged({}), "accepted");
  assert.equal(judged({ remote: undefined, details: {} }), "accepted");
  assert.equal(judged({ weather: { sun: true } }), "accepted");
});

test("whoever may write under one subject does not speak for another cluster, nor of another kind", () => {
  assert.match(
    judged({}, eventSubject("oslo", "hold")),
    /^wrong-key: belongs under bulkhead\.events\.v1\.bergen\.hold/,
  );
  assert.match(judged({}, eventSubject("bergen", "drill")), /^wrong-key/);
});

test("what is no JSON is refused", () => {
  for (const text of ["", "{", "null", '{"version":1,"version":1}']) {
    assert.equal(judgeEvent("s", new TextEncoder().encode(text)).ok, false, text);
  }
});

test("whatever is said in an event is cut to what readers accept", () => {
  const long = "\u0007é".repeat(1_000);
  const details = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`d${at}`, at % 2 ? long : at + 0.4]));
  const draft = boundDraft({ kind: "problem", severity: "error", line: long, details });
  const { remote: _, ...rest } = EVENT;
  const event: MeshEvent = { ...rest, ...draft };
  assert.deepEqual(judgeEvent(eventSubject("bergen", "problem"), encodeEvent(event)), { ok: true, value: event });
  assert.match(event.line, /^[ -~]{300,310}$/);
});
