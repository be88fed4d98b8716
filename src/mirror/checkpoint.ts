/**
 * How far the cache is known to follow a remote, and how to tell the remote's etcd from one that took its place: a wiped etcd keeps its
 * cluster id, and a restored one every key that was in the backup, but neither has the newest keys just so at the revision that we saw them at.
 */
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

/** From where a watch may go on without a listing. */
export interface ResumePoint extends Checkpoint {
  /** The cluster config as the remote wrote it. */
  readonly configBytes: Uint8Array;
  /** Canaries of the remote: key -> value. */
  readonly canaries: ReadonlyMap<string, Uint8Array>;
  readonly complete: ReadonlySet<ResourceKind>;
  readonly draining: boolean;
}

/** `unknown`: nothing is remembered of it. An etcd that has forgotten what we remember of it is `other`: it cannot be told from one that never knew. */
export type World = "same" | "other" | "unknown";

/** Rejects with a KvError when the remote cannot be asked. */
export async function judgeWorld(kv: KvClient, clusterId: bigint, checkpoint: Checkpoint): Promise<World> {
  if (clusterId !== checkpoint.clusterId) return "other";
  try {
    for (const witness of checkpoint.witnesses) if (!(await confirms(kv, witness))) return "other";
    return "same";
  } catch (error) {
    if (error instanceof KvError && (error.code === "compacted" || error.code === "future-revision")) return "other";
    throw error;
  }
}
