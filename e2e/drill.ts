/** Drills on a lab that is up, by the command that people use. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LabPlan } from "../deploy/lab/plan.ts";
import type { DrillReport } from "../src/model/drill.ts";
import { BULKHEAD, type Outcome, run } from "./mesh.ts";

const TIMEOUT_MS = 180_000;

export function drill(lab: LabPlan, drill: string, words: readonly string[] = []): Promise<Outcome> {
  return run(BULKHEAD, ["drill", "run", "--run-dir", lab.runDirectory, drill, ...words], { timeoutMs: TIMEOUT_MS });
}

/** Rejects with what the command said when that is no report. */
export async function drillReport(lab: LabPlan, name: string): Promise<DrillReport> {
  const { out, err } = await drill(lab, name, ["--json"]);
  try {
    return JSON.parse(out) as DrillReport;
  } catch {
    throw new Error(`${name}: ${out}${err}`);
  }
}

/** A file of a drill of osaka that must be noticed within five seconds, and of which five connections may fail. */
export function writeDrill(name: string, step: Readonly<Record<string, string>>): string {
  const file = join(mkdtempSync(join(tmpdir(), "bulkhead-e2e-drill-")), `${name}.yaml`);
  const drill = {
    ...{ version: 1, name, hypothesis: "Something is noticed at once", cluster: "osaka" },
    probe: { from: "amsterdam/client", service: "demo/hello", rate: 100 },
    steps: [step],
    guards: { failedConnections: 5 },
    expect: { detect: { sign: "unwell", within: "5s" }, failedConnections: 5, convergeWithin: "30s" },
  };
  writeFileSync(file, JSON.stringify(drill));
  return file;
}
