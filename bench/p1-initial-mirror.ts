/**
 * P1 and P1L: from the moment a remote is named to the last of its canaries in the local etcd, against the same keys and values written straight into such an
 * etcd, in Txns of the mirror's size. In turns, so that a busy moment hits both alike; every round has local etcds of its own.
 */
import assert from "node:assert/strict";
import { systemClock } from "../src/runtime/clock.ts";
import { TestEtcd } from "../test/support/etcd.ts";
import { median, printFigures } from "./goal-line.ts";
import { type Entry, entriesOf } from "./mesh-data.ts";
import { type Costs, filledEtcd, MirrorStage } from "./mirror-stage.ts";
import { encodePuts, inBatches, RawEtcd } from "./raw-etcd.ts";

interface Size {
  readonly id: string;
  readonly pods: number;
  readonly rounds: number;
  /** Of the mirror, at its peak; absent: no goal. */
  readonly rssMiB?: number;
}

const P1: Size = { id: "P1", pods: 100_000, rounds: 3 };
const P1L: Size = { id: "P1L", pods: 350_000, rounds: 1, rssMiB: 300 };
const OPERATIONS_PER_TXN = 128;
const IN_FLIGHT = 16;
const GOAL = 0.6;

/** The keys of a cache as requests to write them, encoded. */
export function framesOf(entries: readonly Entry[]): readonly Uint8Array[] {
  const cached = entries.map(({ cacheKey, value }) => ({ key: cacheKey, value }));
  return inBatches(cached, OPERATIONS_PER_TXN).map(encodePuts);
}

/** Resolves to the milliseconds that an etcd of its own takes for them. */
export async function writtenStraightMs(frames: readonly Uint8Array[]): Promise<number> {
  const etcd = await TestEtcd.start();
  const raw = new RawEtcd(etcd.endpoint);
  const fromMs = systemClock.nowMs();
  await raw.writeAll(frames, IN_FLIGHT);
  const tookMs = systemClock.nowMs() - fromMs;
  raw.close();
  await etcd.end();
  return tookMs;
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

export const initialMirror = (json: boolean): Promise<void> => measure(P1, json);
export const largeInitialMirror = (json: boolean): Promise<void> => measure(P1L, json);

async function measure({ id, pods, rounds: times, rssMiB }: Size, json: boolean): Promise<void> {
  const entries = entriesOf(pods);
  const frames = framesOf(entries);
  const remote = await filledEtcd(entries);
  const rounds = [];
  for (let round = 0; round < times; round++) {
    const floor = (entries.length / (await writtenStraightMs(frames))) * 1000;
    rounds.push({ floor, ...(await subjectOf(entries, remote)) });
  }
  await remote.end();
  const value = median(rounds.map(({ keysPerS }) => keysPerS));
  const floor = median(rounds.map((round) => round.floor));
  const peakRssMiB = Math.max(...rounds.map((round) => round.peakRssMiB));
  const ratio = median(rounds.map((round) => round.keysPerS / round.floor));
  printFigures(
    {
      id,
      unit: "keys/s",
      value,
      floor,
      ratio,
      goal: `ratio>=${GOAL}${rssMiB === undefined ? "" : `,peakRssMiB<=${rssMiB}`}`,
      reached: ratio >= GOAL && peakRssMiB <= (rssMiB ?? Number.POSITIVE_INFINITY),
      invalid: ratio > 1 ? "the floor is slower than the mirror" : undefined,
      costs: {
        cpuSeconds: median(rounds.map(({ cpuSeconds }) => cpuSeconds)),
        peakRssMiB,
      },
      beside: { keys: entries.length, rounds: times },
    },
    json,
  );
}
