/** What `bulkhead maps` prints. */
import type { MapComparison, MapsAnswer } from "../model/status.ts";
import { safeText, table } from "./text.ts";

const COLUMNS = ["CLUSTER", "NODE", "MAP", "HELD", "WANTED", "MISSING", "EXTRA", "CHANGED", "FULL"];

export const differs = ({ missing, extra, changed }: MapComparison): boolean => missing + extra + changed > 0;

/** @param diff the entries that differ, too. */
export function mapsText(answers: readonly MapsAnswer[], diff: boolean): string {
  const rows = answers.flatMap(({ cluster, node, maps }) => maps.map((map) => [cluster, node, ...cells(map)]));
  const lines = diff ? answers.flatMap(differenceLines) : [];
  const many = answers.flatMap(({ maps }) => maps).filter(differs).length;
  const summary = many === 0 ? "no difference" : `${many} ${many === 1 ? "map differs" : "maps differ"}`;
  return [table(COLUMNS, rows), ...lines, summary].join("\n");
}

function cells({ name, held, wanted, missing, extra, changed, maxEntries }: MapComparison): readonly string[] {
  const counts = [held, wanted, missing, extra, changed].map(String);
  return [name, ...counts, `${Math.floor((held * 100) / maxEntries)} %`];
}

/** `amsterdam-1 services: missing address=10.0.0.1 ...`. */
function differenceLines({ node, maps }: MapsAnswer): readonly string[] {
  return maps.flatMap(({ name, differences, ...map }) => {
    const lines = differences.map(({ key, kernel, wanted }) => {
      if (kernel === undefined) return `missing: ${key}: ${wanted}`;
      return wanted === undefined ? `extra: ${key}: ${kernel}` : `changed: ${key}: ${kernel}, should be ${wanted}`;
    });
    const more = map.missing + map.extra + map.changed - differences.length;
    const rest = more > 0 ? [`${more} more`] : [];
    return [...lines, ...rest].map((line) => safeText(`${node} ${name}: ${line}`));
  });
}
