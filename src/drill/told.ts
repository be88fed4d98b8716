/** What drills tell the mesh: reports, never commands. */
import type { DrillReport } from "../model/drill.ts";
import type { EventDraft } from "../model/event.ts";
import { flag, listOf, mapOf, maybe, number, record, text, whole, wholeFrom, word } from "../runtime/schema.ts";

const counts = record({ made: whole, failed: whole, failures: mapOf(whole) });

const report = record({
  version: wholeFrom(1, 1),
  drill: text,
  run: text,
  hypothesis: text,
  cluster: text,
  verdict: word("passed", "failed", "aborted", "invalid"),
  reason: maybe(text),
  startedAt: text,
  tookMs: number,
  detectMs: maybe(number),
  failOverMs: number,
  connections: counts,
  entries: record({ before: whole, least: whole }),
  convergeMs: maybe(number),
  checks: listOf(
    record({ what: word("detect", "fail over", "connections", "entries", "converge"), held: flag, line: text }),
  ),
});

/** `POST /v1/drills` of drilld: a drill begins, or ended. */
export const drillNote = record({
  begun: maybe(record({ drill: text, run: text, hypothesis: text })),
  ended: maybe(report),
});
export interface DrillNote {
  readonly begun?: Pick<DrillReport, "drill" | "run" | "hypothesis">;
  readonly ended?: DrillReport;
}

export function eventOf({ begun, ended }: DrillNote): EventDraft | undefined {
  if (ended !== undefined) return endedEvent(ended);
  if (begun === undefined) return undefined;
  const { drill, run, hypothesis } = begun;
  const details = { drill, run, state: "begun", hypothesis };
  return { kind: "drill", severity: "info", line: `drill ${drill} begins: ${hypothesis}`, details };
}

function endedEvent(ended: DrillReport): EventDraft {
  const { drill, run, verdict, reason, hypothesis, connections, entries, detectMs, convergeMs } = ended;
  const { tookMs, failOverMs } = ended;
  const broken = ended.checks.find(({ held }) => !held);
  const why = reason ?? (broken && `${broken.what}: ${broken.line}`);
  return {
    kind: "drill",
    severity: verdict === "passed" ? "info" : "error",
    line: `drill ${drill} ${verdict}${why === undefined ? "" : `: ${why}`}`,
    details: {
      ...{ drill, run, state: "ended", verdict, hypothesis, tookMs, failOverMs },
      ...(why !== undefined && { why }),
      ...(detectMs !== undefined && { detectMs }),
      ...(convergeMs !== undefined && { convergeMs }),
      ...{ made: connections.made, failed: connections.failed },
      ...{ entriesBefore: entries.before, entriesLeast: entries.least },
    },
  };
}
