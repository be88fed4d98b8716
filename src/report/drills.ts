/** Drills and their reports, for terminals. */
import type { Drill, DrillReport, FaultAnswer } from "../model/drill.ts";
import type { DrilldStatus } from "../model/status.ts";
import { duration, safeText, table } from "./text.ts";

export function drillsText(drills: readonly Drill[], drillds: readonly DrilldStatus[]): string {
  const rows = drills.map((drill) => [
    drill.name,
    drill.cluster,
    duration(drill.steps.reduce((sum, { forMs }) => sum + forMs, 0)),
    lacking(drill, drillds) ?? "yes",
    drill.hypothesis,
  ]);
  return table(["DRILL", "CLUSTER", "FAULTS LAST", "HERE", "HYPOTHESIS"], rows);
}

/** The first thing of it that no drilld which answers here would do, in a few words; undefined: all may be done. */
export function lacking({ cluster, probe, steps }: Drill, drillds: readonly DrilldStatus[]): string | undefined {
  const of = (name: string): DrilldStatus | undefined => drillds.find((drilld) => drilld.cluster === name);
  const silent = [cluster, probe.cluster].find((name) => of(name) === undefined);
  if (silent !== undefined) return `no drilld of ${silent}`;
  const denied = steps.find(({ fault, target }) => !of(cluster)?.targets[target]?.includes(fault));
  if (denied) return `no ${denied.fault} of ${denied.target}`;
  return of(probe.cluster)?.places.includes(probe.place) ? undefined : `no probes from ${probe.place}`;
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
