/** Drills and their reports, for terminals. */
import type { Drill, DrillReport, FaultAnswer } from "../model/drill.ts";
import { duration, safeText, table } from "./text.ts";

export function drillsText(drills: readonly Drill[]): string {
  const rows = drills.map(({ name, cluster, steps, hypothesis }) => [
    name,
    cluster,
    duration(steps.reduce((sum, { forMs }) => sum + forMs, 0)),
    hypothesis,
  ]);
  return table(["DRILL", "CLUSTER", "FAULTS LAST", "HYPOTHESIS"], rows);
}

/** What a dry run of each step answered. */
export function dryRunText(drill: Drill, answers: readonly FaultAnswer[]): string {
  const { name, cluster, probe, steps } = drill;
  const head = `${name}: ${probe.rate} connections a second of ${probe.service} from ${probe.cluster}/${probe.place}; nothing is done now`;
  const lines = steps.flatMap(({ fault, target, forMs }, index) => [
    `${fault} of ${target} in ${cluster} for ${duration(forMs)}`,
    ...(answers[index]?.does ?? []).map((line) => `  do    ${line}`),
    ...(answers[index]?.undoes ?? []).map((line) => `  undo  ${line}`),
  ]);
  return [head, ...lines].map(safeText).join("\n");
}

export function drillReportText(report: DrillReport): string {
  const { drill, verdict, hypothesis, tookMs, reason, checks } = report;
  const rows = checks.map(({ what, held, line }) => `  ${held ? "ok    " : "FAILED"}  ${what.padEnd(11)}  ${line}`);
  const lines = [`${drill}: ${verdict}, in ${duration(tookMs)}`, `  ${hypothesis}`, ...rows];
  return [...lines, ...(reason === undefined ? [] : [`  ${reason}`])].map(safeText).join("\n");
}
