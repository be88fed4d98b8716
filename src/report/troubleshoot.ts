/** What `bulkhead troubleshoot` prints. */
import type { Findings, Step } from "../model/troubleshoot.ts";
import { safeText } from "./text.ts";

const MARKS = { ok: "ok     ", failed: "FAILED ", note: "note   ", "not-run": "not run" } as const;

function stepLines({ name, outcome, seen, mend }: Step): readonly string[] {
  const line = `  ${MARKS[outcome]} ${name}: ${seen}`;
  return mend === undefined ? [line] : [line, `          mend: ${mend}`];
}

/** A block a remote; remote text is made harmless. */
export function troubleshootText(findings: readonly Findings[]): string {
  if (findings.length === 0) return "no remote is configured";
  const blocks = findings.map(({ remote, steps }) => [remote, ...steps.flatMap(stepLines)].map(safeText).join("\n"));
  return blocks.join("\n\n");
}
