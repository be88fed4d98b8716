/** What `bulkhead troubleshoot` prints. */
import type { Findings, Step } from "../model/troubleshoot.ts";
import { safeText } from "./text.ts";

const MARKS = { ok: "ok     ", failed: "FAILED ", note: "note   ", "not-run": "not run" } as const;

function stepLines({ name, outcome, seen, mend }: Step): readonly string[] {
  const line = `  ${MARKS[outcome]} ${name}: ${seen}`;
  return mend === undefined ? [line] : [line, `          mend: ${mend}`];
}

/** Those that were not run for one reason, after each other, as one. */
function joined(steps: readonly Step[]): readonly Step[] {
  const lines: Step[] = [];
  for (const step of steps) {
    const last = lines.at(-1);
    const same = last?.outcome === "not-run" && step.outcome === "not-run" && last.seen === step.seen;
    if (same) lines.splice(-1, 1, { ...last, name: `${last.name}, ${step.name}` });
    else lines.push(step);
  }
  return lines;
}

/** A block a remote; remote text is made harmless. */
export function troubleshootText(findings: readonly Findings[]): string {
  if (findings.length === 0) return "no remote is configured";
  const blocks = findings.map(({ remote, steps }) =>
    [remote, ...joined(steps).flatMap(stepLines)].map(safeText).join("\n"),
  );
  return blocks.join("\n\n");
}
