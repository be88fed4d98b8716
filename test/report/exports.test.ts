import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExporterStatus } from "../../src/model/status.ts";
import { exportsText } from "../../src/report/exports.ts";

const OSAKA: ExporterStatus = {
  program: "exporter",
  cluster: "osaka",
  pid: 1,
  uptimeMs: 1,
  problems: ["kubernetes:pods/a/b: bad\u001b[31m"],
  leader: true,
  synced: true,
  queued: 0,
  entries: { nodes: 1, ip: 2 },
  kinds: [
    { kind: "Pod", objects: 12, refused: 1, listed: true, ageMs: 1_500, fault: "" },
    { kind: "Node", objects: 0, refused: 0, listed: false, ageMs: 12, fault: "nodes: unreachable" },
  ],
};

test("what an exporter reads, publishes and cannot publish, control characters made visible", () => {
  const { kinds: _, ...files } = OSAKA;
  const amsterdam = { ...files, cluster: "amsterdam", leader: false, problems: [], entries: {} };
  assert.equal(
    exportsText([OSAKA, amsterdam]),
    `amsterdam
  standby, should be in its etcd: nothing yet

osaka
  leader, should be in its etcd: 1 nodes, 2 ip
  KIND  OBJECTS         REFUSED  HEARD
  Pod   12              1        1.5 s
  Node  not listed yet  0        12 ms
  ! kubernetes:pods/a/b: bad\\u001b[31m`,
  );
});

test("where no exporter runs that is said", () => {
  assert.equal(exportsText([]), "no exporter runs here");
});
