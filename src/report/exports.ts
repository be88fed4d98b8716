/** `bulkhead exports`: what each exporter reads of its API server, what it publishes of it, and what it cannot publish and why. */
import type { ExporterStatus, ProgramStatus, SourceKindStatus } from "../model/status.ts";
import { duration, safeText, table } from "./text.ts";

function kindCells({ kind, objects, refused, listed, ageMs }: SourceKindStatus): readonly string[] {
  return [kind, listed ? String(objects) : "not listed yet", String(refused), duration(ageMs)];
}

function exporterText({ cluster, leader, kinds = [], entries, problems }: ExporterStatus): string {
  const published = Object.entries(entries).map(([part, count]) => `${count} ${part}`);
  const parts = [`  ${leader ? "leader" : "standby"}, should be in its etcd: ${published.join(", ") || "nothing yet"}`];
  if (kinds.length > 0) {
    const rows = table(["KIND", "OBJECTS", "REFUSED", "HEARD"], kinds.map(kindCells));
    parts.push(...rows.split("\n").map((line) => `  ${line}`));
  }
  parts.push(...problems.map((problem) => `  ! ${safeText(problem)}`));
  return [safeText(cluster), ...parts].join("\n");
}

export function exportsText(statuses: readonly ProgramStatus[]): string {
  const exporters = statuses.filter((status): status is ExporterStatus => status.program === "exporter");
  if (exporters.length === 0) return "no exporter runs here";
  const sorted = exporters.sort((left, right) => (left.cluster < right.cluster ? -1 : 1));
  return sorted.map(exporterText).join("\n\n");
}
