/** What the mirror tells nodes: only what is whole and known is read, and each refusal says why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeGrades, judgePeerDetail } from "../../src/wire/peers.ts";
import { golden } from "../golden/values.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (name: string): string => new TextDecoder().decode(golden(name));

function refused(name: string, judged: ReturnType<typeof judgeGrades | typeof judgePeerDetail>): string {
  assert(!judged.ok, `${name} was accepted`);
  return `${judged.rejection.reason} ${judged.rejection.detail}`;
}

test("grades that lack something, or say what nobody knows, are refused with the reason", () => {
  const whole = text("peer-grades");
  assert(judgeGrades("key", bytes(whole)).ok);
  for (const [from, to, reason] of [
    ['"sequence":41,', "", /^malformed sequence: must be a whole number from 1/],
    ['"sequence":41', '"sequence":0', /^malformed sequence: must be a whole number from 1/],
    ['"sequence":41', '"sequence":-1', /^malformed sequence: must be a whole number from 0/],
    ['"sequence":41', '"Sequence":41', /^folded-name /],
    ['"intervalMs":30000', '"intervalMs":86400001', /^malformed intervalMs: must be a whole number from 0 to 86400000/],
    ['"intervalMs":30000,', "", /^malformed intervalMs: must be a whole number from 1/],
    ['"osaka":"f"', '"osaka":"fresh"', /^malformed grades\.osaka: is no grade/],
    ['"osaka":"f"', '"osaka":1', /^malformed grades\.osaka: must be a string/],
    ['"osaka":"f"', '"osaka":"f","osaka":"o"', /^duplicate-name /],
    ['"osaka":"f"', '"Osaka":"f"', /^malformed grades\.Osaka: may hold only/],
    ['"grades"', '"others"', /^malformed grades: is missing/],
    ["}}", "}", /^malformed JSON/],
    ["{", `${" ".repeat(64 * 1024)}{`, /^too-large /],
  ] as const) {
    const changed = whole.replace(from, to);
    assert.notEqual(changed, whole);
    assert.match(refused(to, judgeGrades("key", bytes(changed))), reason);
  }
});

test("so are details", () => {
  const whole = text("peer-detail");
  assert(judgePeerDetail("osaka", "key", bytes(whole)).ok);
  for (const [from, to, reason] of [
    ['"sequence":41', '"sequence":1.5', /^malformed sequence/],
    ['"grade":"suspect"', '"grade":"s"', /^malformed grade: must be one of fresh, suspect, stale, unproven/],
    ['"grade":"suspect",', "", /^malformed grade: must be one of/],
    ['"phase":"connecting"', '"phase":"dreaming"', /^malformed phase: must be one of/],
    ['"breaker":"half-open"', '"breaker":"ajar"', /^malformed breaker: must be one of/],
    ['"writtenAt":"2026', '"writtenAt":"about 2026', /^malformed writtenAt: must be a moment/],
    ['"ip":20', '"pods":20', /^malformed entries\.pods: is no kind/],
    ['"ip":20', '"ip":-20', /^malformed entries\.ip: must be a whole number/],
    ['"kind":"services"', '"kind":"pods"', /^malformed holds\[0\]\.kind: is no kind/],
    ['"state":"held"', '"state":"lost"', /^malformed holds\[0\]\.state: is no state/],
    ['"connected":false', '"connected":"no"', /^malformed connected: must be true or false/],
  ] as const) {
    const changed = whole.replace(from, to);
    assert.notEqual(changed, whole);
    assert.match(refused(to, judgePeerDetail("osaka", "key", bytes(changed))), reason);
  }
  assert.match(refused("key", judgePeerDetail("Osaka", "key", bytes(whole))), /^wrong-key the name may hold only/);
});

test("what was never proven has no age, and reads back without one", () => {
  const judged = judgePeerDetail("osaka", "key", bytes(text("peer-detail").replace('"ageMs":42100,', "")));
  assert(judged.ok);
  assert(!("ageMs" in judged.value));
});
