import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { MirrorGauges } from "../../src/mirror/gauges.ts";
import { WriteMetrics } from "../../src/mirror/write-metrics.ts";
import type { RemoteStatus } from "../../src/model/status.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { followed, lost } from "../report/remote-examples.ts";

let metrics: Metrics;
let gauges: MirrorGauges;
beforeEach(() => {
  metrics = new Metrics();
  gauges = new MirrorGauges(metrics);
});

function show(remotes: readonly RemoteStatus[], ready = true, uptimeMs = 5_000, depths = new Map()): Promise<string> {
  const status = { program: "kvstoremesh", cluster: "amsterdam", leader: true, queued: 0, problems: [] } as const;
  gauges.show({ ...status, uptimeMs, remotes }, ready, depths);
  return metrics.text();
}

const has = (text: string, line: string): void => assert(text.split("\n").includes(line), `${line}\n${text}`);

test("losses are Cilium's failures, tries are ours; what never happened has no time", async () => {
  const text = await show([followed, lost]);
  has(text, 'cilium_kvstoremesh_remote_cluster_failures{target_cluster="virginia"} 2');
  has(text, 'bulkhead_mirror_failures{remote="virginia"} 3');
  has(text, 'cilium_kvstoremesh_remote_cluster_last_failure_ts{target_cluster="virginia"} 1795369834.786');
  assert.doesNotMatch(text, /last_failure_ts\{target_cluster="osaka"\}/);
  has(text, 'cilium_kvstoremesh_remote_cluster_readiness_status{target_cluster="virginia"} 0');
  has(text, 'cilium_kvstoremesh_remote_cluster_readiness_status{target_cluster="osaka"} 1');
});

test("nothing is left of a remote that is gone, nor of a hold that ended", async () => {
  const hold = { kind: "services", state: "held", keys: 9, withdrawals: 90, ageMs: 1, example: "x" } as const;
  has(await show([{ ...followed, holds: [hold] }, lost]), 'bulkhead_mirror_held{remote="osaka",kind="services"} 9');
  const text = await show([followed]);
  assert.doesNotMatch(text, /virginia|bulkhead_mirror_held\{/);
  has(text, "cilium_kvstoremesh_remote_clusters 1");
});

test("a remote without configuration is shown, and not counted as configured", async () => {
  const text = await show([{ ...followed, configured: false }, lost]);
  has(text, "cilium_kvstoremesh_remote_clusters 1");
  has(text, 'bulkhead_mirror_connected{remote="osaka"} 1');
});

test("writes that wait are told by remote and by scope", async () => {
  const depths = new Map([
    [
      "osaka",
      new Map([
        ["ip/v1", 7],
        ["osaka/cilium", 1],
      ]),
    ],
  ]);
  const text = await show([followed], true, 1, depths);
  has(text, 'cilium_kvstoremesh_kvstore_sync_queue_size{scope="ip/v1",source_cluster="osaka"} 7');
  has(text, 'cilium_kvstoremesh_kvstore_sync_queue_size{scope="nodes/v1",source_cluster="osaka"} 0');
  has(text, 'bulkhead_mirror_queued{remote="osaka"} 8');
});

test("the time to ready is that of the first time", async () => {
  has(await show([], false, 1_000), "cilium_kvstoremesh_bootstrap_seconds 0");
  await show([], true, 2_000);
  await show([], false, 3_000);
  has(await show([], true, 4_000), "cilium_kvstoremesh_bootstrap_seconds 2");
});

test("a heartbeat that stays away is one quorum error, and another one when it stays away again", async () => {
  const silent = { ...followed, heartbeatSilent: true };
  const errors = 'cilium_kvstoremesh_kvstore_quorum_errors_total{error="no event received"}';
  await show([silent]);
  has(await show([silent]), `${errors} 1`);
  await show([followed]);
  has(await show([silent, { ...silent, name: "kyoto" }]), `${errors} 3`);
});

test("what a kind offers is read before it is written", async () => {
  const text = await show([{ ...followed, syncedKinds: { ...followed.syncedKinds, ip: false } }]);
  const of = 'cilium_kvstoremesh_kvstore_initial_sync_completed{scope="ip/v1",source_cluster="osaka",action=';
  has(text, `${of}"read"} 1`);
  has(text, `${of}"write"} 0`);
});

test("latency is that of live writes; a failed batch counts each key once", async () => {
  const writes = new WriteMetrics(metrics);
  const write = { key: "cilium/cache/ip/v1/osaka/10.2.0.1", scope: "osaka", since: 1, atMs: 0 };
  writes.acknowledged({ ...write, lane: "live" }, 250);
  writes.acknowledged({ ...write, lane: "bulk" }, 9_000);
  writes.failed([
    { ...write, lane: "live" },
    { ...write, lane: "bulk", key: "cilium/cache/nodes/v1/osaka/n1" },
  ]);
  const text = await metrics.text();
  has(text, 'bulkhead_mirror_event_latency_seconds_sum{remote="osaka"} 0.25');
  has(text, 'bulkhead_mirror_event_latency_seconds_count{remote="osaka"} 1');
  has(text, 'cilium_kvstoremesh_kvstore_sync_errors_total{scope="ip/v1",source_cluster="osaka"} 1');
  has(text, 'cilium_kvstoremesh_kvstore_sync_errors_total{scope="nodes/v1",source_cluster="osaka"} 1');
});
