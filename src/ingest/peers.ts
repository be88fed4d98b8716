/**
 * How fresh the remotes are, in the mirror's words. They count while they keep changing: a record that was only listed may be as old as the
 * etcd, so it proves nothing until it was seen to change; and one that stops changing says nothing any more. No table knows of this.
 */
import { isDeepStrictEqual } from "node:util";
import { prefixRange } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import type { Grade, PeersAnswer, PeersStatus } from "../model/status.ts";
import type { Clock } from "../runtime/clock.ts";
import { PEER_DETAIL_PREFIX, PEER_GRADES_KEY } from "../wire/keys.ts";
import { type GradesRecord, judgeGrades, judgePeerDetail } from "../wire/peers.ts";

/** Intervals of the mirror without a change after which it counts as silent. */
export const SILENT_INTERVALS = 3;

export class Peers {
  readonly #clock: Clock;
  #record: GradesRecord | undefined;
  /** When the record was last seen to change; undefined: not since it was listed so. */
  #changedAtMs: number | undefined;
  #rejection: string | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What a listing shows, undefined when there is none. The same record as before is as old as it was before. */
  listed(bytes: Uint8Array | undefined): void {
    const before = this.#record;
    if (bytes === undefined) this.gone();
    else this.#read(bytes);
    if (this.#differs(before)) this.#changedAtMs = undefined;
  }

  /** A watch saw it written. */
  written(bytes: Uint8Array): void {
    const before = this.#record;
    this.#read(bytes);
    if (this.#differs(before)) this.#changedAtMs = this.#clock.nowMs();
  }

  /** Not by the sequence alone: the copy of an etcd that somebody brought back may have reached the same number with other grades. */
  #differs(before: GradesRecord | undefined): boolean {
    return !isDeepStrictEqual(this.#record, before);
  }

  gone(): void {
    this.#record = undefined;
    this.#changedAtMs = undefined;
    this.#rejection = undefined;
  }

  /** A record that is refused leaves the last good one, which ages. */
  #read(bytes: Uint8Array): void {
    const judged = judgeGrades(PEER_GRADES_KEY, bytes);
    if (judged.ok) this.#record = judged.value;
    this.#rejection = judged.ok ? undefined : `${PEER_GRADES_KEY}: ${judged.rejection.detail}`;
  }

  /** @param clusters others that this node knows: a mirror that does not name them does not vouch for them. */
  status(clusters: readonly string[]): PeersStatus {
    const grades: ReadonlyMap<string, Grade> = this.#record?.grades ?? new Map();
    const ageMs = this.#changedAtMs === undefined ? undefined : this.#clock.nowMs() - this.#changedAtMs;
    const controlPlane = this.#stateAt(ageMs);
    const names = [...new Set([...clusters, ...grades.keys()])].sort();
    return {
      controlPlane,
      ...(ageMs !== undefined && { ageMs }),
      remotes: names.map((cluster) => {
        return { cluster, grade: (controlPlane === "talking" ? grades.get(cluster) : undefined) ?? "unknown" };
      }),
    };
  }

  #stateAt(ageMs: number | undefined): PeersStatus["controlPlane"] {
    if (this.#record === undefined || ageMs === undefined) return "unproven";
    return ageMs >= SILENT_INTERVALS * this.#record.intervalMs ? "silent" : "talking";
  }

  problems(): readonly string[] {
    return this.#rejection === undefined ? [] : [this.#rejection];
  }
}

/** Rejects with a KvError when the local etcd does not answer. */
export async function readPeerDetails(kv: KvClient): Promise<Pick<PeersAnswer, "details" | "problems">> {
  const { kvs } = await kv.range(prefixRange(PEER_DETAIL_PREFIX));
  const judged = kvs.map(({ key, value }) => judgePeerDetail(key.slice(PEER_DETAIL_PREFIX.length), key, value));
  return {
    details: judged.flatMap((one) => (one.ok ? one.value : [])),
    problems: judged.flatMap((one) => (one.ok ? [] : `${one.rejection.key}: ${one.rejection.detail}`)),
  };
}
