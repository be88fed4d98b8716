/**
 * P4: an agent that starts with empty maps and lists its local etcd: 350,000 addresses and 17,500 identities of a remote, 13,000 services of two
 * backends. From the start of its process until the maps are right, against the paged list alone.
 */
import assert from "node:assert/strict";
import { systemClock } from "../src/runtime/clock.ts";
import type { TestEtcd } from "../test/support/etcd.ts";
import { AgentStage } from "./agent-stage.ts";
import { cachedRemote, listed, type Size, untilRight } from "./cached-remote.ts";
import { median, printFigures } from "./goal-line.ts";
import type { Costs } from "./mirror-stage.ts";
import { BenchStage } from "./stage.ts";

const GOAL_LISTS = 3;

const SIZE = { pods: 350_000, services: 13_000 };
const CAPACITY = 524_288;
const GOAL_RSS_MIB = 350;
const ROUNDS = 3;

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

async function round(pods: BenchStage, etcd: TestEtcd, number: number): Promise<Round> {
  const listMs = await listed(etcd);
  const stage = new AgentStage(pods, `agent-${number}`, etcd.endpoint, CAPACITY);
  try {
    const tookMs = await synced(stage, SIZE);
    return { listMs, tookMs, costs: stage.costs() };
  } finally {
    await stage.close();
  }
}

export async function fullSync(json: boolean): Promise<void> {
  const pods = new BenchStage();
  let etcd: TestEtcd | undefined;
  try {
    etcd = await cachedRemote(SIZE);
    const rounds: Round[] = [];
    for (let number = 0; number < ROUNDS; number++) rounds.push(await round(pods, etcd, number));
    const ratio = median(rounds.map(({ listMs, tookMs }) => tookMs / listMs));
    const costs = rounds.at(-1)?.costs ?? assert.fail("no round");
    printFigures(
      {
        ...{ id: "P4", unit: "ms", value: median(rounds.map(({ tookMs }) => tookMs)), ratio, costs },
        floor: median(rounds.map(({ listMs }) => listMs)),
        goal: `ratio<=${GOAL_LISTS},peakRssMiB<=${GOAL_RSS_MIB}`,
        reached: ratio <= GOAL_LISTS && costs.peakRssMiB <= GOAL_RSS_MIB,
        beside: { addresses: SIZE.pods, services: SIZE.services, rounds: ROUNDS },
      },
      json,
    );
  } finally {
    await etcd?.end();
    pods.close();
  }
}
