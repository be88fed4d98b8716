import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MemoryNats } from "../../../src/bus/memory.ts";
import { type MemoryDisk, memoryDisk } from "../../../src/disk/memory.ts";
import { MemoryDocker } from "../../../src/docker/memory.ts";
import { KubeError } from "../../../src/kube/door.ts";
import { MemoryEtcd } from "../../../src/kv/memory.ts";
import { type ExporterDoors, runExporter } from "../../../src/programs/exporter/assemble.ts";
import { exporterSettings } from "../../../src/programs/exporter/settings.ts";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { UserError } from "../../../src/runtime/user-error.ts";
import { askSocket } from "../../../src/serve/ask.ts";
import { BILLING } from "../../export/scene.ts";
import { memoryKube } from "../../support/kube-objects.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-exporter-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Undefined: without it. */
type Flags = Readonly<Record<string, string | undefined>>;

const GOOD = {
  cluster: "osaka",
  "cluster-id": "7",
  "etcd-config": "/c/etcd.yaml",
  manifests: "/m",
  "log-level": "silent",
};
const ETCD_CONFIG = 'endpoints: ["http://127.0.0.1:2379"]\n';

function settingsOf(flags: Flags) {
  const argv = Object.entries({ ...GOOD, "run-dir": folder, ...flags }).flatMap(([flag, value]) =>
    value === undefined ? [] : [`--${flag}`, value],
  );
  return readSettings("exporter", exporterSettings, argv);
}

function doorsOf(disk: MemoryDisk, etcd = new MemoryEtcd({ clock: systemClock })): ExporterDoors {
  const connectBus = () => new MemoryNats(systemClock).client();
  return {
    clock: systemClock,
    random: seededRandom(1),
    disk,
    connect: () => etcd.client(),
    docker: () => new MemoryDocker(),
    connectKube: async ({ config }) => {
      if (config === "/none") throw new KubeError("refused", "/none: ENOENT");
      return memoryKube();
    },
    connectBus,
  };
}

async function refusal(flags: Flags, files: Readonly<Record<string, string>>): Promise<string> {
  const doors = doorsOf(memoryDisk(files));
  const run = async (): Promise<void> => runExporter(settingsOf(flags), doors, AbortSignal.abort());
  const error = await run().then(
    () => assert.fail("it was not refused"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof UserError, String(error));
  return error.message;
}

const FILES = { "/c/etcd.yaml": ETCD_CONFIG, ...BILLING };

for (const [what, flags, files, expected] of [
  ["a bad name", { cluster: "Osaka" }, FILES, /^--cluster "Osaka": /],
  ["a bad id", { "cluster-id": "256" }, FILES, /^--cluster-id "256": must be a whole number from 1 to 255$/],
  ["no manifests", { manifests: "/none" }, FILES, /^--manifests \/none: .*; name a directory that can be read$/],
  ["a kubeconfig without a mode", { "kube-config": "/k" }, FILES, /^--kube-config needs --kube-mode: /],
  [
    "a context of no file",
    { "kube-mode": "native", "kube-context": "x" },
    FILES,
    /^--kube-context needs --kube-config: /,
  ],
  ["Cilium's identities and our own", { "kube-mode": "cilium" }, FILES, /^--kube-mode cilium .*: remove --manifests/],
  [
    "no kubeconfig",
    { "kube-mode": "native", "kube-config": "/none" },
    FILES,
    /^--kube-config \/none: ENOENT; name a kubeconfig file/,
  ],
  [
    "neither manifests nor an API server",
    { manifests: undefined },
    FILES,
    /^--manifests is missing: .*--kube-mode native$/,
  ],
  ["no etcd config", { "etcd-config": "/c/none" }, FILES, /^--etcd-config \/c\/none: /],
  ["a bad etcd config", {}, { ...FILES, "/c/etcd.yaml": "endpoints: []" }, /^--etcd-config \/c\/etcd\.yaml:1: /],
  [
    "a heartbeat that outlives its lease",
    { "heartbeat-lease-ttl-seconds": "119" },
    FILES,
    /two heartbeats .*; use at least 120$/,
  ],
] as const) {
  test(`bad input is one line that says how to mend it: ${what}`, async () => {
    const line = await refusal(flags, files);
    assert.match(line, expected);
    assert.equal(line.includes("\n"), false);
    assert.deepEqual(await readdir(folder), [], "nothing is left behind");
  });
}

test("runs over its doors, serves its status, and winds down leaving no socket that answers", async (context) => {
  const stop = new AbortController();
  context.after(() => stop.abort());
  const etcd = new MemoryEtcd({ clock: systemClock });
  const doors = doorsOf(memoryDisk(FILES), etcd);
  const running = runExporter(settingsOf({ "manifest-interval-ms": "50" }), doors, stop.signal);
  const socket = join(folder, "osaka", "exporter.sock");
  for (let tries = 0; tries < 100; tries++) {
    const status = await askSocket(socket, "/v1/status", 1_000).catch(() => undefined);
    if (status !== undefined && "synced" in (status as object) && (status as { synced: boolean }).synced) break;
    await sleep(systemClock, 50);
  }
  const { uptimeMs: _uptime, ...status } = (await askSocket(socket, "/v1/status", 1_000)) as Record<string, unknown>;
  assert.deepEqual(status, {
    program: "exporter",
    cluster: "osaka",
    pid: process.pid,
    problems: [],
    leader: true,
    synced: true,
    queued: 0,
    entries: {
      nodes: 1,
      identities: 1,
      "local-identities": 0,
      "local-ip": 0,
      ip: 1,
      services: 1,
      "local-services": 1,
      endpoints: 0,
      policies: 0,
      serviceexports: 0,
    },
  });
  stop.abort();
  await running;
  etcd.stop();
  await assert.rejects(async () => askSocket(socket, "/v1/status", 1_000));
});
