import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connectNats } from "../../../src/bus/nats.ts";
import { systemDisk } from "../../../src/disk/system.ts";
import { MemoryDocker } from "../../../src/docker/memory.ts";
import { DRILLS_PATH, type DrillReport, FAULTS_PATH, PROBE_PATH, UNDO_PATH } from "../../../src/model/drill.ts";
import type { DrilldStatus } from "../../../src/model/status.ts";
import { runDrilld } from "../../../src/programs/drilld/assemble.ts";
import { type DrilldSettings, drilldSettings } from "../../../src/programs/drilld/settings.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { askSocket, followSocket, tellSocket } from "../../../src/serve/ask.ts";
import { ALLOW_LIST, RecordingHands } from "../../drill/stage.ts";

const WITHIN_MS = 20_000;
const FREEZE = { run: "r1", fault: "freeze", target: "etcd", undoAfterMs: 60_000, dryRun: false };

let folder: string;
let socket: string;
const hands = new RecordingHands();
const docker = new MemoryDocker();
const stop = new AbortController();
let running: Promise<void>;

function settings(): DrilldSettings {
  const flags = [
    "--cluster",
    "osaka",
    "--run-dir",
    folder,
    "--state-dir",
    join(folder, "state"),
    "--log-level",
    "silent",
  ];
  return readSettings("drilld", drilldSettings, [...flags, "--allow-list", join(folder, "allow.json")]);
}

function start(): Promise<void> {
  const outside = { disk: systemDisk, connectBus: connectNats, docker: () => docker, hands };
  const doors = { clock: systemClock, random: systemRandom, ...outside };
  return runDrilld(settings(), doors, stop.signal);
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-drilld-"));
  socket = join(folder, "osaka", "drilld.sock");
  await assert.rejects(start(), /^UserError: --allow-list .*ENOENT/);
  const inContainer = { ...ALLOW_LIST, probes: [{ name: "client", container: "job=client" }] };
  writeFileSync(join(folder, "allow.json"), JSON.stringify(inContainer), { mode: 0o600 });
  await assert.rejects(start(), /^UserError: --allow-list .* names containers; give --docker-socket$/);
  writeFileSync(join(folder, "allow.json"), JSON.stringify(ALLOW_LIST));
  running = start();
  for (let tries = 0; ; tries++) {
    const answered = await status().catch(() => undefined);
    if (answered) return;
    assert(tries < 1_000, "drilld does not answer");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

after(() => rmSync(folder, { recursive: true }));

const status = async () => (await askSocket(socket, "/v1/status", WITHIN_MS)) as DrilldStatus;
const tell = (path: string, body: unknown): Promise<unknown> => tellSocket(socket, path, body, WITHIN_MS);

test("its socket does faults and undoes them, and its status says what lasts", async () => {
  await tell(FAULTS_PATH, FREEZE);
  assert.deepEqual((await status()).lasting, [{ run: "r1", what: "freeze of etcd" }]);
  assert.deepEqual((await status()).targets["port"], ["blackhole"]);
  await tell(UNDO_PATH, { run: "r1" });
  assert.deepEqual((await status()).lasting, []);
  assert.equal(hands.done.length, 2);
});

test("what is malformed is refused with a reason", async () => {
  await assert.rejects(tell(FAULTS_PATH, { ...FREEZE, run: "../r1" }), /body\.run: must be a run: a-z, 0-9 and '-'/);
  await assert.rejects(tell(FAULTS_PATH, { ...FREEZE, fault: "explode" }), /body\.fault: /);
  await assert.rejects(tell(FAULTS_PATH, { ...FREEZE, force: true }), /Unrecognized key: "force"/);
  await assert.rejects(tell(FAULTS_PATH, { ...FREEZE, target: "nats" }), /not on the allow-list/);
  assert.equal(hands.done.length, 2);
});

test("probes are sent from places of the list, to an address, at a bounded rate", async () => {
  const probe = async (query: Readonly<Record<string, string>>): Promise<void> => {
    for await (const _ of followSocket(socket, PROBE_PATH, WITHIN_MS, query, new AbortController().signal)) return;
  };
  const good = { place: "client", address: "127.0.0.1", port: "80", rate: "1" };
  await assert.rejects(
    probe({ ...good, place: "node" }),
    /place node is not on the allow-list of this drilld; on it: client/,
  );
  await assert.rejects(probe({ ...good, address: "a host" }), /address and port must be those of a service/);
  await assert.rejects(probe({ ...good, rate: "5000" }), /rate must be a number from 1 to 1000/);
});

test("reports are kept and given out; what is no report is refused", async () => {
  const ended: DrillReport = {
    ...{ version: 1, drill: "kill-remote", run: "r1", hypothesis: "x", cluster: "osaka", verdict: "passed" },
    ...{ startedAt: "2026-01-01T00:00:00.000Z", tookMs: 1, failOverMs: 0, checks: [] },
    ...{ connections: { made: 1, failed: 0, failures: {} }, entries: { before: 1, least: 1 } },
  };
  await tell(DRILLS_PATH, { begun: { drill: "kill-remote", run: "r1", hypothesis: "x" } });
  await tell(DRILLS_PATH, { ended });
  assert.deepEqual(await askSocket(socket, DRILLS_PATH, WITHIN_MS), [ended]);
  await assert.rejects(tell(DRILLS_PATH, { ended: { ...ended, verdict: "good" } }), /body\.ended\.verdict: /);
});

test("when it ends nothing of its doing lasts", async () => {
  await tell(FAULTS_PATH, FREEZE);
  stop.abort();
  await running;
  assert.match(hands.done.at(-1) ?? "", /^send SIGCONT/);
});
