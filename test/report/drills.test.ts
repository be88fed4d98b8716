/** What `bulkhead drill list` says. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseDrill } from "../../src/drill/drill-file.ts";
import type { DrilldStatus } from "../../src/model/status.ts";
import { drillsText, lacking } from "../../src/report/drills.ts";

const path = fileURLToPath(new URL("../../deploy/drills/kill-remote.yaml", import.meta.url));
const drill = parseDrill(path, readFileSync(path, "utf8"));
const base = { program: "drilld", pid: 1, uptimeMs: 1, problems: [], lasting: [] } as const;
const osaka: DrilldStatus = {
  ...base,
  cluster: "osaka",
  targets: { etcd: ["kill"], kvstoremesh: ["kill"] },
  places: [],
};
const amsterdam: DrilldStatus = { ...base, cluster: "amsterdam", targets: {}, places: ["client"] };

test("a drill that may be done here says so", () => {
  assert.equal(lacking(drill, [osaka, amsterdam]), undefined);
  assert.match(drillsText([drill], [osaka, amsterdam]), /^kill-remote +osaka .* yes {2,}Osaka's etcd dies/m);
});

for (const [what, drillds] of [
  ["no drilld of osaka", [amsterdam]],
  ["no drilld of amsterdam", [osaka]],
  ["no kill of etcd", [{ ...osaka, targets: { etcd: ["freeze"] } } as const, amsterdam]],
  ["no probes from client", [osaka, { ...amsterdam, places: ["elsewhere"] }]],
] as const) {
  test(`one that may not says why: ${what}`, () => {
    assert.equal(lacking(drill, drillds), what);
  });
}
