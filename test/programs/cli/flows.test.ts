import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { FLOWS_PATH, Flows } from "../../../src/flows/flows.ts";
import type { FlowEvent } from "../../../src/maps/flow-map.ts";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { Metrics } from "../../../src/runtime/metrics.ts";
import type { Served } from "../../../src/serve/serve.ts";
import { FakeRing, names, refused } from "../../flows/stage.ts";
import { agent } from "../../report/status-examples.ts";
import { bulkhead, COMMAND, program } from "./command.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-flows-"));
});
after(() => rm(folder, { recursive: true }));

const BOOT_WALL_MS = systemClock.wallMs();

/** An agent's flows room behind an admin socket. */
async function fakeAgent(t: TestContext, runDir: string, cluster: string, node: string) {
  const ring = new FakeRing();
  const flows = new Flows({
    ring,
    names,
    clock: systemClock,
    metrics: new Metrics(),
    flowsKept: 1_000,
    cluster,
    node,
    bootWallMs: () => BOOT_WALL_MS,
    onUnknown: () => {},
  });
  const streams = new Map([[FLOWS_PATH, flows.stream.bind(flows)]]);
  const served: Served = await program(runDir, `${cluster}/agent-${node}.sock`, agent(node), { streams });
  const report = (...events: readonly FlowEvent[]): void => {
    ring.put(...events);
    flows.drain();
  };
  const close = (): Promise<void> => served.close();
  t.after(close);
  return { report, close };
}

/** At `ms` past BOOT_WALL_MS. */
const at = (ms: number, change: Partial<FlowEvent> = {}) => refused({ timeNs: BigInt(ms) * 1_000_000n, ...change });

/** A command that goes on, and the lines it has printed. */
function running(
  t: TestContext,
  ...args: readonly string[]
): { child: ChildProcess; lines: string[]; errors: string[] } {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const [lines, errors]: [string[], string[]] = [[], []];
  child.stdout.on("data", (text: Buffer) => lines.push(...text.toString().split("\n").slice(0, -1)));
  child.stderr.on("data", (text: Buffer) => errors.push(...text.toString().split("\n").slice(0, -1)));
  return { child, lines, errors };
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !holds(); waited += 20) {
    assert(waited < 10_000, `10 s without: ${what}`);
    await sleep(systemClock, 20);
  }
}

test("the last flows of all agents, in order of time, as text and as JSON lines", async (t) => {
  const runDir = join(folder, "last");
  const osaka = await fakeAgent(t, runDir, "osaka", "osaka-1");
  const amsterdam = await fakeAgent(t, runDir, "amsterdam", "amsterdam-1");
  osaka.report(...Array.from({ length: 15 }, (_, index) => at(index * 10, { bytes: index * 2 })));
  amsterdam.report(...Array.from({ length: 15 }, (_, index) => at(index * 10 + 5, { bytes: index * 2 + 1 })));
  const { out, code } = await bulkhead("flows", "--run-dir", runDir);
  assert.equal(code, 0);
  const lines = out.trimEnd().split("\n");
  assert.equal(lines.length, 20);
  assert.match(
    lines[0] ?? "",
    /dropped policy-denied: amsterdam\/demo\/scraper 10\.1\.1\.12:41234 \(65540 app=scraper\)/,
  );
  const { out: json } = await bulkhead("flows", "--run-dir", runDir, "--json", "--last", "4");
  const bytes = json
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).bytes);
  assert.deepEqual(bytes, [26, 27, 28, 29]);
});

test("filters choose among all that is kept, not among the last", async (t) => {
  const runDir = join(folder, "filters");
  const osaka = await fakeAgent(t, runDir, "osaka", "osaka-1");
  const old = at(0, { verdict: 1, reason: 0, rule: 99, bytes: 7 });
  osaka.report(old, ...Array.from({ length: 50 }, () => at(5)));
  const shown = async (...filters: readonly string[]) => {
    const { out, code } = await bulkhead("flows", "--run-dir", runDir, "--json", ...filters);
    assert.equal(code, 0);
    return out.split("\n").filter((line) => line !== "").length;
  };
  assert.equal(await shown("--verdict", "allowed", "--from", "cluster:amsterdam", "--to", "app=ledger"), 1);
  assert.equal(await shown("--reason", "policy-denied", "--port", "8080", "--protocol", "tcp", "--last", "30"), 30);
  assert.equal(await shown("--from", "10.9.0.0/16"), 0);
  for (const bad of [
    ["--verdict", "perhaps"],
    ["--from", "ledger"],
    ["--port", "http"],
    ["--last", "-1"],
    ["--protocol", "quic"],
    ["--protocol", "256"],
  ]) {
    const { code, err } = await bulkhead("flows", "--run-dir", runDir, ...bad);
    assert.equal(code, 2, bad.join(" "));
    assert.match(err, /^error: option/);
    assert.equal(err.trimEnd().split("\n").length, 1, err);
  }
});

/** Reports a flow, another one each time, until one is printed. */
async function reportUntilSeen(report: (bytes: number) => void, isSeen: () => boolean, first: number): Promise<void> {
  for (let bytes = first; !isSeen(); bytes++) {
    assert(bytes < first + 100, "10 s without a flow");
    report(bytes);
    await sleep(systemClock, 100);
  }
}

test("follow merges agents, survives a restart without losing what came meanwhile, and Ctrl-C ends it well", async (t) => {
  const runDir = join(folder, "follow");
  const osaka = await fakeAgent(t, runDir, "osaka", "osaka-1");
  const amsterdam = await fakeAgent(t, runDir, "amsterdam", "amsterdam-1");
  osaka.report(at(0, { bytes: 1 }));
  const { child, lines, errors } = running(t, "flows", "--follow", "--json", "--run-dir", runDir);
  const bytes = (): readonly number[] => lines.map((line) => JSON.parse(line).bytes);
  const seen = (least: number) => () => bytes().some((one) => one >= least);
  await reportUntilSeen((one) => osaka.report(at(0, { bytes: one })), seen(100), 100);
  assert(!bytes().includes(1), "without --last nothing of the past");
  await reportUntilSeen((one) => amsterdam.report(at(0, { bytes: one })), seen(200), 200);
  await osaka.close();
  const told = () => errors.some((line) => line.includes("osaka-1.sock") && line.includes("trying again"));
  await until(told, "a word about it");
  const restarted = await fakeAgent(t, runDir, "osaka", "osaka-1");
  restarted.report(at(1, { bytes: 300 }));
  await until(seen(300), "the flow that came while nobody listened");
  const late = await fakeAgent(t, runDir, "osaka", "osaka-2");
  await reportUntilSeen((one) => late.report(at(1, { bytes: one })), seen(400), 400);
  assert.equal(new Set(bytes()).size, bytes().length, "nothing twice");
  child.kill("SIGINT");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("a reader that goes ends the command well", async (t) => {
  const runDir = join(folder, "pipe");
  const osaka = await fakeAgent(t, runDir, "osaka", "osaka-1");
  const { child, lines } = running(t, "flows", "--follow", "--run-dir", runDir);
  await reportUntilSeen(
    () => osaka.report(at(0)),
    () => lines.length > 0,
    0,
  );
  child.stdout?.destroy();
  const exited = once(child, "exit");
  const pump = setInterval(() => osaka.report(at(0)), 20);
  t.after(() => clearInterval(pump));
  assert.deepEqual(await exited, [0, null]);
});
