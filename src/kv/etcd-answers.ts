/**
 * etcd's larger answers, read from their bytes: etcd3's own decoder makes objects and texts of everything, and holds the loop for a whole page. The field
 * numbers are those of etcd's rpc.proto and kv.proto.
 */
import type { Etcd3 } from "etcd3";
import type { Slices } from "../runtime/clock.ts";
import type { Header, KeyValue, RangeResponse, TxnResponse } from "./client.ts";
import { EtcdMessage } from "./etcd-message.ts";

type Interceptor = NonNullable<NonNullable<Parameters<Etcd3["kv"]["range"]>[1]>["interceptors"]>[number];

/** Makes a call resolve to the bytes of its answer, whatever its type says. gRPC makes the definition anew for each call. */
export const asBytes: Interceptor = (options, nextCall) => {
  options.method_definition.responseDeserialize = (bytes: Buffer) => bytes;
  return nextCall(options) as ReturnType<Interceptor>;
};

/** The same for a call whose request is `bytes` already. */
export function bytesAsBytes(bytes: Buffer): Interceptor {
  return (options, nextCall) => {
    options.method_definition.requestSerialize = () => bytes;
    return asBytes(options, nextCall);
  };
}

/** Keys read between two looks at the clock. */
const KEYS_AT_ONCE = 32;
const NO_BYTES: Uint8Array = new Uint8Array();

function readHeader(message: EtcdMessage): Header {
  let clusterId = 0n;
  let revision = 0;
  for (let field = message.next(); field > 0; field = message.next()) {
    if (field === 1) clusterId = message.big();
    else if (field === 3) revision = message.whole();
    else message.skip();
  }
  return { clusterId, revision };
}

function readKeyValue(message: EtcdMessage): KeyValue {
  let key = "";
  let value = NO_BYTES;
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  let leaseId = 0n;
  for (let field = message.next(); field > 0; field = message.next()) {
    if (field === 1) key = message.text();
    else if (field === 2) createRevision = message.whole();
    else if (field === 3) modRevision = message.whole();
    else if (field === 4) version = message.whole();
    else if (field === 5) value = message.bytes();
    else if (field === 6) leaseId = message.big();
    else message.skip();
  }
  return { key, value, createRevision, modRevision, version, leaseId };
}

/** Rests between keys. Rejects with a KvError. */
export async function readRangeResponse(bytes: Buffer, slices: Slices): Promise<RangeResponse> {
  const message = new EtcdMessage(bytes);
  let header: Header = { clusterId: 0n, revision: 0 };
  const kvs: KeyValue[] = [];
  let more = false;
  let count = 0;
  for (let field = message.next(); field > 0; field = message.next()) {
    if (field === 1) header = readHeader(message.message());
    else if (field === 2) kvs.push(readKeyValue(message.message()));
    else if (field === 3) more = message.whole() > 0;
    else if (field === 4) count = message.whole();
    else message.skip();
    if (kvs.length % KEYS_AT_ONCE === 0) await slices.rest();
  }
  return { ...header, kvs, more, count };
}

/** What a delete operation of a transaction removed; 0 of a put. */
function readDeleted(response: EtcdMessage): number {
  let deleted = 0;
  for (let field = response.next(); field > 0; field = response.next()) {
    if (field !== 3) {
      response.skip();
      continue;
    }
    const range = response.message();
    for (let inner = range.next(); inner > 0; inner = range.next()) {
      if (inner === 2) deleted = range.whole();
      else range.skip();
    }
  }
  return deleted;
}

/** Throws a KvError. */
export function readTxnResponse(bytes: Buffer): TxnResponse {
  const message = new EtcdMessage(bytes);
  let header: Header = { clusterId: 0n, revision: 0 };
  let succeeded = false;
  let deleted = 0;
  for (let field = message.next(); field > 0; field = message.next()) {
    if (field === 1) header = readHeader(message.message());
    else if (field === 2) succeeded = message.whole() > 0;
    else if (field === 3) deleted += readDeleted(message.message());
    else message.skip();
  }
  return { ...header, succeeded, deleted };
}
