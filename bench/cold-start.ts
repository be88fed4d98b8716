/**
 * COLD: a node boots while no etcd answers. From the start of the agent's process until it is ready with every map as the snapshot says, against
 * the same entries written into maps of the same objects and nothing else.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SnapshotStore } from "../src/datapath/snapshot-store.ts";
import { systemDisk } from "../src/disk/system.ts";
import { cgroup2Mount } from "../src/kernel/cgroup.ts";
import { createLibbpfKernel } from "../src/kernel/libbpf.ts";
import { BACKEND_MAP, encodeBackendKey, encodeBackendValue } from "../src/maps/backend-map.ts";
import { encodeIpcacheKey, encodeIpcacheValue, IPCACHE_MAP } from "../src/maps/ipcache-map.ts";
import { LAYOUT_VERSION } from "../src/maps/layout.ts";
import { ENDPOINT_OBJECT, SOCK_LB_OBJECT } from "../src/maps/objects.ts";
import { encodeServiceKey, encodeServiceValue, SERVICE_MAP } from "../src/maps/service-map.ts";
import type { SnapshotEntry } from "../src/maps/snapshot.ts";
import { parseAddress } from "../src/model/address.ts";
import type { AgentStatus } from "../src/model/status.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { askSocket } from "../src/serve/ask.ts";
import { freePort } from "../test/support/free-port.ts";
import { median, printFigures } from "./goal-line.ts";
import { type Costs, costsOf, until } from "./mirror-stage.ts";
import { BenchStage, inNetns } from "./stage.ts";

const BULKHEAD = fileURLToPath(new URL("../src/bulkhead.ts", import.meta.url));
const OBJECTS = fileURLToPath(new URL("../build/bpf", import.meta.url));
const ADDRESSES = 94_000;
const SERVICES = 1_000;
const BACKENDS_EACH = 2;
const ENTRIES = ADDRESSES + SERVICES * (1 + 2 * BACKENDS_EACH) + SERVICES;
const CAPACITY = 131_072;
const ROUNDS = 3;
const GOAL_MS = 5_000;
const CLUSTER = "amsterdam";
const NODE = "n1";
const TCP = 6;
const FIRST_IDENTITY = 65_536 + 256;

type Maps = ReadonlyMap<string, readonly SnapshotEntry[]>;

const addressOf = (text: string): Uint8Array => parseAddress(text) ?? assert.fail(text);
const numbered = (first: number, index: number): Uint8Array =>
  addressOf(`10.${first + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`);

function mapsOf(): Maps {
  const addresses = Array.from({ length: ADDRESSES + SERVICES }, (_, index): SnapshotEntry => {
    const value = encodeIpcacheValue({ identity: FIRST_IDENTITY + (index % 1_000), clusterId: 1 });
    return [encodeIpcacheKey({ address: numbered(16, index) }), value];
  });
  const services: SnapshotEntry[] = [];
  const backends: SnapshotEntry[] = [];
  for (let service = 0; service < SERVICES; service++) {
    const frontend = { address: numbered(96, service), port: 80, protocol: TCP };
    const value = encodeServiceValue({ backendId: 0, count: BACKENDS_EACH });
    services.push([encodeServiceKey({ ...frontend, slot: 0 }), value]);
    for (let slot = 1; slot <= BACKENDS_EACH; slot++) {
      const id = service * BACKENDS_EACH + slot;
      services.push([encodeServiceKey({ ...frontend, slot }), encodeServiceValue({ backendId: id, count: 0 })]);
      const backend = { address: numbered(16, id), port: 8080, protocol: TCP, clusterId: 1 };
      backends.push([encodeBackendKey({ id }), encodeBackendValue(backend)]);
    }
  }
  return new Map([
    [BACKEND_MAP.name, backends],
    [SERVICE_MAP.name, services],
    [IPCACHE_MAP.name, addresses],
  ]);
}

/** Milliseconds to load the objects and write the entries. */
async function floorOf(maps: Maps, pinDirectory: string): Promise<number> {
  const fromMs = systemClock.nowMs();
  const kernel = createLibbpfKernel({ clock: systemClock });
  const capacities = Object.fromEntries([...maps.keys()].map((name) => [name, CAPACITY]));
  for (const { file, maps: layouts, ...object } of [SOCK_LB_OBJECT, ENDPOINT_OBJECT]) {
    const loaded = await kernel.load({
      ...object,
      objectPath: join(OBJECTS, file),
      pinDirectory,
      layoutVersion: LAYOUT_VERSION,
      layouts,
      maxEntries: capacities,
    });
    for (const [name, entries] of maps) {
      const keys = Buffer.concat(entries.map(([key]) => key));
      const values = Buffer.concat(entries.map(([, value]) => value));
      if (file === ENDPOINT_OBJECT.file) await loaded.maps.get(name)?.update({ count: entries.length, keys, values });
    }
    loaded.close();
  }
  return systemClock.nowMs() - fromMs;
}

interface Places {
  readonly run: string;
  readonly pins: string;
  readonly cgroup: string;
  readonly netns: string;
  readonly etcdConfig: string;
}

async function subjectOf(maps: Maps, { run, pins, cgroup, netns, etcdConfig }: Places) {
  const directory = join(run, "snapshots");
  mkdirSync(directory, { recursive: true });
  const store = new SnapshotStore({ disk: systemDisk, directory, cluster: CLUSTER, node: NODE, clock: systemClock });
  await store.save([...maps].map(([map, entries]) => ({ map, count: entries.length, entries })));
  await store.settled();
  assert.deepEqual(store.problems(), []);
  const argv = inNetns(
    netns,
    process.execPath,
    BULKHEAD,
    "agent",
    ...flagsOf({ run, pins, cgroup, directory, etcdConfig }),
  );
  const fromMs = systemClock.nowMs();
  const agent = spawn(argv[0], argv.slice(1), { stdio: ["ignore", "ignore", "inherit"] });
  try {
    const socket = join(run, CLUSTER, `agent-${NODE}.sock`);
    const status = await until("the agent is ready", async () => {
      const found = (await askSocket(socket, "/v1/status", GOAL_MS).catch(() => undefined)) as AgentStatus | undefined;
      return found?.readiness.ready ? found : undefined;
    });
    const tookMs = systemClock.nowMs() - fromMs;
    assert.match(status.readiness.detail, /from snapshot/);
    // And a few of what the node itself sees.
    assert(status.written >= ENTRIES, `${status.written} entries were written`);
    return { tookMs, costs: costsOf(status.pid) };
  } finally {
    agent.kill("SIGKILL");
    await once(agent, "exit");
  }
}

function flagsOf(places: Readonly<Record<"run" | "pins" | "cgroup" | "directory" | "etcdConfig", string>>): string[] {
  const settings = {
    cluster: CLUSTER,
    "cluster-id": 1,
    node: NODE,
    objects: OBJECTS,
    "etcd-config": places.etcdConfig,
    "run-dir": places.run,
    "bpf-dir": places.pins,
    cgroup: places.cgroup,
    "snapshot-dir": places.directory,
    "services-max": CAPACITY,
    "backends-max": CAPACITY,
    "ipcache-max": CAPACITY,
    "log-level": "error",
  };
  return Object.entries(settings).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
}

export async function coldStart(json: boolean): Promise<void> {
  const stage = new BenchStage();
  const mount = cgroup2Mount(readFileSync("/proc/self/mounts", "utf8")) ?? assert.fail("no cgroup2 on this machine");
  const cgroup = join(mount, `bulkhead-bench-${process.pid}`);
  mkdirSync(cgroup);
  try {
    const maps = mapsOf();
    const etcdConfig = join(stage.folder, "etcd.yaml");
    writeFileSync(etcdConfig, `endpoints:\n- http://127.0.0.1:${await freePort()}\n`);
    const rounds: { readonly floorMs: number; readonly tookMs: number; readonly costs: Costs }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const floorMs = await floorOf(maps, `${stage.pins}-floor-${round}`);
      const places = {
        run: join(stage.folder, `run-${round}`),
        pins: `${stage.pins}-${round}`,
        cgroup,
        netns: stage.node,
      };
      rounds.push({ floorMs, ...(await subjectOf(maps, { ...places, etcdConfig })) });
    }
    const value = median(rounds.map(({ tookMs }) => tookMs));
    const floor = median(rounds.map(({ floorMs }) => floorMs));
    const costs = rounds.at(-1)?.costs ?? assert.fail("no round");
    const beside = { entries: ENTRIES };
    const goal = `value<=${GOAL_MS}`;
    printFigures(
      { id: "COLD", unit: "ms", value, floor, ratio: value / floor, goal, reached: value <= GOAL_MS, costs, beside },
      json,
    );
  } finally {
    stage.close();
    rmdirSync(cgroup);
  }
}
