/** What ends a tour: an expectation that does not hold (failed), or a load that was not reached (invalid: it proves nothing). */

import type { StoredKey } from "../etcd.ts";
import { failuresText, whole } from "../output.ts";
import { byCluster, type JobResult, totalOf } from "../workload/jobs.ts";

/** A steady stream below this is no load. */
export const LEAST_PER_SECOND = 200;
export const LEAST_SECONDS = 20;

export class ExpectationFailed extends Error {
  override readonly name = "ExpectationFailed";
}

export class InvalidRun extends Error {
  override readonly name = "InvalidRun";
}

export function expect(holds: boolean, what: string): void {
  if (!holds) throw new ExpectationFailed(what);
}

/** Every call was answered. Running out of ports or files is this machine's, not the mesh's. */
export function expectNoFailure(who: string, result: Pick<JobResult, "calls" | "failures" | "unstarted">): void {
  if (result.unstarted > 0)
    throw new InvalidRun(`${who} could not start ${result.unstarted} calls: out of ports or files`);
  expect(
    totalOf(result.failures) === 0,
    `${who}: ${failuresText(result.failures)} of ${whole(result.calls)} calls; expected 0`,
  );
}

/** Each of exactly these clusters gave at least its share of all answers. */
export function expectShares(who: string, result: JobResult, clusters: readonly string[], leastShare: number): void {
  const counts = byCluster(result.answers);
  const strangers = [...counts.keys()].filter((cluster) => !clusters.includes(cluster));
  expect(strangers.length === 0, `${who}: answers from ${strangers.join(", ")}; expected only ${clusters.join(", ")}`);
  for (const cluster of clusters) {
    const share = (counts.get(cluster) ?? 0) / Math.max(1, result.calls);
    expect(
      share >= leastShare,
      `${who}: ${cluster} gave ${(share * 100).toFixed(1)} % of the answers; expected ${leastShare * 100} % at least`,
    );
  }
}

export function requireLoad(who: string, result: JobResult): void {
  const perSecond = result.calls / Math.max(result.seconds, Number.EPSILON);
  if (perSecond >= LEAST_PER_SECOND && result.seconds >= LEAST_SECONDS) return;
  const reached = `${perSecond.toFixed(0)} connections/s for ${result.seconds.toFixed(1)} s`;
  throw new InvalidRun(`${who} reached ${reached}; a steady stream is ${LEAST_PER_SECOND}/s for ${LEAST_SECONDS} s`);
}

/** Keys that appeared, vanished or were written between two readings, in words; empty when none. */
export function keyChanges(before: readonly StoredKey[], after: readonly StoredKey[]): readonly string[] {
  const left = new Map(before.map((stored) => [stored.key, stored.modRevision]));
  const changes: string[] = [];
  for (const { key, modRevision } of after) {
    const known = left.get(key);
    left.delete(key);
    if (known === undefined) changes.push(`${key} appeared`);
    else if (known !== modRevision) changes.push(`${key} was written`);
  }
  return [...changes, ...[...left.keys()].map((key) => `${key} vanished`)];
}

/** Until a fault is done those who may write them may do so: one that leads anew after the machine stopped writes its canaries. */
export function expectNoneGone(what: string, before: readonly StoredKey[], after: readonly StoredKey[]): void {
  const left = new Set(after.map(({ key }) => key));
  const gone = before.filter(({ key }) => !left.has(key));
  expect(gone.length === 0, `${what}: ${gone.length} keys vanished, the first: ${gone[0]?.key}; expected none`);
}

export function expectUnchanged(what: string, before: readonly StoredKey[], after: readonly StoredKey[]): void {
  expect(before.length > 0, `${what}: there was nothing to begin with`);
  const changes = keyChanges(before, after);
  expect(changes.length === 0, `${what}: ${changes.length} changes, the first: ${changes[0]}; expected none`);
}
