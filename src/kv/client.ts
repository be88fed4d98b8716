/**
 * The etcd door: the few calls that Bulkhead makes, in plain values. Bodies: `etcd.ts` (a real server), `memory.ts` (a model of one),
 * `faulty.ts` (either, with faults). Revisions are numbers: 2^53 writes outlast any etcd; a body refuses larger ones.
 * Keys are UTF-8 text; values are bytes.
 */

export interface KeyValue {
  readonly key: string;
  /** May be a view into the whole answer: copy what is kept for long. */
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** 0n: no lease. */
  readonly leaseId: bigint;
}

/** What every answer carries: the store's revision and the cluster that answered. */
export interface Header {
  readonly revision: number;
  readonly clusterId: bigint;
}

export interface RangeRequest {
  readonly key: string;
  /** Exclusive end; absent: the one key. See `prefixEnd`. */
  readonly rangeEnd?: string;
  /** 0 or absent: no limit. Keys come in ascending byte order. */
  readonly limit?: number;
  /** Absent: the newest. A compacted one fails with `compacted`. */
  readonly revision?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

export interface RangeResponse extends Header {
  readonly kvs: readonly KeyValue[];
  /** Keys in the whole range, whatever the limit. */
  readonly count: number;
  readonly more: boolean;
}

/** `equal` to a number: the key's mod, create revision or version (0: the key does not exist). */
export interface Compare {
  readonly key: string;
  readonly target: "mod" | "create" | "version";
  readonly equal: number;
}

export type Operation =
  | { readonly put: { readonly key: string; readonly value: Uint8Array; readonly leaseId?: bigint } }
  | { readonly delete: { readonly key: string; readonly rangeEnd?: string } };

/** All of `compare` hold: `operations` are applied in one revision; else nothing is. At most 128 operations, each key once. */
export interface TxnRequest {
  readonly compare?: readonly Compare[];
  readonly operations: readonly Operation[];
}

export interface TxnResponse extends Header {
  readonly succeeded: boolean;
  /** Keys removed by the delete operations, together. */
  readonly deleted: number;
}

export type WatchEvent =
  | { readonly type: "put"; readonly kv: KeyValue }
  /** `modRevision` is the revision of the deletion. */
  | { readonly type: "delete"; readonly key: string; readonly modRevision: number };

/** The revision of what happened. */
export function revisionOf(event: WatchEvent): number {
  return event.type === "put" ? event.kv.modRevision : event.modRevision;
}

export function eventKey(event: WatchEvent): string {
  return event.type === "put" ? event.kv.key : event.key;
}

export interface WatchRequest {
  readonly key: string;
  readonly rangeEnd?: string;
  /** First revision wanted; absent: from now. */
  readonly startRevision?: number;
}

/** Why a watch ended. A watch never comes back by itself: the follower decides where to go on. */
export interface WatchEnd {
  /** `compacted`: the start revision is gone; `canceled`: the server ended this watch; `broken`: the stream failed. */
  readonly cause: "compacted" | "canceled" | "broken";
  readonly detail: string;
  readonly compactRevision?: number;
}

/** Called in order, never after `ended`, never after `Watch.cancel()`. */
export interface WatchSink {
  created(header: Header): void;
  /** One complete server response, fragments joined: whole revisions, ascending. */
  events(events: readonly WatchEvent[], header: Header): void;
  /** Everything up to `header.revision` was delivered. */
  progress(header: Header): void;
  ended(end: WatchEnd): void;
}

export interface Watch {
  /**
   * Asks for a `progress` call: a proof of freshness, told to every watch of the stream. It takes two round trips, and some
   * 300 ms more while a watch catches up; a server that cannot prove it does not answer.
   */
  requestProgress(): void;
  cancel(): void;
}

export interface ServerStatus extends Header {
  readonly version: string;
  readonly dbSizeBytes: number;
}

export interface CallOptions {
  /** Overrides the client's own deadline. */
  readonly timeoutMs?: number;
}

/** Every call rejects with a KvError. Every unary call has a deadline. */
export interface KvClient {
  range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse>;
  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse>;
  /** Several watches of one client share a stream. */
  watch(request: WatchRequest, sink: WatchSink): Watch;
  grantLease(ttlSeconds: number): Promise<{ readonly leaseId: bigint; readonly ttlSeconds: number }>;
  /** Renews once; resolves to the new TTL in seconds, 0 when the lease is gone. */
  renewLease(leaseId: bigint): Promise<number>;
  revokeLease(leaseId: bigint): Promise<void>;
  status(): Promise<ServerStatus>;
  /** Ends watches (as `broken`) and calls; idempotent. */
  close(): void;
}

/** How to reach one etcd (one or more members of it). */
export interface ConnectOptions {
  /** `http://host:port` or `https://host:port`, all of one kind. One is used at a time; the next one after a failure. */
  readonly endpoints: readonly string[];
  /** PEM. Absent with https: the system's authorities. */
  readonly ca?: Uint8Array;
  /** PEM, with `key`. */
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  /** Addresses to use for a name, instead of asking DNS; the certificate must still carry the name. */
  readonly hostAliases?: readonly { readonly hostname: string; readonly ips: readonly string[] }[];
  /** Deadline of a unary call, and of the first answer to a watch. */
  readonly timeoutMs: number;
  /** Between pings on an idle connection; servers refuse less than their own minimum (5000 unless they were told). */
  readonly keepaliveMs: number;
  /** Silence after a ping that ends the connection. */
  readonly keepaliveTimeoutMs: number;
}

/** Returns at once; the connection is made by the first call. Throws a UserError for endpoints or certificates that make no sense. */
export type ConnectEtcd = (options: ConnectOptions) => KvClient;

export type KvErrorCode =
  | "unavailable"
  | "deadline"
  | "canceled"
  | "compacted"
  | "future-revision"
  | "denied"
  | "unauthenticated"
  | "no-space"
  | "too-large"
  | "lease-not-found"
  | "invalid";

const RETRYABLE: ReadonlySet<KvErrorCode> = new Set(["unavailable", "deadline", "unauthenticated", "no-space"]);

export class KvError extends Error {
  override readonly name = "KvError";
  readonly code: KvErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** Whether a write may have been applied all the same, now or later. */
  readonly outcomeUnknown: boolean;

  constructor(code: KvErrorCode, message: string, outcomeUnknown = code === "deadline" || code === "canceled") {
    super(message);
    this.code = code;
    this.retryable = RETRYABLE.has(code);
    this.outcomeUnknown = outcomeUnknown;
  }
}

/** The first key after `key`. */
export function keyAfter(key: string): string {
  return `${key}\0`;
}

/** The exclusive end of all keys that start with `prefix`: its last byte plus one. ASCII prefixes only. */
export function prefixEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  if (!(last < 0x7f)) throw new RangeError(`prefix must end in an ASCII character: ${prefix}`);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
