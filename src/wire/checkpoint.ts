/** `bulkhead/v1/checkpoints/<cluster>`: up to where the cache is known to follow a remote's etcd, and what proves that it is still that etcd. */
import type { Judged } from "../model/resource.ts";
import { Fields } from "./fields.ts";
import { encodeGoJson } from "./go-json.ts";
import { parseJson } from "./json.ts";
import { judging, limitBytes, Refusal } from "./refusal.ts";

export interface CheckpointRecord {
  /** Of the remote's etcd, in decimal. */
  readonly etcdClusterId: string;
  readonly revision: number;
  readonly witnesses: readonly {
    readonly key: string;
    readonly modRevision: number;
    readonly version: number;
    readonly digest: string;
  }[];
}

const MAX_BYTES = 16 * 1024;
const MAX_REVISION = Number.MAX_SAFE_INTEGER;

export function encodeCheckpoint({ etcdClusterId, revision, witnesses }: CheckpointRecord): Uint8Array {
  return encodeGoJson({
    etcdClusterId,
    revision,
    witnesses: witnesses.map(({ key, modRevision, version, digest }) => ({ key, modRevision, version, digest })),
  });
}

/** @param key names the value in a rejection. */
export function judgeCheckpoint(key: string, bytes: Uint8Array): Judged<CheckpointRecord> {
  return judging(key, () => {
    limitBytes(bytes, MAX_BYTES);
    const fields = new Fields(parseJson(bytes));
    const etcdClusterId = fields.text("etcdClusterId");
    if (!/^[0-9]{1,20}$/.test(etcdClusterId)) throw new Refusal("malformed", "is no number", ["etcdClusterId"]);
    const witnesses = fields.objects("witnesses").map((item) => ({
      key: item.text("key"),
      modRevision: item.whole("modRevision", MAX_REVISION),
      version: item.whole("version", MAX_REVISION),
      digest: item.text("digest"),
    }));
    if (witnesses.length === 0) throw new Refusal("malformed", "must not be empty", ["witnesses"]);
    return { etcdClusterId, revision: fields.whole("revision", MAX_REVISION), witnesses };
  });
}
