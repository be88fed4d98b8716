/** Probes of a node over paths in memory, on a virtual clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import type { ServicePort } from "../../src/model/resource.ts";
import type { PeerGrade, PeersStatus } from "../../src/model/status.ts";
import { type Counts, NO_COUNTS } from "../../src/probe/connections.ts";
import { faultyDialer } from "../../src/probe/faulty-dialer.ts";
import { MemoryDialer } from "../../src/probe/memory-dialer.ts";
import { demotionsOf, Probes } from "../../src/probe/probes.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { readFrontends } from "../lb/entries.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";

const http: readonly ServicePort[] = [{ name: "http", protocol: "TCP", port: 80 }];
const TOKYO = { name: "tokyo", id: 7 };
const ROUND_MS = 5_000;

function stage(remotes: readonly (typeof OSAKA)[] = [OSAKA, VIRGINIA, TOKYO], count = 2) {
  const clock = new VirtualClock();
  const random = seededRandom(5);
  const tables = new AgentTables(OWN);
  const named = { namespace: "shop", name: "web", frontends: new Map([["10.9.0.1", http]]), shared: true };
  tables.putLocalService({ ...named, backends: new Map([["10.2.0.1", http]]), global: true, affinity: "none" });
  for (const cluster of remotes) {
    const backends = new Map(Array.from({ length: count }, (_, host) => [`10.${cluster.id}.1.${host + 1}`, http]));
    const more = { cluster: cluster.name, clusterId: cluster.id, labels: new Map(), selector: new Map() };
    tables.putClusterService(cluster, { ...named, ...more, backends });
  }
  const paths = new MemoryDialer(clock);
  const faults = { lost: 0, untried: 0 };
  const metrics = new Metrics();
  let rounds = 0;
  const counts = new Map<number, Counts>();
  const probes = new Probes({
    ...{ view: tables, node: "n1", dialer: faultyDialer(paths, clock, random, () => faults), clock, random, metrics },
    ...{ probeTargets: 20, probeIntervalMs: ROUND_MS, probeJitterMs: 1_000, probeTimeoutMs: 2_000 },
    ...{ probeConcurrency: 3, probeFailures: 3, probeSuccesses: 3, probeSelfWindowMs: 30_000 },
    connections: async () => new Map(counts),
    probed: () => rounds++,
  });
  const over = new AbortController();
  const running = probes.run(over.signal);
  const grades = new Map<string, PeerGrade>();
  const compiler = new ServiceCompiler(tables);
  const peers = (): PeersStatus => {
    const told = remotes.map(({ name: cluster }) => ({ cluster, grade: grades.get(cluster) ?? ("fresh" as const) }));
    return { controlPlane: "talking", ageMs: 0, remotes: told };
  };
  return {
    ...{ clock, probes, paths, faults, grades, metrics, peers, counts },
    rounds: () => rounds,
    path(cluster: typeof OSAKA, alive: boolean): void {
      for (const host of [1, 2]) paths.set(`10.${cluster.id}.1.${host}:80`, alive ? "refused" : "silent");
    },
    decisions: () => probes.status(peers()).remotes.map(({ cluster, decision }) => `${cluster} ${decision}`),
    /** Clusters by id that the service uses now. */
    used(): string {
      compiler.update(tables.takeChanges(), demotionsOf(probes.status(peers())));
      const frontends = readFrontends(compiler.entries.services.entries(), compiler.entries.backends.entries());
      const backends = frontends.get("10.9.0.1:80/TCP") ?? [];
      return [...new Set(backends.map((backend) => backend.split("|")[0]))].sort().join(" ");
    },
    whyNot: () =>
      compiler
        .status()[0]
        ?.backends.filter(({ used }) => !used)
        .map(({ why }) => why),
    async stop() {
      over.abort();
      await clock.settle(running);
      assert.equal(clock.pending, 0);
    },
  };
}

function alive(world: ReturnType<typeof stage>): Promise<void> {
  for (const cluster of [OSAKA, VIRGINIA, TOKYO]) world.path(cluster, true);
  return world.clock.advance(10_000);
}

test("a data path that dies demotes its cluster within three rounds, and it is back three rounds after the path is", async () => {
  const world = stage();
  await alive(world);
  assert.equal(world.used(), "1 2 3 7");
  world.path(OSAKA, false);
  await world.clock.advance(30_000);
  assert.deepEqual(world.decisions(), ["osaka demote", "tokyo normal", "virginia normal"]);
  assert.equal(world.used(), "2 3 7");
  assert.deepEqual(new Set(world.whyNot()), new Set(["demoted: data path to osaka is dead"]));
  world.path(OSAKA, true);
  await world.clock.advance(20_000);
  assert.equal(world.used(), "1 2 3 7");
  await world.stop();
});

test("silent and dead is taken out; silent and alive is kept; unproven and dead is demoted as if it talked", async () => {
  const world = stage();
  await alive(world);
  world.grades.set("osaka", "stale").set("tokyo", "stale");
  world.path(OSAKA, false);
  await world.clock.advance(30_000);
  assert.deepEqual(world.decisions(), ["osaka take-out", "tokyo keep", "virginia normal"]);
  assert.equal(world.used(), "2 3 7");
  assert.deepEqual(
    new Set(world.whyNot()),
    new Set(["taken out: its etcd is silent and the data path to osaka is dead"]),
  );
  world.grades.set("osaka", "unproven");
  assert.equal(world.decisions()[0], "osaka demote");
  await world.stop();
});

test("a control plane alone takes nothing out, whatever it says or does not say", async () => {
  const world = stage();
  await alive(world);
  for (const grade of ["fresh", "suspect", "stale", "unproven", "unknown"] as const) {
    for (const { name } of [OSAKA, VIRGINIA, TOKYO]) world.grades.set(name, grade);
    assert.equal(world.used(), "1 2 3 7", grade);
  }
  await world.stop();
});

test("a node that loses most of its remotes at once suspects itself and takes nothing out", async () => {
  const world = stage();
  await alive(world);
  for (const cluster of [OSAKA, VIRGINIA]) world.path(cluster, false);
  await world.clock.advance(30_000);
  const { suspectsItself, remotes } = world.probes.status(world.peers());
  assert.deepEqual([suspectsItself, remotes.map(({ dataPath }) => dataPath)], [true, ["dead", "alive", "dead"]]);
  assert.equal(world.used(), "1 2 3 7");
  world.path(VIRGINIA, true);
  await world.clock.advance(20_000);
  assert.equal(world.used(), "2 3 7");
  await world.stop();
});

test("a remote with nothing that answers stays unknown and normal; without any backends too", async () => {
  const world = stage([OSAKA]);
  await world.clock.advance(120_000);
  assert.deepEqual(world.decisions(), ["osaka normal"]);
  assert.equal(world.probes.status(world.peers()).remotes[0]?.dataPath, "unknown");
  assert.equal(world.used(), "1 2");
  await world.stop();
});

test("where most backends never answer, one that does is found, and then missed", async () => {
  const world = stage([OSAKA], 40);
  world.paths.set("10.1.1.33:80", "connected");
  await world.clock.advance(200_000);
  assert.equal(world.probes.status(world.peers()).remotes[0]?.dataPath, "alive");
  world.paths.set("10.1.1.33:80", "silent");
  await world.clock.advance(40_000);
  assert.deepEqual(world.decisions(), ["osaka demote"]);
  await world.stop();
});

test("a path that loses four of ten connections for an hour demotes nobody for long, and the states change seldom", async () => {
  const world = stage();
  await alive(world);
  world.faults.lost = 0.4;
  let changes = 0;
  let before = world.used();
  for (let round = 0; round < 600; round++) {
    await world.clock.advance(6_000);
    const now = world.used();
    if (now !== before) changes++;
    before = now;
  }
  assert(world.rounds() > 400);
  assert(changes <= 30, `${changes} changes`);
  world.faults.lost = 0;
  await world.clock.advance(30_000);
  assert.equal(world.used(), "1 2 3 7");
  await world.stop();
});

test("a node without ports demotes nobody", async () => {
  const world = stage();
  await alive(world);
  world.faults.untried = 1;
  await world.clock.advance(120_000);
  assert.deepEqual(new Set(world.decisions().map((line) => line.split(" ")[1])), new Set(["normal"]));
  assert.match(await world.metrics.text(), /bulkhead_probes_total\{remote="osaka",outcome="untried"\} \d+/);
  await world.stop();
});

test("no more connections at one time than asked for, and none at all with no targets", async () => {
  const world = stage();
  await world.clock.advance(60_000);
  assert.equal(world.paths.mostAtOnce, 3);
  await world.stop();
});

test("whatever paths and words do, the service keeps backends, and the own cluster's", async () => {
  const step = fc.record({
    paths: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
    grades: fc.tuple(
      ...[0, 1, 2].map(() => fc.constantFrom<PeerGrade>("fresh", "suspect", "stale", "unproven", "unknown")),
    ),
    lost: fc.constantFrom(0, 0, 0.5),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      const world = stage();
      await alive(world);
      for (const { paths, grades, lost } of steps) {
        for (const [index, cluster] of [OSAKA, VIRGINIA, TOKYO].entries()) {
          world.path(cluster, paths[index] === true);
          world.grades.set(cluster.name, grades[index] ?? "unknown");
        }
        world.faults.lost = lost;
        await world.clock.advance(12_000);
        assert(world.used().split(" ").includes(String(OWN.id)));
      }
      await world.stop();
    }),
    { numRuns: 30 },
  );
});

/** Connections of workloads to a cluster: so many more answered, and silent at each of two addresses. */
function connect(world: ReturnType<typeof stage>, { id }: typeof OSAKA, answered: number, silent: number): void {
  const { counts } = world;
  const before = counts.get(id) ?? NO_COUNTS;
  const silentAt = new Map([0, 1].map((place) => [place, (before.silentAt.get(place) ?? 0) + silent]));
  const established = before.established + answered;
  const more = { started: before.started + answered + 2 * silent, silent: before.silent + 2 * silent, silentAt };
  counts.set(id, { ...before, ...more, established });
}

/** Until a round has ended: the next one is five seconds away. */
async function roundEnds(world: ReturnType<typeof stage>): Promise<void> {
  for (const rounds = world.rounds(); world.rounds() === rounds; ) await world.clock.advance(100);
}

test("connections that meet silence have the path asked at once, and make its death sooner; the status tells of them", async () => {
  const world = stage();
  await alive(world);
  await roundEnds(world);
  world.path(OSAKA, false);
  connect(world, OSAKA, 7, 0);
  for (let second = 0; second < 8; second++) {
    await world.clock.advance(1_000);
    connect(world, OSAKA, 0, 4);
  }
  assert.deepEqual(world.decisions(), ["osaka demote", "tokyo normal", "virginia normal"]);
  const [osaka] = world.probes.status(world.peers()).remotes;
  assert.deepEqual(osaka?.connections, { started: 55, established: 7, refused: 0, silent: 48 });
  await world.stop();
});

test("without them it takes three rounds in their turn", async () => {
  const world = stage();
  await alive(world);
  await roundEnds(world);
  world.path(OSAKA, false);
  await world.clock.advance(15_000);
  assert.equal(world.decisions()[0], "osaka normal");
  await world.clock.advance(10_000);
  assert.equal(world.decisions()[0], "osaka demote");
  await world.stop();
});

test("a failing service is no failing cluster: while probes are answered it stays, and is asked out of turn once a minute", async () => {
  const world = stage();
  await alive(world);
  const before = world.rounds();
  for (let second = 0; second < 60; second++) {
    connect(world, OSAKA, 0, 10);
    await world.clock.advance(1_000);
  }
  assert.deepEqual(world.decisions(), ["osaka normal", "tokyo normal", "virginia normal"]);
  const rounds = world.rounds() - before;
  assert(rounds <= 13, `${rounds} rounds in a minute`);
  await world.stop();
});

test("workloads that get answers keep a cluster whose probed backends are all silent", async () => {
  const world = stage();
  await alive(world);
  world.path(OSAKA, false);
  for (let step = 0; step < 600; step++) {
    connect(world, OSAKA, 1, 0);
    await world.clock.advance(100);
  }
  assert.deepEqual(world.decisions()[0], "osaka normal");
  await world.clock.advance(40_000);
  assert.deepEqual(world.decisions()[0], "osaka demote");
  await world.stop();
});
