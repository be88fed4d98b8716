/** Step 2: a cluster loses its control plane; nobody else notices, and the status says how old the knowledge is. */

import type { RemoteStatus } from "../../../src/model/status.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { mirrorOf } from "../etcd.ts";
import { waitFor } from "../lab.ts";
import { sayFigure, sayResult, seconds, whole } from "../output.ts";
import type { ClusterPlan } from "../plan.ts";
import { mirrorStatus, statusText } from "../programs.ts";
import { expect, expectNoFailure, expectNoneGone, expectShares, expectUnchanged, requireLoad } from "./expect.ts";
import { beginDrill, type Step, stream, type Tour } from "./tour.ts";

const BREAKER_OPENS_WITHIN_MS = 30_000;
const LEAST_SHARE = 0.2;
/** An age is counted from the last proof, some time before the kill; what had come before it may be read a little later. */
const PROOF_WITHIN_MS = 5_000;

export const outageStaysPut: Step = {
  title: "Osaka's etcd and kvstoremesh are killed with -9, its data path stays up",
  async run(tour) {
    const { osaka } = tour;
    const others = [tour.amsterdam, tour.virginia];
    const mirrors = (): Promise<Mirrors> => Promise.all(others.map((cluster) => mirrorOf(cluster, osaka.name)));
    const before = await mirrors();
    // Lasts until osaka returns, in step 5.
    const outage = beginDrill(tour, "outage");
    await outage.begins;
    const streams = others.map((cluster) => stream(tour, cluster));
    // A stream that fails early must not go unheard while this waits for something else.
    const all = Promise.all(streams);
    all.catch(() => {});
    const killedMs = await outage.broken;
    const opening = Promise.all(others.map((cluster) => breakerOpen(cluster, osaka.name)));
    const [broken, opened] = await Promise.all([mirrors(), opening]);
    const openedMs = systemClock.nowMs() - killedMs;
    const results = await all;
    for (const [index, cluster] of others.entries()) {
      const result = results[index];
      if (result === undefined) continue;
      sayResult(
        `${whole(result.calls)} calls from ${cluster.name}, ${Math.round(result.calls / result.seconds)}/s`,
        result,
      );
      requireLoad(`the stream from ${cluster.name}`, result);
      expectNoFailure(`the stream from ${cluster.name}`, result);
      expectShares(
        `the stream from ${cluster.name}`,
        result,
        tour.lab.plan.clusters.map(({ name }) => name),
        LEAST_SHARE,
      );
    }
    sayFigure(
      "breaker for osaka",
      ...others.map((cluster, index) => `${cluster.name}: ${opened[index]?.breaker}`),
      `within ${seconds(openedMs)}`,
    );
    await outage.lasts;
    for (const [index, { name }] of others.entries()) {
      expectNoneGone(osakasKeysIn(name), before[index] ?? [], broken[index] ?? []);
    }
    await expectSameMirrors(tour, others, broken);
    await expectAges(tour, others, killedMs);
  },
};

type Mirrors = readonly Awaited<ReturnType<typeof mirrorOf>>[];

const osakasKeysIn = (cluster: string): string => `osaka's keys in ${cluster}'s etcd`;

async function breakerOpen(cluster: ClusterPlan, remote: string): Promise<RemoteStatus> {
  return await waitFor(`${cluster.name}'s breaker for ${remote} opens`, BREAKER_OPENS_WITHIN_MS, async () => {
    const status = await remoteStatus(cluster, remote);
    return status?.breaker === "open" && !status.connected ? status : undefined;
  });
}

export async function remoteStatus(cluster: ClusterPlan, remote: string): Promise<RemoteStatus | undefined> {
  return (await mirrorStatus(cluster))?.remotes.find(({ name }) => name === remote);
}

async function expectSameMirrors(tour: Tour, others: readonly ClusterPlan[], before: Mirrors): Promise<void> {
  const after = await Promise.all(others.map((cluster) => mirrorOf(cluster, tour.osaka.name)));
  for (const [index, cluster] of others.entries()) {
    expectUnchanged(osakasKeysIn(cluster.name), before[index] ?? [], after[index] ?? []);
  }
  sayFigure(
    "osaka's keys in their caches",
    ...others.map((cluster, index) => `${cluster.name} ${whole(after[index]?.length ?? 0)}`),
    "0 changed",
  );
}

/** `bulkhead status` says of each cluster how old its state of osaka is, and that the breaker keeps it from being asked. */
async function expectAges(tour: Tour, others: readonly ClusterPlan[], killedMs: number): Promise<void> {
  for (const { name } of others) {
    const row = await waitFor(`bulkhead status shows ${name}'s breaker open`, BREAKER_OPENS_WITHIN_MS, async () => {
      const leastMs = systemClock.nowMs() - killedMs;
      // Half-open for a moment, whenever it probes.
      const found = statusRow(await statusText(tour.lab.plan), name, tour.osaka.name);
      return found.breaker === "open" ? { ...found, leastMs, mostMs: systemClock.nowMs() - killedMs } : undefined;
    });
    sayFigure(`bulkhead status in ${name}`, `osaka: ${seconds(row.ageMs)} old (${row.grade}), breaker ${row.breaker}`);
    const said = `bulkhead status in ${name} says that osaka's state is ${seconds(row.ageMs)} old`;
    expect(
      row.ageMs > row.leastMs - PROOF_WITHIN_MS && row.ageMs < row.mostMs + PROOF_WITHIN_MS,
      `${said}; it was killed ${seconds(row.leastMs)} before it was asked`,
    );
  }
}

/** What the printed status says of a remote of a cluster: its row under the cluster's heading. */
export function statusRow(
  text: string,
  cluster: string,
  remote: string,
): { ageMs: number; grade: string; breaker: string } {
  const block = text.split("\n\n").find((part) => part.startsWith(`${cluster}\n`)) ?? "";
  const row = block.split("\n").find((line) => line.trimStart().startsWith(`${remote} `)) ?? "";
  const [, age, grade = "", breaker = ""] = /([\d.]+) s \((\w+)\) +([\w-]+)/.exec(row) ?? [];
  return { ageMs: Number(age) * 1_000, grade, breaker };
}
