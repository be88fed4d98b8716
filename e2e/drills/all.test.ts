/** What becomes of a drill; then every drill that is shipped, on one lab whose etcds want certificates, one after another: a line each. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { drillReportText } from "../../src/report/drills.ts";
import { duration } from "../../src/report/text.ts";
import { drillReport } from "../drill.ts";
import { plan, standing } from "../mesh.ts";
import { drillVerdicts } from "./verdicts.ts";

const NAME = "e2e-drills";
const DRILLS = readdirSync(fileURLToPath(new URL("../../deploy/drills/", import.meta.url)))
  .map((file) => file.replace(/\.yaml$/, ""))
  .sort();

standing(NAME, undefined, ["--secure"]);
drillVerdicts(() => plan(NAME));

for (const name of DRILLS) {
  test(`drill ${name}`, async () => {
    const report = await drillReport(plan(NAME), name);
    const { connections, detectMs, convergeMs, tookMs, verdict } = report;
    const seen = detectMs === undefined ? "" : `, seen after ${duration(detectMs)}`;
    const back = convergeMs === undefined ? "" : `, converged after ${duration(convergeMs)}`;
    const line = `${connections.made} connections made, ${connections.failed} failed${seen}${back}, ${duration(tookMs)}`;
    process.stdout.write(`drill ${name.padEnd(14)} ${verdict}: ${line}\n`);
    assert.equal(verdict, "passed", drillReportText(report));
  });
}
