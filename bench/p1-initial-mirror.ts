/**
 * P1: from the moment a remote is named to the last of its canaries in the local etcd, against the same keys and values written straight into such an
 * etcd, in Txns of the mirror's size. In turns, so that a busy moment hits both alike; every round has local etcds of its own.
 */
import assert from "node:assert/strict";
import { systemClock } from "../src/runtime/clock.ts";
import { TestEtcd } from "../test/support/etcd.ts";
import { median, printFigures } from "./goal-line.ts";
import { type Entry, entriesOf } from "./mesh-data.ts";
import { type Costs, filledEtcd, MirrorStage } from "./mirror-stage.ts";
import { encodePuts, inBatches, RawEtcd } from "./raw-etcd.ts";

const PODS = 100_000;
const ROUNDS = 3;
const OPERATIONS_PER_TXN = 100;
const IN_FLIGHT = 16;
const GOAL = 0.6;

/** Keys a second. */
async function floorOf(entries: readonly Entry[], frames: readonly Uint8Array[]): Promise<number> {
  const etcd = await TestEtcd.start();
  const raw = new RawEtcd(etcd.endpoint);
  const fromMs = systemClock.nowMs();
  await raw.writeAll(frames, IN_FLIGHT);
  const tookMs = systemClock.nowMs() - fromMs;
  raw.close();
  await etcd.end();
  return (entries.length / tookMs) * 1000;
}

async function subjectOf(entries: readonly Entry[], remote: TestEtcd): Promise<Costs & { readonly keysPerS: number }> {
  const stage = await MirrorStage.open(remote);
  try {
    await stage.lead();
    const before = stage.costs();
    const tookMs = await stage.mirrored();
    const { cpuSeconds, peakRssMiB } = stage.costs();
    assert.equal(await stage.cachedKeys(), entries.length);
    return {
      keysPerS: (entries.length / tookMs) * 1000,
      cpuSeconds: cpuSeconds - before.cpuSeconds,
      peakRssMiB,
    };
  } finally {
    await stage.close();
  }
}

export async function initialMirror(json: boolean): Promise<void> {
  const entries = entriesOf(PODS);
  const cached = entries.map(({ cacheKey, value }) => ({ key: cacheKey, value }));
  const frames = inBatches(cached, OPERATIONS_PER_TXN).map(encodePuts);
  const remote = await filledEtcd(entries);
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const floor = await floorOf(entries, frames);
    rounds.push({ floor, ...(await subjectOf(entries, remote)) });
  }
  await remote.end();
  const value = median(rounds.map(({ keysPerS }) => keysPerS));
  const floor = median(rounds.map((round) => round.floor));
  const ratio = median(rounds.map((round) => round.keysPerS / round.floor));
  printFigures(
    {
      id: "P1",
      unit: "keys/s",
      value,
      floor,
      ratio,
      goal: `ratio>=${GOAL}`,
      reached: ratio >= GOAL,
      invalid: ratio > 1 ? "the floor is slower than the mirror" : undefined,
      costs: {
        cpuSeconds: median(rounds.map(({ cpuSeconds }) => cpuSeconds)),
        peakRssMiB: Math.max(...rounds.map(({ peakRssMiB }) => peakRssMiB)),
      },
      beside: { keys: entries.length, rounds: ROUNDS },
    },
    json,
  );
}
