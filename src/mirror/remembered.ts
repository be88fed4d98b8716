/** What the mirror keeps in the local etcd about a remote beside its state: how far it was followed, and what an operator refused to believe. */
import { type KvClient, KvError } from "../kv/client.ts";
import type { Writer } from "../publish/publisher.ts";
import { encodeCheckpoint, judgeCheckpoint } from "../wire/checkpoint.ts";
import { encodeHolds, type HoldRecord, judgeHolds } from "../wire/holds.ts";
import { checkpointKey, holdsKey } from "../wire/keys.ts";
import type { ResourceKind } from "../wire/resources.ts";
import type { Checkpoint } from "./checkpoint.ts";

export interface Remembered {
  readonly checkpoint?: Checkpoint;
  /** Kinds of which something was held, discarded or not. */
  readonly held: readonly ResourceKind[];
  /** What an operator discarded: all that is held of a kind, or, where they are named, single keys of it. */
  readonly discarded: readonly Pick<HoldRecord, "kind" | "names">[];
}

/** What cannot be read, or not be understood, is as if it were not there. Rejects with a KvError when the local etcd does not answer. */
export async function readRemembered(local: KvClient, remote: string): Promise<Remembered> {
  const found = async (key: string): Promise<Uint8Array | undefined> => {
    try {
      return (await local.range({ key })).kvs[0]?.value;
    } catch (error) {
      if (error instanceof KvError && error.code === "denied") return undefined;
      throw error;
    }
  };
  const checkpointBytes = await found(checkpointKey(remote));
  const holdsBytes = await found(holdsKey(remote));
  const checkpoint = checkpointBytes && judgeCheckpoint(checkpointKey(remote), checkpointBytes);
  const holds = holdsBytes && judgeHolds(holdsKey(remote), holdsBytes);
  const rows = holds?.ok ? holds.value : [];
  return {
    ...(checkpoint?.ok && { checkpoint: fromRecord(checkpoint.value) }),
    held: rows.map(({ kind }) => kind),
    discarded: rows.filter(({ state }) => state === "discarded"),
  };
}

function fromRecord({ etcdClusterId, revision, witnesses }: Parameters<typeof encodeCheckpoint>[0]): Checkpoint {
  return { clusterId: BigInt(etcdClusterId), revision, witnesses: witnesses.map((one) => ({ ...one, revision })) };
}

export function writeCheckpoint(writer: Writer, remote: string, { clusterId, revision, witnesses }: Checkpoint): void {
  const record = { etcdClusterId: String(clusterId), revision, witnesses };
  writer.put(checkpointKey(remote), encodeCheckpoint(record), "bulk");
}

/** Writes what is held now, for whoever looks into the etcd and for the next process. */
export function writeHolds(writer: Writer, remote: string, holds: Parameters<typeof encodeHolds>[0]): void {
  if (holds.length === 0) writer.delete(holdsKey(remote), "bulk");
  else writer.put(holdsKey(remote), encodeHolds(holds), "bulk");
}
