/** Drain and return as an operator meets them: the whole exporter on one side, the command on the other. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MemoryNats } from "../../../src/bus/memory.ts";
import { memoryDisk } from "../../../src/disk/memory.ts";
import { systemDisk } from "../../../src/disk/system.ts";
import { MemoryDocker } from "../../../src/docker/memory.ts";
import { handsOf } from "../../../src/drill/containers.ts";
import { FileGateway } from "../../../src/drill/etcd-gateway.ts";
import { SystemHands } from "../../../src/drill/hands.ts";
import { operationText, planFault } from "../../../src/drill/operations.ts";
import { MemoryEtcd } from "../../../src/kv/memory.ts";
import { runExporter } from "../../../src/programs/exporter/assemble.ts";
import { exporterSettings } from "../../../src/programs/exporter/settings.ts";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { drainKey } from "../../../src/wire/keys.ts";
import { BILLING } from "../../export/scene.ts";
import { memoryKube } from "../../support/kube-objects.ts";
import { bulkhead, type Ran } from "./command.ts";

let folder: string;
let running: Promise<void>;
const stop = new AbortController();
const etcd = new MemoryEtcd({ clock: systemClock });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-drain-"));
  const flags = {
    cluster: "osaka",
    "cluster-id": "7",
    manifests: "/m",
    "etcd-config": "/etc/local.yaml",
    "run-dir": folder,
    "log-level": "silent",
  };
  const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  const doors = {
    clock: systemClock,
    random: systemRandom,
    disk: memoryDisk({ ...BILLING, "/etc/local.yaml": "endpoints:\n- http://osaka:2379\n" }),
    connect: () => etcd.client(),
    docker: () => new MemoryDocker(),
    connectKube: async () => memoryKube(),
    connectBus: () => new MemoryNats(systemClock).client(),
  };
  running = runExporter(readSettings("exporter", exporterSettings, argv), doors, stop.signal);
  for (let round = 0; etcd.entries("cilium/synced/").length < 11; round++) {
    assert(round < 400, "the exporter is synced within 20 s");
    await sleep(systemClock, 50);
  }
});

after(async () => {
  stop.abort();
  await running;
  // Its lease would keep this process alive.
  etcd.wipe();
  await rm(folder, { recursive: true });
});

const run = (...args: readonly string[]): Promise<Ran> => bulkhead(...args, "--run-dir", folder);
const AT = "0 of its backends are used by 0 of 0 nodes here";

test("a drain prints its steps and how to undo it; the return brings all back", async () => {
  const { code, out, err } = await run("drain", "osaka", "--over", "2s");
  assert.deepEqual([code, err], [0, ""]);
  const lines = out.trim().split("\n");
  assert.equal(lines[0], `osaka: weight 100 of 100, on its way to 0   ${AT}`);
  assert.deepEqual(lines.slice(-2), [
    `osaka: weight 0 of 100   ${AT}`,
    "new connections go elsewhere where there is an elsewhere, established ones stay; `bulkhead return osaka` brings them back",
  ]);
  const status = await run("status");
  assert.match(status.out, /^ {4}osaka: weight 0 of 100$/m);
  const back = await run("return", "osaka");
  assert.deepEqual(back, {
    code: 0,
    out: `osaka: weight 100 of 100   ${AT}\nback at full weight; \`bulkhead drain osaka\` drains again\n`,
    err: "",
  });
  assert.equal(etcd.entries(drainKey("osaka")).length, 0);
});

test("--no-wait returns at once, it goes on by itself; a service by name, some weight, as JSON", async () => {
  const name = "billing/ledger";
  const ordered = await run("drain", "osaka", "--service", name, "--over", "10m", "--no-wait");
  assert.equal(ordered.out, `${name} of osaka: weight 100 of 100, on its way to 0   ${AT}\n`);
  const { out } = await run("drain", "osaka", "--service", name, "--to", "25", "--json");
  assert.deepEqual(JSON.parse(out), [{ cluster: "osaka", service: name, weight: 25, target: 25 }]);
  assert.equal((await run("return", "osaka", "--service", name)).code, 0);
});

test("a drill drains and returns, either of them twice, and refuses what an operator drained", async () => {
  const hands = handsOf(new SystemHands(systemClock, new FileGateway(systemDisk)), undefined);
  const socket = join(folder, "osaka", "exporter.sock");
  const target = { name: "traffic", faults: ["drain"], exporter: { socket } } as const;
  const { does, undoes } = planFault("drain", target, { id: "drill-1", folder, overMs: 1_000 });
  assert.deepEqual([...does, ...undoes].map(operationText), [
    `refuse, if the cluster of the exporter at ${socket} is drained already`,
    `drain the cluster of the exporter at ${socket} to weight 0 over 1 s`,
    `return the cluster of the exporter at ${socket}`,
  ]);
  for (const operation of does) await hands.carryOut(operation);
  assert.equal(etcd.entries(drainKey("osaka")).length, 1);
  for (const operation of [...undoes, ...undoes]) await hands.carryOut(operation);
  assert.equal(etcd.entries(drainKey("osaka")).length, 0);
  assert.equal((await run("drain", "osaka", "--to", "50")).code, 0);
  const [first] = does;
  assert(first !== undefined);
  await assert.rejects(hands.carryOut(first), /^Error: the cluster is drained already; return it first$/);
  assert.equal((await run("return", "osaka")).code, 0);
  await hands.carryOut(first);
});

for (const [what, args, line] of [
  ["an unknown cluster", ["drain", "oslo"], "oslo: its exporter does not run here, where exporters of these do: osaka"],
  ["an unknown service", ["drain", "osaka", "--service", "a/b"], "exporter of osaka: osaka has no service a/b"],
  ["what is not drained", ["return", "osaka"], "exporter of osaka: osaka is not drained"],
] as const) {
  test(`${what} is one line, and exit code 2`, async () => {
    assert.deepEqual(await run(...args), { code: 2, out: "", err: `bulkhead: ${line}\n` });
  });
}

test("a time that is none is said", async () => {
  const { code, err } = await run("drain", "osaka", "--over", "soon");
  assert.equal(code, 2);
  assert.match(err, /such as 10m/);
});
