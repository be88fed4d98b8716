/**
 * How far the cache is known to follow a remote, and how to tell the remote's etcd from one that took its place: a wiped etcd keeps its
 * cluster id, and a restored one every key that was in the backup, but neither has the newest keys just so at the revision that we saw them at.
 */

import type { Facts } from "../follow/facts.ts";
import { confirms, type Witness } from "../follow/list.ts";
import { type KvClient, KvError } from "../kv/client.ts";
import type { ResourceKind } from "../wire/resources.ts";

export interface Checkpoint {
  /** Of the remote's etcd. */
  readonly clusterId: bigint;
  /** Everything up to here is acknowledged in the cache. */
  readonly revision: number;
  /** At least one. */
  readonly witnesses: readonly Witness[];
}

/** The newest revision that was seen: what comes from there may be in the cache without having been acknowledged. */
export function seenTo({ revision, witnesses }: Checkpoint): number {
  return Math.max(revision, ...witnesses.map((one) => one.revision));
}

/** From where a watch may go on without a listing. */
export interface ResumePoint extends Checkpoint {
  /** The cluster config as the remote wrote it. */
  readonly configBytes: Uint8Array;
  /** Canaries of the remote: key -> value. */
  readonly canaries: ReadonlyMap<string, Uint8Array>;
  readonly complete: ReadonlySet<ResourceKind>;
  /** To go on from. */
  readonly facts: Facts;
}

/**
 * What is known best of a remote: of the record in the local etcd, and what this process remembers. A process that led meanwhile came further. A local
 * etcd that was restored has forgotten what we saw, and its cache may be of another etcd than the one that we followed since: then both have to be confirmed.
 */
export function furthest(recorded: Checkpoint | undefined, own: Checkpoint | undefined): Checkpoint | undefined {
  if (!recorded || !own) return recorded ?? own;
  if (recorded.clusterId === own.clusterId && recorded.revision >= seenTo(own)) return recorded;
  // Asked again at the next term, which may come before the remote answers: what is there already is not added twice.
  const isKnown = ({ key, revision }: Witness): boolean =>
    own.witnesses.some((one) => one.key === key && one.revision === revision);
  const witnesses = [...own.witnesses, ...recorded.witnesses.filter((one) => !isKnown(one))];
  return { ...own, revision: Math.min(recorded.revision, own.revision), witnesses };
}

/**
 * `unknown`: nothing is remembered of it. `past`: what answers has not come as far as we followed it: its etcd was restored, or is a member that is behind.
 * An etcd that has forgotten what we remember of it is `other`: it cannot be told from one that never knew.
 */
export type World = "same" | "other" | "past" | "unknown";

/** Reads of one fact, of which each may be answered by another member. */
const MAX_READS = 4;

/** Rejects with a KvError when the remote cannot be asked. */
export async function judgeWorld(kv: KvClient, clusterId: bigint, checkpoint: Checkpoint): Promise<World> {
  if (clusterId !== checkpoint.clusterId) return "other";
  try {
    for (const witness of checkpoint.witnesses) if (!(await confirmsInTime(kv, witness))) return "other";
    return "same";
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    if (error.code === "compacted") return "other";
    if (error.code === "future-revision") return "past";
    throw error;
  }
}

async function confirmsInTime(kv: KvClient, fact: Witness): Promise<boolean> {
  for (let reads = 1; ; reads++) {
    try {
      return await confirms(kv, fact);
    } catch (error) {
      if (!(error instanceof KvError && error.code === "future-revision") || reads === MAX_READS) throw error;
    }
  }
}

/** Tries in a row that must all be answered from the past, over `REWIND_MS`, before that is taken for the remote's etcd as it is now. */
const REWIND_TRIES = 3;
const REWIND_MS = 3_000;

/** Of one remote: tells an etcd that went back in time from a member that will catch up. */
export class Rewind {
  #tries = 0;
  #sinceMs = 0;

  /** A try met `world`. Returns what to take it for; `past`: too early to say. */
  met(world: World, nowMs: number): World {
    if (world !== "past") {
      this.#tries = 0;
      return world;
    }
    if (this.#tries === 0) this.#sinceMs = nowMs;
    this.#tries++;
    return this.#tries >= REWIND_TRIES && nowMs - this.#sinceMs >= REWIND_MS ? "other" : "past";
  }
}
