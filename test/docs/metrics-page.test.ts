/** docs/METRICS.md against what running programs expose, both ways. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryNats } from "../../src/bus/memory.ts";
import { memoryDisk } from "../../src/disk/memory.ts";
import { MemoryDocker } from "../../src/docker/memory.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { runExporter } from "../../src/programs/exporter/assemble.ts";
import { exporterSettings } from "../../src/programs/exporter/settings.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import { BILLING } from "../export/scene.ts";
import { textOf, textsOf } from "../house/files.ts";
import { start, world } from "../programs/agent/stage.ts";
import { MirrorStage, until } from "../programs/kvstoremesh/stage.ts";
import { freePort } from "../support/free-port.ts";
import { memoryKube } from "../support/kube-objects.ts";

/** Name -> label names, sorted. */
type Described = ReadonlyMap<string, readonly string[]>;

/** The rows below `## heading`. */
function page(...headings: readonly string[]): Described {
  const sections = textOf("docs/METRICS.md").split(/^## /m);
  const rows = headings.flatMap((heading) => {
    const section = sections.find((text) => text.startsWith(`${heading}\n`));
    assert(section, heading);
    return [...section.matchAll(/^\| `([a-z_]+)` \|([^|]*)\| [^|]+ \|$/gm)];
  });
  return new Map(rows.map(([, name = "", labels = ""]) => [name, labels.trim().split(", ").filter(Boolean).sort()]));
}

const isProcess = (name: string): boolean => /^(process|nodejs)_/.test(name);

/** What a program exposes: its names, and the labels of those that have a sample. */
function exposed(text: string): { readonly names: readonly string[]; readonly labels: Described } {
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name).filter((name) => !isProcess(name));
  const labels = new Map<string, readonly string[]>();
  for (const [, sample = "", inside = ""] of text.matchAll(/^([a-z_]+)(?:\{(.*)\})? /gm)) {
    const isOf = (known: string): boolean =>
      sample.startsWith(known) && /^(_(bucket|sum|count))?$/.test(sample.slice(known.length));
    const name = names.find(isOf);
    const given = [...inside.matchAll(/([a-z_]+)="/g)].map(([, label = ""]) => label).filter((label) => label !== "le");
    if (name) labels.set(name, given.sort());
  }
  return { names, labels };
}

function same(text: string, described: Described): void {
  const { names, labels } = exposed(text);
  assert.deepEqual([...names].sort(), [...described.keys()].sort());
  for (const [name, given] of labels) assert.deepEqual(given, described.get(name), `labels of ${name}`);
}

const WRITERS = "kvstoremesh and exporter";
const CERTIFICATES = "Certificates";
const EVENTS = "Events, with `--nats-url`";

test("kvstoremesh exposes what the page says, no more and no less", async (t) => {
  const stage = new MirrorStage(3);
  t.after(() => stage.stop());
  const port = await freePort();
  stage.start({ listen: `127.0.0.1:${port}`, "nats-url": "nats://memory:1" });
  await stage.watching();
  const read = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  await until("gauges are shown", async () => /bulkhead_mirror_synced\{remote="osaka"\} 1/.test(await read()));
  const text = await read();
  same(text, page(WRITERS, CERTIFICATES, EVENTS, "kvstoremesh: Cilium's metrics", "kvstoremesh: ours"));
  assert.match(text, /cilium_kvstoremesh_remote_cluster_readiness_status\{target_cluster="osaka"\} 1/);
  assert.match(text, /cilium_kvstoremesh_leader_election_master_status\{name="kvstoremesh"\} 1/);
  assert.match(text, /kvstore_initial_sync_completed\{scope="ip\/v1",source_cluster="osaka",action="write"\} 1/);
  assert.match(
    text,
    /kvstore_operations_duration_seconds_count\{scope="ip\/v1",kind="set",action="Update",outcome="success"\} [1-9]/,
  );
  assert.match(text, /bulkhead_mirror_event_latency_seconds_count\{remote="osaka"\} [1-9]/);
});

test("so does the exporter", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-metrics-"));
  const [etcd, stop, port] = [new MemoryEtcd({ clock: systemClock }), new AbortController(), await freePort()];
  const flags = {
    cluster: "osaka",
    "cluster-id": "7",
    "etcd-config": "/c/etcd.yaml",
    manifests: "/m",
    "kube-mode": "native",
    "kube-events": "warnings",
    "log-level": "silent",
  };
  const all = Object.entries({ ...flags, "run-dir": folder, listen: `127.0.0.1:${port}` });
  const settings = readSettings(
    "exporter",
    exporterSettings,
    all.flatMap(([flag, value]) => [`--${flag}`, value]),
  );
  const disk = memoryDisk({ "/c/etcd.yaml": 'endpoints: ["http://127.0.0.1:2379"]\n', ...BILLING });
  const connectBus = () => new MemoryNats(systemClock).client();
  const doors = {
    clock: systemClock,
    random: systemRandom,
    disk,
    connect: () => etcd.client(),
    docker: () => new MemoryDocker(),
    connectKube: async () => memoryKube(),
    connectBus,
  };
  const running = runExporter(settings, doors, stop.signal);
  const read = (): Promise<string> =>
    fetch(`http://127.0.0.1:${port}/metrics`)
      .then((answer) => answer.text())
      .catch(() => "");
  t.after(async () => {
    stop.abort();
    await running;
    etcd.stop();
    rmSync(folder, { recursive: true });
  });
  await until("it leads", async () => /^bulkhead_export_leader 1$/m.test(await read()));
  await until("it has read its folder", async () => /^bulkhead_export_entries\{/m.test(await read()));
  const text = await read();
  same(text, page(WRITERS, CERTIFICATES, "exporter"));
});

test("what an agent exposes is on the page, and what the page says of it is in the source", async () => {
  const agent = await start(world());
  const { names, labels } = exposed(await agent.metrics.text());
  await agent.crash();
  const described = page("agent");
  assert(names.length > 5);
  for (const name of names) assert(described.has(name), name);
  for (const [name, given] of labels) assert.deepEqual(given, described.get(name), `labels of ${name}`);
  const source = Object.values(textsOf((path) => /^src\/.*\.ts$/.test(path))).join("\n");
  for (const name of described.keys()) assert(source.includes(`"${name}"`), name);
});

test("every metric that the source names is on the page", () => {
  const source = Object.values(textsOf((path) => /^src\/.*\.ts$/.test(path))).join("\n");
  const text = readFileSync(new URL("../../docs/METRICS.md", import.meta.url), "utf8");
  const names = [...source.matchAll(/"(bulkhead_[a-z_]+)"/g)].map(([, name = ""]) => name);
  assert(names.length > 20);
  for (const name of names) assert(text.includes(`\`${name}\``), name);
});
