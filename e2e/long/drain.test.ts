/** Drain and return on real nodes, under connections that never stop: who answers meanwhile, that none fails, and none that stood is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lab, waitFor } from "../../deploy/lab/lab.ts";
import { publishObject, withdrawObject } from "../../deploy/lab/manifests.ts";
import type { ClusterPlan, LabPlan } from "../../deploy/lab/plan.ts";
import { agentStatus, exporterStatus } from "../../deploy/lab/programs.ts";
import { expectNoFailure, expectShares } from "../../deploy/lab/tour/expect.ts";
import { burst, calls, newTour, serviceTarget, type Tour } from "../../deploy/lab/tour/tour.ts";
import { byCluster, type JobResult } from "../../deploy/lab/workload/jobs.ts";
import type { DrainStatus } from "../../src/model/drain.ts";
import { hold } from "../hold.ts";
import { BULKHEAD, type Outcome, plan, run, standing } from "../mesh.ts";

const NAME = "e2e-drain";
const WITHIN_MS = 60_000;
const HELD_CONNECTIONS = 30;
const PER_SECOND = 100;
const EVERYONE = ["amsterdam", "osaka", "virginia"];
let lab: LabPlan;
let tour: Tour;

standing(NAME, () => {
  lab = plan(NAME);
  tour = newTour(Lab.open(lab, "up"));
});

const bulkhead = (...words: readonly string[]): Promise<Outcome> =>
  run(BULKHEAD, [...words, "--run-dir", lab.runDirectory]);

/** Calls of hello from a client of each cluster, without a pause, counted second by second. */
class Calling {
  readonly #ended: Promise<void>;
  #seconds: (readonly JobResult[])[] = [];
  #stopped = false;

  constructor() {
    this.#ended = this.#callOn();
    this.#ended.catch(() => undefined);
  }

  async #callOn(): Promise<void> {
    while (!this.#stopped) this.#seconds.push(await Promise.all(lab.clusters.map(oneSecond)));
  }

  /** How many seconds are counted. */
  get count(): number {
    return this.#seconds.length;
  }

  /** Waits for this many whole seconds from now, and tells what part of each Osaka answered. */
  async next(seconds: number): Promise<readonly number[]> {
    // What runs now began before.
    const from = this.count + 1;
    await waitFor(`${seconds} s of calls`, WITHIN_MS, () => (this.count >= from + seconds ? true : undefined));
    return this.shares(from, from + seconds);
  }

  async until(what: string, isSo: (share: number) => boolean): Promise<void> {
    await waitFor(what, WITHIN_MS, () => this.shares(-1).some(isSo) || undefined);
  }

  shares(from: number, to?: number): readonly number[] {
    return this.#seconds.slice(from, to).map(osakaShare);
  }

  async end(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
    for (const [index, results] of this.#seconds.entries()) {
      for (const result of results) expectNoFailure(`second ${index}`, result);
    }
  }
}

function oneSecond(cluster: ClusterPlan): Promise<JobResult> {
  const target = serviceTarget(cluster.name, "hello", "v4");
  return calls(tour, cluster, { kind: "stream", target, perSecond: PER_SECOND, seconds: 1 });
}

function osakaShare(results: readonly JobResult[]): number {
  const osaka = results.reduce((sum, { answers }) => sum + (byCluster(answers).get("osaka") ?? 0), 0);
  return osaka / results.reduce((sum, { calls: made }) => sum + made, 0);
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Waits until osaka's exporter and every node have said of osaka's drain what is asked for, each at some time. */
async function everybodySays(what: string, isIt: (drain: DrainStatus | undefined) => boolean): Promise<void> {
  const nodes = lab.clusters.flatMap((cluster) => cluster.nodes.map((node) => () => agentStatus(cluster, node)));
  const said = [() => exporterStatus(tour.osaka), ...nodes].map((ask) =>
    waitFor(what, WITHIN_MS, async () => {
      const status = await ask();
      if (status === undefined) return undefined;
      const { drains = [] } = status;
      return isIt(drains.find(({ cluster, service }) => cluster === "osaka" && service === undefined)) || undefined;
    }),
  );
  await Promise.all(said);
}

/** Weights that the command told, one a line. */
function weights(out: string): readonly number[] {
  return [...out.matchAll(/^osaka: weight (\d+) of 100/gm)].map(([, weight]) => Number(weight));
}

test("osaka is drained over 10 s and returned: its share goes to none and comes back, nothing fails, nothing is cut", async () => {
  const calling = new Calling();
  const target = serviceTarget("amsterdam", "hello", "v4");
  const held = await hold(tour.lab.pod("amsterdam", "client"), target, HELD_CONNECTIONS);
  try {
    const before = mean(await calling.next(3));
    assert(before > 0.2, `osaka gave ${before} before`);

    let from = calling.count;
    const draining = bulkhead("drain", "osaka", "--over", "10s");
    await everybodySays("the status tells how far it is", (ramp) => {
      return ramp?.target === 0 && ramp.weight > 0 && ramp.weight < 100;
    });
    const drained = await draining;
    assert.equal(drained.code, 0, drained.err);
    const down = weights(drained.out);
    assert(down.length > 3 && down[0] === 100 && down.at(-1) === 0, drained.out);
    assert.deepEqual(
      down,
      [...down].sort((left, right) => right - left),
    );
    await everybodySays("osaka has weight 0", (ramp) => ramp?.weight === 0 && ramp.target === 0);
    await calling.until("osaka gets nothing", (share) => share === 0);
    const falling = calling.shares(from);
    assert(mean(falling.slice(0, 4)) > mean(falling.slice(-4)) + 0.05, `falling: ${falling.join(" ")}`);
    assert.deepEqual(await calling.next(3), [0, 0, 0]);

    from = calling.count;
    const returned = await bulkhead("return", "osaka", "--over", "10s");
    assert.equal(returned.code, 0, returned.err);
    const up = weights(returned.out);
    assert(up.length > 3 && up[0] === 0 && up.at(-1) === 100, returned.out);
    await everybodySays("nobody tells of a drain", (ramp) => ramp === undefined);
    await calling.until("osaka gets its part", (share) => share > 0.2);
    const after = mean(await calling.next(3));
    assert(after > 0.2, `osaka gave ${after} after`);
    const rising = calling.shares(from);
    assert(mean(rising.slice(-4)) > mean(rising.slice(0, 4)) + 0.05, `rising: ${rising.join(" ")}`);

    const { answers } = await held.answers();
    const sum = [...byCluster(answers).values()].reduce((total, count) => total + count, 0);
    const others = [...byCluster(answers).keys()].filter((who) => !EVERYONE.includes(who));
    assert.deepEqual(others, [], "none is cut");
    assert.equal(sum, HELD_CONNECTIONS);
    assert((byCluster(answers).get("osaka") ?? 0) > 0, "some of them stood at osaka all the time");
  } finally {
    held.end();
    await calling.end();
  }
});

/** A global service of amsterdam and osaka, and only osaka has pods for it. */
function lone(cluster: ClusterPlan): Readonly<Record<string, unknown>> {
  const annotations = { "service.cilium.io/global": "true" };
  return {
    ...{ apiVersion: "v1", kind: "Service", metadata: { namespace: "demo", name: "lone", annotations } },
    spec: {
      clusterIPs: [loneAddress(cluster)],
      selector: { app: cluster.name === "osaka" ? "hello" : "nobody" },
      ports: [{ name: "http", protocol: "TCP", port: 80, targetPort: 8080 }],
    },
  };
}

const loneAddress = ({ serviceCidrs }: ClusterPlan): string => serviceCidrs[0].replace(/0\.0\/16$/, "0.77");
const LONE = { kind: "Service", namespace: "demo", name: "lone" } as const;

test("the only cluster with backends is drained: it serves on and says so; what others have too goes to them", async () => {
  const { amsterdam, osaka } = tour;
  const callLone = async (): Promise<void> => {
    const result = await burst(tour, amsterdam, { address: loneAddress(amsterdam), port: 80, protocol: "tcp" }, 200);
    expectNoFailure("200 calls of lone", result);
    expectShares("200 calls of lone", result, ["osaka"], 1);
  };
  for (const cluster of [amsterdam, osaka]) publishObject(cluster, LONE, lone(cluster));
  try {
    for (const node of amsterdam.nodes) {
      await waitFor(`${node.name} knows lone`, WITHIN_MS, async () => {
        const found = (await agentStatus(amsterdam, node))?.services.find(({ name }) => name === "lone");
        return found?.backends.filter(({ used }) => used).length === 2 || undefined;
      });
    }
    await callLone();
    // Ordered again it stays as it is, and is told again.
    const told = /^osaka: weight 0 of 100 {3}2 of its backends are used by 4 of 6 nodes here$/m;
    await waitFor("lone alone is left, and that is said", WITHIN_MS, async () => {
      const { code, out, err } = await bulkhead("drain", "osaka");
      assert.equal(code, 0, err);
      return told.test(out) || undefined;
    });
    const { out } = await bulkhead("services", "demo/lone");
    assert.match(out, /osaka +yes +used: drained, but nothing else is left/, out);
    for (let times = 0; times < 5; times++) await callLone();
    const hello = await burst(tour, amsterdam, serviceTarget("amsterdam", "hello", "v4"), 300);
    expectNoFailure("300 calls of hello", hello);
    expectShares("300 calls of hello", hello, ["amsterdam", "virginia"], 0.3);
  } finally {
    await bulkhead("return", "osaka");
    for (const cluster of [amsterdam, osaka]) withdrawObject(cluster, LONE);
  }
  const hello = await burst(tour, amsterdam, serviceTarget("amsterdam", "hello", "v4"), 300);
  expectNoFailure("300 calls of hello", hello);
  expectShares("300 calls of hello", hello, EVERYONE, 0.15);
});
