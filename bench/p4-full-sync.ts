/**
 * P4: an agent that starts with empty maps and lists its local etcd: 350,000 addresses and 17,500 identities of a remote, 13,000 services of two
 * backends. From the start of its process until the maps are right, against the paged list alone. P4-3M: the same with 3,000,000 addresses.
 */
import assert from "node:assert/strict";
import { freemem } from "node:os";
import { systemClock } from "../src/runtime/clock.ts";
import { UserError } from "../src/runtime/user-error.ts";
import type { TestEtcd } from "../test/support/etcd.ts";
import { AgentStage } from "./agent-stage.ts";
import { cachedRemote, listed, type Size, untilRight } from "./cached-remote.ts";
import { median, printFigures } from "./goal-line.ts";
import type { Costs } from "./mirror-stage.ts";
import { BenchStage } from "./stage.ts";

const GOAL_LISTS = 3;

interface Course extends Size {
  readonly id: string;
  readonly rounds: number;
  readonly capacity: number;
  readonly goalRssMiB: number;
  /** What etcd, agent and kernel take together. */
  readonly freeGiB: number;
}

const FULL: Course = {
  ...{ id: "P4", pods: 350_000, services: 13_000, rounds: 3 },
  ...{ capacity: 524_288, goalRssMiB: 350, freeGiB: 2 },
};
const MILLIONS: Course = {
  ...{ id: "P4-3M", pods: 3_000_000, services: 13_000, rounds: 1 },
  ...{ capacity: 4_194_304, goalRssMiB: 1_229, freeGiB: 10 },
};

interface Round {
  readonly listMs: number;
  readonly tookMs: number;
  readonly costs: Costs;
}

async function synced(stage: AgentStage, size: Size): Promise<number> {
  const fromMs = systemClock.nowMs();
  const maps = await untilRight(stage, size);
  const tookMs = systemClock.nowMs() - fromMs;
  assert(maps.areRight(), "every address and service is in the maps");
  return tookMs;
}

async function round(pods: BenchStage, etcd: TestEtcd, number: number, course: Course): Promise<Round> {
  const listMs = await listed(etcd);
  const stage = new AgentStage(pods, `agent-${number}`, etcd.endpoint, course.capacity);
  try {
    const tookMs = await synced(stage, course);
    return { listMs, tookMs, costs: stage.costs() };
  } finally {
    await stage.close();
  }
}

async function run(course: Course, json: boolean): Promise<void> {
  const { id, pods: addresses, services, rounds, goalRssMiB, freeGiB } = course;
  if (freemem() < freeGiB * 1024 ** 3) throw new UserError(`bench: ${id} needs ${freeGiB} GiB of free memory`);
  const pods = new BenchStage();
  let etcd: TestEtcd | undefined;
  try {
    etcd = await cachedRemote(course);
    const all: Round[] = [];
    for (let number = 0; number < rounds; number++) all.push(await round(pods, etcd, number, course));
    const ratio = median(all.map(({ listMs, tookMs }) => tookMs / listMs));
    const costs = all.at(-1)?.costs ?? assert.fail("no round");
    printFigures(
      {
        ...{ id, unit: "ms", value: median(all.map(({ tookMs }) => tookMs)), ratio, costs },
        floor: median(all.map(({ listMs }) => listMs)),
        goal: `ratio<=${GOAL_LISTS},peakRssMiB<=${goalRssMiB}`,
        reached: ratio <= GOAL_LISTS && costs.peakRssMiB <= goalRssMiB,
        beside: { addresses, services, rounds },
      },
      json,
    );
  } finally {
    await etcd?.end();
    pods.close();
  }
}

export const fullSync = (json: boolean): Promise<void> => run(FULL, json);
export const fullSyncOfMillions = (json: boolean): Promise<void> => run(MILLIONS, json);
