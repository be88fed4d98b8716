/** etcd3's messages as the door's plain values, and back. int64 arrives as decimal text, bytes as Buffers. */
import type { IEvent, IKeyValue, IRangeRequest, IResponseHeader } from "etcd3";
import { type Header, type KeyValue, KvError, type RangeRequest, type WatchEvent } from "./client.ts";

/** A revision, count or version. */
export function toNumber(int64: string): number {
  const value = Number(int64);
  if (!Number.isSafeInteger(value)) throw new KvError("invalid", `number beyond 2^53 from etcd: ${int64}`);
  return value;
}

export function toHeader(header: IResponseHeader): Header {
  return { revision: toNumber(header.revision), clusterId: BigInt(header.cluster_id) };
}

export function toKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString("utf8"),
    value: new Uint8Array(kv.value.buffer, kv.value.byteOffset, kv.value.byteLength),
    createRevision: toNumber(kv.create_revision),
    modRevision: toNumber(kv.mod_revision),
    version: toNumber(kv.version),
    leaseId: BigInt(kv.lease),
  };
}

export function toWatchEvent(event: IEvent): WatchEvent {
  // The loader names enum values as the .proto file does; etcd3's own types differ in case.
  if (String(event.type).toUpperCase() !== "DELETE") return { type: "put", kv: toKeyValue(event.kv) };
  return { type: "delete", key: event.kv.key.toString("utf8"), modRevision: toNumber(event.kv.mod_revision) };
}

export function fromRange(request: RangeRequest): IRangeRequest {
  return {
    ...fromKeys(request),
    ...(request.limit && { limit: request.limit }),
    ...(request.revision && { revision: request.revision }),
    ...(request.keysOnly && { keys_only: true }),
    ...(request.countOnly && { count_only: true }),
  };
}

export function fromKeys(range: { readonly key: string; readonly rangeEnd?: string }): {
  key: Buffer;
  range_end?: Buffer;
} {
  const key = Buffer.from(range.key);
  return range.rangeEnd === undefined ? { key } : { key, range_end: Buffer.from(range.rangeEnd) };
}
