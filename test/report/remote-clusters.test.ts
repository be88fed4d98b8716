import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { remoteClusters } from "../../src/report/remote-clusters.ts";
import { followed, listing, lost, unreached } from "./remote-examples.ts";

const golden = (name: string): string => readFileSync(new URL(`../golden/${name}.golden`, import.meta.url), "utf8");
const json = (remotes: Parameters<typeof remoteClusters>[0]): string => `${JSON.stringify(remoteClusters(remotes))}\n`;

test("a remote that is followed, one that was lost, one never reached, one being listed: byte for byte, by name", () => {
  assert.equal(json([lost, followed, unreached, listing]), golden("remote-clusters"));
});

test("no remote is an empty list", () => assert.equal(json([]), "[]\n"));

test("nothing is called ready that is not proven, connected and complete", () => {
  const ready = (more: Partial<typeof followed>): unknown => remoteClusters([{ ...followed, ...more }])[0]?.ready;
  assert.equal(ready({}), true);
  for (const grade of ["suspect", "stale", "unproven"] as const) assert.equal(ready({ grade }), undefined);
  assert.equal(ready({ connected: false }), undefined);
  assert.equal(ready({ synced: false }), undefined);
  assert.equal(ready({ phase: "reconciling" }), undefined);
});

test("a connected remote whose state is not proven is no quorum", () => {
  const [cluster] = remoteClusters([{ ...followed, grade: "suspect", ageMs: 31_000 }]);
  assert.match(cluster?.status ?? "", /^etcd: 0\/1 connected, .*has-quorum=suspect, proven 31\.0 s ago:/);
});

test("what a remote does not offer has no member; what it offers has one, also when false", () => {
  const without = { ...followed, config: { ...(lost.config as NonNullable<typeof lost.config>) } };
  assert.deepEqual(Object.keys(remoteClusters([without])[0]?.synced ?? {}), [
    "endpoints",
    "identities",
    "nodes",
    "services",
  ]);
  const [partly] = remoteClusters([{ ...followed, syncedKinds: { ...followed.syncedKinds, endpointslices: false } }]);
  assert.equal(partly?.synced["endpoint-slices"], false);
  assert.equal(partly?.synced["service-exports"], true);
});
