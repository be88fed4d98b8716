/** Drills of containers, on the mesh of docker-compose.yml, by the commands of README.md. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { command } from "../../deploy/lab/command.ts";
import { waitFor } from "../../deploy/lab/lab.ts";
import type { DrillReport } from "../../src/model/drill.ts";
import type { DrilldStatus } from "../../src/model/status.ts";
import { drillReportText } from "../../src/report/drills.ts";
import { duration } from "../../src/report/text.ts";
import { firstState } from "../../test/support/first-state.ts";
import {
  build,
  CLUSTERS,
  type Cluster,
  compose,
  composeVersion2,
  containerOf,
  down,
  ENV,
  eventually,
  inside,
  notRun,
  readStatuses,
  up,
} from "../compose.ts";
import { allHealthy, howTheyRun, kill, start, stateOf } from "../containers.ts";

const WITHIN_MS = 90_000;
const DRILL_TIMEOUT_MS = 180_000;

const reason = notRun();
function inContainers(name: string, body: () => Promise<void>): void {
  test(name, { skip: reason ?? false }, body);
}

before(async () => {
  if (reason !== undefined) return;
  await composeVersion2();
  await down();
  await build();
  await up("drills");
  await compose("up", "--no-start", "osaka-standby");
  await allHealthy();
  for (const cluster of CLUSTERS) {
    await eventually(cluster, "its calls are answered", ({ answers }) => Object.keys(answers).length > 0);
  }
});
after(() => (reason === undefined ? down() : undefined));

/** In the container of a cluster's drilld; 1: it did not pass, 3: it was not begun. */
async function drill(cluster: Cluster, ...words: readonly string[]): Promise<string> {
  const argv = ["docker", "exec", await containerOf(`${cluster}-drilld`), "bulkhead", "drill", ...words];
  return await command(argv, { codes: [0, 1, 3], timeoutMs: DRILL_TIMEOUT_MS });
}

async function rehearsed(cluster: Cluster, name: string): Promise<DrillReport> {
  return JSON.parse(await drill(cluster, "run", name, "--json")) as DrillReport;
}

async function lasting(cluster: Cluster): Promise<DrilldStatus["lasting"]> {
  const statuses = readStatuses(await inside(`${cluster}-drilld`, ["bulkhead", "status", "--json"], [0, 3]));
  const found = statuses.find((status): status is DrilldStatus => {
    return status.program === "drilld" && status.cluster === cluster;
  });
  return found?.lasting ?? assert.fail("drilld does not answer");
}

for (const [name, cluster, job, sees] of [
  ["kill-remote", "osaka", "etcd", true],
  ["freeze-remote", "osaka", "etcd", true],
  ["blackhole", "osaka", "etcd", true],
  ["kill-mirror", "amsterdam", "kvstoremesh", false],
  ["wipe", "osaka", "etcd", true],
  ["restore-old", "osaka", "etcd", true],
  ["quota", "osaka", "etcd", true],
  ["flap-link", "osaka", "etcd", false],
  ["split-brain", "osaka", "kvstoremesh", true],
  ["drain", "osaka", "exporter", true],
] as const) {
  inContainers(`drill ${name} of containers`, async () => {
    const report = await rehearsed(cluster, name);
    const { verdict, connections, entries, detectMs, convergeMs = 0, tookMs } = report;
    const seen = detectMs === undefined ? "" : `seen after ${duration(detectMs)}, `;
    const line = `${connections.made} connections made, ${connections.failed} failed, ${seen}converged after ${duration(convergeMs)}`;
    process.stdout.write(`drill ${name.padEnd(14)} ${verdict} in containers: ${line}, ${duration(tookMs)}\n`);
    assert.equal(verdict, "passed", drillReportText(report));
    assert.equal(detectMs !== undefined, sees);
    assert.equal(connections.failed, 0);
    assert.ok(entries.before > 0 && entries.least === entries.before);
    assert.equal(await stateOf(`${cluster}-${job}`), "running");
    assert.deepEqual(await lasting(cluster), []);
    assert.deepEqual(await inside(`${cluster}-drilld`, ["ls", "/etcd"]), "backup\netcd\n", "nothing lies aside");
  });
}

inContainers("the second mirror is there for its drill alone", async () => {
  assert.equal(await stateOf("osaka-standby"), "exited");
});

inContainers("the mesh hears of drills, and the page shows them", async () => {
  const told = await inside("osaka-drilld", ["bulkhead", "events", "--since", "10m", "--kind", "drill"]);
  assert.match(told, /drill freeze-remote passed/);
  await waitFor("the page has the drills", WITHIN_MS, async () => {
    const open = await fetch(`http://${ENV.BULKHEAD_PAGE}/v1/page`);
    const { events, clusters } = await firstState(open.body ?? assert.fail());
    const lines = events.drills.map(({ line }) => line);
    const programs = clusters.find(({ name }) => name === "osaka")?.programs.map((program) => program.name) ?? [];
    return lines.includes("drill blackhole passed") && programs.includes("drilld") ? true : undefined;
  });
});

inContainers("by Compose: a dry run prints what is done to which container, and does nothing", async () => {
  assert.match(await drill("osaka", "list"), /kill-remote/);
  const dry = await compose("exec", "-T", "osaka-drilld", "bulkhead", "drill", "run", "kill-remote", "--dry-run");
  assert.match(dry, /kill the container that carries com\.docker\.compose\.service=osaka-etcd/);
  assert.match(dry, /start the container that carries com\.docker\.compose\.service=osaka-etcd/);
  assert.equal(await stateOf("osaka-etcd"), "running");
});

inContainers("drilld is not privileged, and is there for every cluster", async () => {
  const runs = await howTheyRun();
  for (const cluster of CLUSTERS) {
    const root = { user: "root", privileged: false, capabilities: ["DAC_OVERRIDE", "CHOWN", "FOWNER"] };
    assert.deepEqual(runs.get(`${cluster}-drilld`), root, cluster);
  }
});

inContainers("what is not on the allow-list is refused", async () => {
  const { verdict, reason: why } = await rehearsed("amsterdam", "kill-agents");
  assert.equal(verdict, "aborted");
  assert.match(why ?? "", /target agent-1 is not on the allow-list of this drilld; on it: etcd, etcd-port, link, /);
  assert.equal(await stateOf("amsterdam-agent"), "running");
});

inContainers("drilld is killed under a fault, and undoes it when it is there again", async () => {
  // It runs in the container that is killed, and ends with it.
  const broken = drill("osaka", "run", "freeze-remote").catch((error: unknown) => error);
  await waitFor("osaka's etcd is frozen", WITHIN_MS, async () => {
    return (await stateOf("osaka-etcd")) === "paused" ? true : undefined;
  });
  await kill("osaka-drilld");
  await broken;
  assert.equal(await stateOf("osaka-etcd"), "paused", "nobody undoes while no drilld runs");
  await start("osaka-drilld");
  await waitFor("osaka's etcd goes on", WITHIN_MS, async () => {
    return (await stateOf("osaka-etcd")) === "running" ? true : undefined;
  });
  await waitFor("nothing lasts", WITHIN_MS, async () => {
    const left = await lasting("osaka").catch(() => undefined);
    return left?.length === 0 ? true : undefined;
  });
});
