/** A mesh that is up: bad input and half-dead peers are that one's problem alone. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { command, inNetns } from "../deploy/lab/command.ts";
import { etcdctl, keysBelow, mirrorOf } from "../deploy/lab/etcd.ts";
import { Lab, waitFor } from "../deploy/lab/lab.ts";
import { NATS_ID } from "../deploy/lab/nats.ts";
import { clusterPlan, type LabPlan } from "../deploy/lab/plan.ts";
import { agentStatus, etcdId, exporterStatus, meshEvents, mirrorStatus, startNats } from "../deploy/lab/programs.ts";
import { PORTS } from "../deploy/lab/settings.ts";
import { expectNoFailure, expectShares, expectUnchanged } from "../deploy/lab/tour/expect.ts";
import { burst, newTour, serviceTarget, type Tour } from "../deploy/lab/tour/tour.ts";
import type { RemoteStatus } from "../src/model/status.ts";
import { mesh, plan, standing } from "./mesh.ts";
import { pageOnMesh } from "./page-mesh.ts";

const NAME = "e2e-running";
const WITHIN_MS = 30_000;
let lab: LabPlan;
let tour: Tour;
let printed = "";

standing(NAME, (out) => {
  printed = out;
  lab = plan(NAME);
  tour = newTour(Lab.open(lab, "up"));
});

async function everyoneAnswers(): Promise<void> {
  const result = await burst(tour, tour.amsterdam, serviceTarget("amsterdam", "hello", "v4"), 300);
  expectNoFailure("300 calls", result);
  expectShares("300 calls", result, ["amsterdam", "osaka", "virginia"], 0.15);
}

async function remote(cluster: string, name: string): Promise<RemoteStatus | undefined> {
  return (await mirrorStatus(clusterPlan(lab, cluster)))?.remotes.find((status) => status.name === name);
}

test("a second start says that it is up already", async () => {
  const { code, err } = await mesh(NAME, ["up"]);
  assert.equal(code, 2);
  assert.match(err, /^mesh: .*is up already; .*down --name e2e-running.*\n$/);
  await everyoneAnswers();
});

test("a pod's command line, by `exec`: curl reaches every cluster", async () => {
  const { address } = serviceTarget("amsterdam", "hello", "v4");
  const seen = new Set<string>();
  for (let call = 0; call < 40 && seen.size < 3; call++) {
    const { code, out, err } = await mesh(NAME, ["exec", "amsterdam/client", "curl", "-sm2", `http://${address}/`]);
    assert.equal(code, 0, err);
    seen.add(out.split("/", 1)[0] ?? "");
  }
  assert.deepEqual([...seen].sort(), ["amsterdam", "osaka", "virginia"]);
});

test("every program answers probes and gives metrics", async () => {
  for (const { nodes } of lab.clusters) {
    for (const node of nodes) {
      const programs = node === nodes[0] ? Object.keys(PORTS) : ["agent"];
      for (const [program, port] of Object.entries(PORTS).filter(([name]) => programs.includes(name))) {
        const get = (path: string): Promise<string> =>
          command(inNetns(node.netns, ["curl", "-sfm5", `http://127.0.0.1:${port}${path}`]));
        assert.deepEqual(JSON.parse(await get("/healthz")), { healthy: true }, program);
        assert.equal((JSON.parse(await get("/readyz")) as { ready: boolean }).ready, true, program);
        assert.match(await get("/metrics"), /^bulkhead_\w+.* \d/m, program);
      }
    }
  }
});

test("every program tells the mesh what happens; NATS killed disturbs nobody, and nothing is lost", async () => {
  const whole = Lab.open(lab, "up");
  const told = async (): Promise<readonly string[]> => {
    const events = await meshEvents(lab);
    return events.map(({ cluster, program, instance, line }) => `${cluster}/${program}/${instance} ${line}`);
  };
  const lines = await told();
  for (const cluster of lab.clusters) {
    for (const { name } of cluster.nodes) assert(lines.includes(`${cluster.name}/agent/${name} agent started`), name);
    for (const program of ["exporter", "kvstoremesh"])
      for (const what of ["started", "leads"])
        assert(
          lines.some((line) => line.startsWith(`${cluster.name}/${program}/`) && line.endsWith(what)),
          program,
        );
  }
  const file = join(tour.amsterdam.manifests, "told.yaml");
  const events = async () => (await exporterStatus(tour.amsterdam))?.events;
  await whole.kill(NATS_ID);
  writeFileSync(file, "kind: [\n");
  await waitFor("it is told and waits", WITHIN_MS, async () => ((await events())?.waiting ? true : undefined));
  await everyoneAnswers();
  assert.equal((await remote("amsterdam", "osaka"))?.grade, "fresh");
  startNats(whole);
  await waitFor("nothing waits", WITHIN_MS, async () => ((await events())?.waiting === 0 ? true : undefined));
  rmSync(file);
  assert.equal((await events())?.lost, 0);
  assert((await told()).some((line) => /^amsterdam\/exporter\/.*told\.yaml/.test(line)));
  assert((await told()).includes("amsterdam/agent/amsterdam-1 agent started"), "what it had it has");
});

test("a bad manifest is refused alone: its last good state stays, and the status names it", async () => {
  const { amsterdam } = tour;
  const file = join(amsterdam.manifests, "pod.demo.hello-1.yaml");
  const good = readFileSync(file, "utf8");
  const service = "cilium/state/services/v1/amsterdam/demo/hello";
  const before = await keysBelow(amsterdam, service);
  try {
    writeFileSync(file, good.replace("kind: Pod", "kind: [Pod"));
    const problems = await waitFor("the exporter complains", WITHIN_MS, async () => {
      const found = (await exporterStatus(amsterdam))?.problems ?? [];
      return found.some((line) => line.includes("pod.demo.hello-1.yaml")) ? found : undefined;
    });
    assert.equal(problems.length, 1, problems.join("\n"));
    expectUnchanged("the service", before, await keysBelow(amsterdam, service));
    await everyoneAnswers();
  } finally {
    writeFileSync(file, good);
  }
  await waitFor("the complaint is gone", WITHIN_MS, async () =>
    (await exporterStatus(amsterdam))?.problems.length === 0 ? true : undefined,
  );
});

const OSAKA = "endpoints:\n  - http://172.16.2.1:2379\n";

for (const { what, name, text, config, complaint } of [
  { what: "bad YAML", name: "tokyo", text: "endpoints: [http://172.16.2.1:2379\n", complaint: /tokyo:\d+: bad YAML/ },
  { what: "a name that no cluster can have", name: "Tokyo!", text: OSAKA, complaint: /Tokyo!: .*rename the file/ },
  { what: "another cluster's etcd", name: "tokyo", text: OSAKA, complaint: /no cilium\/cluster-config\/tokyo/ },
  {
    what: "an id that osaka has",
    name: "tokyo",
    text: OSAKA,
    config: '{"id":2}',
    complaint: /id 2, which osaka holds/,
  },
  { what: "our own id", name: "tokyo", text: OSAKA, config: '{"id":1}', complaint: /id 1/ },
]) {
  test(`a bad remote is refused alone: ${what}`, async () => {
    const { amsterdam, osaka } = tour;
    const file = join(amsterdam.remotes, name);
    const before = await mirrorOf(amsterdam, "osaka");
    try {
      if (config !== undefined) await etcdctl(osaka, ["put", `cilium/cluster-config/${name}`, config]);
      writeFileSync(file, text);
      const line = await waitFor("the mirror says why", WITHIN_MS, async () => {
        const status = await mirrorStatus(amsterdam);
        const lines = [...(status?.problems ?? []), (await remote("amsterdam", name))?.lastError ?? ""];
        return lines.find((candidate) => complaint.test(candidate));
      });
      assert.ok(!line.includes("\n"), line);
      assert.notEqual((await remote("amsterdam", name))?.synced, true);
      assert.equal((await remote("amsterdam", "osaka"))?.synced, true);
      assert.equal((await remote("amsterdam", "virginia"))?.synced, true);
      expectUnchanged("osaka's keys in amsterdam", before, await mirrorOf(amsterdam, "osaka"));
      assert.deepEqual(await mirrorOf(amsterdam, name), []);
      await everyoneAnswers();
    } finally {
      rmSync(file, { force: true });
      await etcdctl(osaka, ["del", `cilium/cluster-config/${name}`]);
    }
  });
}

test("an etcd that hangs (SIGSTOP): the breaker opens, nothing is lost, and it is followed again (SIGCONT)", async () => {
  const { osaka, amsterdam, virginia } = tour;
  const others = [amsterdam, virginia];
  const before = await Promise.all(others.map((cluster) => mirrorOf(cluster, "osaka")));
  const { pid } = tour.lab.process(etcdId(osaka));
  process.kill(pid, "SIGSTOP");
  try {
    for (const { name } of others) {
      await waitFor(`${name}'s breaker opens`, 2 * WITHIN_MS, async () =>
        (await remote(name, "osaka"))?.breaker === "open" ? true : undefined,
      );
    }
    await everyoneAnswers();
    for (const [index, cluster] of others.entries()) {
      expectUnchanged("osaka's keys", before[index] ?? [], await mirrorOf(cluster, "osaka"));
    }
  } finally {
    process.kill(pid, "SIGCONT");
  }
  for (const { name } of others) {
    await waitFor(`${name} is in touch again`, 2 * WITHIN_MS, async () => {
      const status = await remote(name, "osaka");
      return status?.synced && status.breaker === "closed" && status.grade === "fresh" ? true : undefined;
    });
  }
});

test("the own etcd is gone: every agent of the cluster keeps serving what it knows", async () => {
  const { amsterdam } = tour;
  await tour.lab.kill(etcdId(amsterdam));
  for (const node of amsterdam.nodes) {
    await waitFor(`the agent of ${node.name} notices`, WITHIN_MS, async () =>
      (await agentStatus(amsterdam, node))?.connected === false ? true : undefined,
    );
  }
  await everyoneAnswers();
  const { code } = await mesh(NAME, ["start", "amsterdam"]);
  assert.equal(code, 0);
  for (const node of amsterdam.nodes) assert.equal((await agentStatus(amsterdam, node))?.connected, true);
  await everyoneAnswers();
});

// A lab takes long to start: the page is looked at on this one.
describe("the status page", () => pageOnMesh(() => ({ lab, out: printed })));
