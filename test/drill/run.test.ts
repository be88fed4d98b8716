import assert from "node:assert/strict";
import { test } from "node:test";
import { type DrillDoors, runDrill } from "../../src/drill/run.ts";
import { eventOf } from "../../src/drill/told.ts";
import type { Drill, DrillReport, ProbeCounts, Sign } from "../../src/model/drill.ts";
import type { MirrorStatus, ProgramStatus, RemoteStatus } from "../../src/model/status.ts";
import { drillReportText } from "../../src/report/drills.ts";
import { agent } from "../report/status-examples.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const DRILL: Drill = {
  name: "kill-remote",
  hypothesis: "Nobody notices",
  cluster: "osaka",
  probe: { cluster: "amsterdam", place: "client", service: "demo/hello", rate: 100 },
  steps: [{ fault: "kill", target: "etcd", forMs: 6_000 }],
  maxFailed: 20,
  expect: {
    detect: { sign: "unwell", withinMs: 5_000 },
    failed: 0,
    failOverWithinMs: 2_000,
    entriesKept: true,
    convergeWithinMs: 10_000,
  },
};

const WELL: RemoteStatus = {
  ...{ name: "osaka", configured: true, phase: "watching", connected: true, heartbeatSilent: false, synced: true },
  ...{ readKinds: {}, syncedKinds: {}, entries: { ip: 90, services: 10 }, grade: "fresh", breaker: "closed" },
  ...{ failures: 0, losses: 0, rejected: 0, rejectedKinds: {}, parked: 0, holds: [], audited: true },
};
const LOST: RemoteStatus = { ...WELL, connected: false, breaker: "open", grade: "suspect", losses: 1 };

function mirror(cluster: string, remotes: readonly RemoteStatus[]): MirrorStatus {
  const base = { pid: cluster.length, uptimeMs: 1, problems: [], queued: 0, leader: true };
  return { program: "kvstoremesh", cluster, ...base, remotes };
}

/** A mesh in which a fault shows after `noticeMs` and is over `returnMs` after the undo. */
class World implements DrillDoors {
  readonly clock = new VirtualClock();
  readonly faults: string[] = [];
  readonly said: string[] = [];
  noticeMs = 1_000;
  returnMs = 2_000;
  /** What amsterdam says of osaka while the fault shows. */
  lost = LOST;
  /** Of a hundred connections a second, how many fail: before the fault, and while it lasts. */
  failing = { before: 0, during: 0, untilMs: Number.POSITIVE_INFINITY };
  rate = 100;
  #faultMs = Number.POSITIVE_INFINITY;
  #undoneMs = Number.POSITIVE_INFINITY;

  async look(): Promise<readonly ProgramStatus[]> {
    const nowMs = this.clock.nowMs();
    const shows = nowMs >= this.#faultMs + this.noticeMs && nowMs < this.#undoneMs + this.returnMs;
    return [mirror("amsterdam", [shows ? this.lost : WELL]), mirror("osaka", [])];
  }

  async fault({ fault, target, undoAfterMs }: { fault: string; target: string; undoAfterMs: number }): Promise<void> {
    this.faults.push(`${fault} ${target} ${undoAfterMs}`);
    this.#faultMs = Math.min(this.#faultMs, this.clock.nowMs());
  }

  async undo(run: string): Promise<void> {
    this.faults.push(`undo ${run}`);
    this.#undoneMs = this.clock.nowMs();
  }

  async probe(_: Drill["probe"], signal: AbortSignal, tell: (counts: ProbeCounts) => void): Promise<void> {
    while (!signal.aborted) {
      const nowMs = this.clock.nowMs();
      const during = nowMs >= this.#faultMs && nowMs < this.#faultMs + this.failing.untilMs && this.#undoneMs > nowMs;
      const failed = (during ? this.failing.during : this.failing.before) / 10;
      tell({ made: this.rate / 10 - failed, failed, failures: failed === 0 ? {} : { timeout: failed } });
      await new Promise<void>((resolve) => this.clock.after(100, resolve));
    }
  }

  say(line: string): void {
    this.said.push(line);
  }

  run(drill: Drill = DRILL): Promise<DrillReport> {
    return this.clock.settle(runDrill(drill, "r1", this));
  }
}

const failed = ({ checks }: DrillReport): readonly string[] =>
  checks.filter(({ held }) => !held).map(({ what }) => what);

test("a hypothesis that holds: passed, with what was measured", async () => {
  const world = new World();
  const report = await world.run();
  assert.equal(report.verdict, "passed", JSON.stringify(report));
  assert.deepEqual(world.faults, ["kill etcd 16000", "undo r1"]);
  assert.deepEqual(report.entries, { before: 100, least: 100 });
  assert(report.detectMs !== undefined && report.detectMs >= 1_000 && report.detectMs <= 1_200, `${report.detectMs}`);
  assert(report.convergeMs !== undefined && report.convergeMs >= 2_000 && report.convergeMs <= 2_200);
  assert.equal(report.failOverMs, 0);
  assert.equal(report.connections.failed, 0);
  assert(report.connections.made >= 900);
  assert.match(
    drillReportText(report),
    /^kill-remote: passed, in .*\n {2}Nobody notices\n {2}ok {6}detect {7}unwell after 1\./,
  );
  assert.equal(world.clock.pending, 0);
});

/** Each is the mesh above with one thing that is not as the drill supposes. */
const FALSE: readonly (readonly [what: string, change: (world: World) => void])[] = [
  ["detect", (world) => Object.assign(world, { noticeMs: 5_500 })],
  ["detect", (world) => Object.assign(world, { noticeMs: 60_000 })],
  ["entries", (world) => Object.assign(world, { lost: { ...LOST, entries: { ip: 89, services: 10 } } })],
  ["entries", (world) => Object.assign(world, { lost: { ...LOST, entries: { ip: 89, services: 11 } } })],
  ["entries", (world) => Object.assign(world, { lost: { ...LOST, entries: { ip: 89 } } })],
  ["converge", (world) => Object.assign(world, { returnMs: 11_000 })],
  ["connections", (world) => Object.assign(world, { failing: { before: 0, during: 10, untilMs: 500 } })],
];

for (const [what, change] of FALSE) {
  test(`a hypothesis that is false of ${what} fails, by that alone`, async () => {
    const world = new World();
    change(world);
    const report = await world.run();
    assert.equal(report.verdict, "failed");
    assert.deepEqual(failed(report), [what]);
    assert.match(drillReportText(report), new RegExp(`^ {2}FAILED  ${what}`, "m"));
    assert.equal(world.faults.at(-1), "undo r1");
  });
}

test("a machine that stops for a while before the fault has not shown that the probe is unwell", async () => {
  const world = new World();
  world.clock.after(300, () => world.clock.stall(2_500));
  const report = await world.run();
  assert.equal(report.verdict, "passed", JSON.stringify(report));
});

test("what a mirror that came to lead has not counted yet is not lost", async () => {
  for (const entries of [{}, { ip: 90 }, { services: 10 }]) {
    const world = new World();
    world.lost = { ...LOST, entries };
    const report = await world.run();
    assert.equal(report.verdict, "passed", JSON.stringify(report));
    assert.deepEqual(report.entries, { before: 100, least: 100 });
  }
});

test("connections that fail for longer than it may take to fail over", async () => {
  const world = new World();
  world.failing = { before: 0, during: 10, untilMs: 3_000 };
  const drill = { ...DRILL, maxFailed: 100, expect: { ...DRILL.expect, failed: 100 } };
  const report = await world.run(drill);
  assert.deepEqual(failed(report), ["fail over"]);
  assert(report.failOverMs >= 2_800 && report.failOverMs <= 3_100, `${report.failOverMs}`);
  world.failing.untilMs = 1_500;
});

test("the guard aborts as soon as its budget is used up, and undoes; within it the drill goes on", async () => {
  const world = new World();
  world.failing = { before: 0, during: 100, untilMs: Number.POSITIVE_INFINITY };
  const report = await world.run();
  assert.equal(report.verdict, "aborted");
  assert.match(report.reason ?? "", /^\d+ connections failed, and the guard allows 20$/);
  assert(report.tookMs < 5_000, `${report.tookMs}`);
  assert.deepEqual(world.faults, ["kill etcd 16000", "undo r1"]);
  const twin = new World();
  twin.failing = { before: 0, during: 10, untilMs: 1_000 };
  assert.equal((await twin.run()).verdict, "failed");
});

test("nothing is done to a mesh, or with a probe, that is not well before", async () => {
  const unwell = new World();
  unwell.look = async () => [mirror("amsterdam", [LOST]), mirror("osaka", [])];
  const alone = new World();
  alone.look = async () => [mirror("osaka", [])];
  const failing = new World();
  failing.failing = { before: 10, during: 0, untilMs: 0 };
  const slow = new World();
  slow.rate = 40;
  const broken = new World();
  broken.probe = () => Promise.reject(new Error("no such place"));
  for (const [world, reason] of [
    [unwell, /^the mesh is not well before the drill: amsterdam is not in touch with osaka$/],
    [alone, /no mirror of another cluster answers that follows osaka$/],
    [failing, /^the probe is not well before the drill: .* failed in 2 s; needs 100 and 0$/],
    [slow, /^the probe is not well before the drill: \d+ connections made and 0 failed/],
    [broken, /^the probe failed: no such place$/],
  ] as const) {
    const report = await world.run();
    assert.equal(report.verdict, "invalid");
    assert.match(report.reason ?? "", reason);
    assert.deepEqual(world.faults, []);
  }
});

test("a cluster that is away all the time spoils nothing, if the drill says so", async () => {
  const away: RemoteStatus = { ...LOST, name: "virginia" };
  const silent = { ...mirror("virginia", [LOST]), leader: false };
  const world = new World();
  const look = world.look.bind(world);
  world.look = async () =>
    (await look()).map((status) =>
      status.program === "kvstoremesh" ? { ...status, remotes: [...status.remotes, away] } : status,
    );
  const report = await world.run({ ...DRILL, despite: "virginia" });
  assert.equal(report.verdict, "passed", JSON.stringify(report));
  const twin = new World();
  const lookToo = twin.look.bind(twin);
  twin.look = async () => [...(await lookToo()), silent];
  assert.match((await twin.run()).reason ?? "", /: virginia: 0 mirrors lead$/);
  assert.equal((await twin.run({ ...DRILL, despite: "virginia" })).verdict, "passed");
});

test("whoever looks at what lasts keeps it as it is; the guard holds on meanwhile", async () => {
  const world = new World();
  const doors: DrillDoors = Object.assign(world, {
    lasting: () => new Promise<void>((resolve) => world.clock.after(60_000, resolve)),
  });
  const report = await world.clock.settle(runDrill(DRILL, "r1", doors));
  assert.equal(report.verdict, "passed", JSON.stringify(report));
  assert(report.tookMs > 66_000, `${report.tookMs}`);
  const failing = new World();
  failing.failing = { before: 0, during: 0, untilMs: Number.POSITIVE_INFINITY };
  Object.assign(failing, {
    lasting: () => {
      failing.failing.during = 50;
      return new Promise<void>((resolve) => failing.clock.after(60_000, resolve));
    },
  });
  const aborted = await failing.run();
  assert.equal(aborted.verdict, "aborted");
  assert(aborted.tookMs < 15_000, `${aborted.tookMs}`);
  assert.deepEqual(failing.faults, ["kill etcd 16000", "undo r1"]);
});

test("a fault that is refused aborts, and what was done before it is undone", async () => {
  const world = new World();
  const first = world.fault.bind(world);
  world.fault = async (request) => {
    if (request.fault === "wipe") throw new Error("wipe of etcd is not on the allow-list");
    await first(request);
  };
  const steps: Drill["steps"] = [...DRILL.steps, { fault: "wipe", target: "etcd", forMs: 1_000 }];
  const report = await world.run({ ...DRILL, steps });
  assert.deepEqual([report.verdict, report.reason], ["aborted", "wipe of etcd is not on the allow-list"]);
  assert.deepEqual(world.faults, ["kill etcd 17000", "undo r1"]);
});

const HOLD = { kind: "ip", state: "held", keys: 3, withdrawals: 3, ageMs: 1, example: "10.2.0.1" } as const;
const OSAKA = mirror("osaka", []);

const DRAINED = { cluster: "osaka", weight: 0, target: 0 } as const;
/** Knows of the drain, and gives what could go elsewhere to amsterdam alone; or still to both. */
const EMPTIED = { ...agent("amsterdam-1"), drains: [DRAINED] };
const GIVING = {
  ...EMPTIED,
  services: EMPTIED.services.map((service) => ({
    ...service,
    backends: service.backends.map((backend) => ({ ...backend, used: true })),
  })),
};

/** What everybody says while the fault lasts: by which the sign is seen, and by which it is not. */
const SIGNS_SEEN: readonly (readonly [sign: Sign, seen: readonly ProgramStatus[], not: readonly ProgramStatus[]])[] = [
  [
    "leader",
    [mirror("amsterdam", [WELL]), { ...OSAKA, pid: 77 }],
    [mirror("amsterdam", [WELL]), OSAKA, { ...OSAKA, pid: 77, leader: false }],
  ],
  // In another container of the same engine.
  [
    "leader",
    [mirror("amsterdam", [WELL]), { ...OSAKA, uptimeMs: 0 }],
    [mirror("amsterdam", [WELL]), { ...OSAKA, uptimeMs: 9_000 }],
  ],
  [
    "inside",
    [mirror("amsterdam", [WELL]), { ...OSAKA, remotes: [{ ...WELL, name: "virginia", grade: "suspect" }] }],
    [mirror("amsterdam", [LOST]), OSAKA],
  ],
  ["held", [mirror("amsterdam", [{ ...WELL, holds: [HOLD] }]), OSAKA], [mirror("amsterdam", [LOST]), OSAKA]],
  [
    "lost",
    [mirror("amsterdam", [{ ...WELL, losses: 1 }]), OSAKA],
    [mirror("amsterdam", [{ ...WELL, grade: "suspect" }]), OSAKA],
  ],
  ["unwell", [mirror("amsterdam", [{ ...WELL, grade: "suspect" }]), OSAKA], [OSAKA]],
  ["drained", [mirror("amsterdam", [WELL]), OSAKA, EMPTIED], [mirror("amsterdam", [WELL]), OSAKA, EMPTIED, GIVING]],
];

for (const [sign, seen, not] of SIGNS_SEEN) {
  test(`the sign ${sign} is seen by what programs say, and by nothing else`, async () => {
    const run = async (now: readonly ProgramStatus[]): Promise<DrillReport> => {
      const world = new World();
      let lasts = false;
      world.fault = async () => {
        lasts = true;
      };
      world.undo = async () => {
        lasts = false;
      };
      world.look = async () => (lasts ? now : [mirror("amsterdam", [WELL]), OSAKA]);
      return await world.run({ ...DRILL, expect: { ...DRILL.expect, detect: { sign, withinMs: 5_000 } } });
    };
    assert.equal((await run(seen)).verdict, "passed");
    assert.deepEqual(failed(await run(not)), ["detect"]);
  });
}

test("the mesh has not converged while somebody knows of the drill's drain; of one that was there before nobody asks", async () => {
  const world = new World();
  const look = world.look.bind(world);
  world.look = async () => [...(await look()), ...(world.faults.length > 0 ? [EMPTIED] : [])];
  const steps: Drill["steps"] = [{ fault: "drain", target: "traffic", forMs: 6_000, overMs: 3_000 }];
  const report = await world.run({ ...DRILL, steps });
  assert.deepEqual(failed(report), ["converge"]);
  assert.match(drillReportText(report), /: amsterdam\/agent\/amsterdam-1 knows of a drain still$/m);
  const twin = new World();
  const lookToo = twin.look.bind(twin);
  twin.look = async () => [...(await lookToo()), EMPTIED];
  assert.equal((await twin.run({ ...DRILL, steps })).verdict, "passed");
});

test("what ended is told as an event: whether it held, and if not why", async () => {
  const world = new World();
  world.noticeMs = 60_000;
  const event = eventOf({ ended: await world.run() });
  assert.equal(event?.severity, "error");
  assert.equal(event?.line, "drill kill-remote failed: detect: unwell not seen; expected within 5.0 s");
  assert.equal(event?.details["verdict"], "failed");
  assert.equal(eventOf({ ended: await new World().run() })?.line, "drill kill-remote passed");
});
