/** The store of the in-memory etcd: keys with their history, revisions, compaction. Synchronous; no leases, watches or time. */
import {
  type Compare,
  type KeyValue,
  KvError,
  type Operation,
  type RangeRequest,
  revisionOf,
  type TxnRequest,
  type WatchEvent,
} from "./client.ts";

/** The server's `--max-txn-ops`. */
const MAX_TXN_OPERATIONS = 128;
/** The server's `--max-request-bytes`. */
const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;
/** Rough bytes of framing per operation or comparison. */
const OPERATION_OVERHEAD_BYTES = 16;

/** What a Txn changed, and what happened to the keys, in order. */
export interface Commit {
  readonly succeeded: boolean;
  readonly deleted: number;
  readonly events: readonly WatchEvent[];
}

/** `kv` absent: a tombstone. */
interface Version {
  readonly modRevision: number;
  readonly kv: KeyValue | undefined;
}

/** Order of the UTF-8 bytes of two strings, which surrogate pairs make differ from JavaScript's own. */
export function compareKeys(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a !== b) return rank(a) - rank(b);
  }
  return left.length - right.length;
}

/** Surrogates (code points from U+10000) come after U+E000..U+FFFF in UTF-8. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Whether `key` lies in a range as etcd means it: no end: the one key; an end of "\0": everything from `from` on. */
export function isInRange(key: string, from: string, rangeEnd: string | undefined): boolean {
  if (rangeEnd === undefined || rangeEnd === "") return key === from;
  return compareKeys(key, from) >= 0 && (rangeEnd === "\0" || compareKeys(key, rangeEnd) < 0);
}

const COMPACTED = "etcdserver: mvcc: required revision has been compacted";
const FUTURE = "etcdserver: mvcc: required revision is a future revision";

export class MemoryStore {
  #revision = 1;
  /** -1: never compacted. */
  #compactRevision = -1;
  readonly #versions = new Map<string, Version[]>();
  /** Every key of `#versions`, sorted. */
  #keys: string[] = [];
  /** Every event since the last compaction, in order. */
  #log: WatchEvent[] = [];

  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** Sum of the sizes of live keys and values. */
  sizeBytes(): number {
    let bytes = 0;
    for (const key of this.#keys) {
      const kv = this.get(key);
      if (kv) bytes += key.length + kv.value.length;
    }
    return bytes;
  }

  get(key: string): KeyValue | undefined {
    return this.#versions.get(key)?.at(-1)?.kv;
  }

  range(request: RangeRequest): { kvs: readonly KeyValue[]; count: number; more: boolean } {
    if (request.key === "") throw new KvError("invalid", "etcdserver: key is not provided");
    const revision = request.revision ?? 0;
    if (revision > this.#revision) throw new KvError("future-revision", FUTURE);
    if (revision > 0 && revision < this.#compactRevision) throw new KvError("compacted", COMPACTED);
    const limit = request.limit || Number.POSITIVE_INFINITY;
    const kvs: KeyValue[] = [];
    let count = 0;
    for (const kv of this.#live(request.key, request.rangeEnd, revision || this.#revision)) {
      count++;
      if (!request.countOnly && kvs.length < limit)
        kvs.push(request.keysOnly ? { ...kv, value: new Uint8Array() } : kv);
    }
    return { kvs, count, more: !request.countOnly && count > kvs.length };
  }

  *#live(from: string, rangeEnd: string | undefined, revision: number): Generator<KeyValue> {
    for (let at = this.#indexOf(from); at < this.#keys.length; at++) {
      const key = this.#keys[at] as string;
      if (!isInRange(key, from, rangeEnd)) return;
      const kv = this.#versions.get(key)?.findLast((version) => version.modRevision <= revision)?.kv;
      if (kv) yield kv;
    }
  }

  /** Index of the first key that is not before `key`. */
  #indexOf(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareKeys(this.#keys[middle] as string, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Refuses what the server refuses before it looks at any key. */
  static check(request: TxnRequest): void {
    const compare = request.compare ?? [];
    if (Math.max(compare.length, request.operations.length) > MAX_TXN_OPERATIONS) {
      throw new KvError("invalid", "etcdserver: too many operations in txn request");
    }
    const keys = [...compare.map((one) => one.key), ...request.operations.map(keyOf)];
    if (keys.includes("")) throw new KvError("invalid", "etcdserver: key is not provided");
    refuseDuplicates(request.operations);
    if (request.operations.length > 0 && sizeOf(request) > MAX_REQUEST_BYTES) {
      throw new KvError("too-large", "etcdserver: request is too large");
    }
  }

  /** Applies a checked Txn in one revision. */
  txn(request: TxnRequest): Commit {
    if (!this.holds(request.compare)) return { succeeded: false, deleted: 0, events: [] };
    const revision = this.#revision + 1;
    const events: WatchEvent[] = [];
    let deleted = 0;
    for (const operation of request.operations) {
      if ("put" in operation) {
        events.push(this.#put(operation.put, revision));
      } else {
        const removed = this.#delete(operation.delete.key, operation.delete.rangeEnd, revision);
        deleted += removed.length;
        events.push(...removed);
      }
    }
    if (events.length > 0) this.#revision = revision;
    this.#log.push(...events);
    return { succeeded: true, deleted, events };
  }

  holds(compare: readonly Compare[] = []): boolean {
    return compare.every(({ key, target, equal }) => {
      const kv = this.get(key);
      const field = { mod: kv?.modRevision, create: kv?.createRevision, version: kv?.version }[target];
      return (field ?? 0) === equal;
    });
  }

  #put(put: { key: string; value: Uint8Array; leaseId?: bigint }, modRevision: number): WatchEvent {
    const before = this.get(put.key);
    const kv: KeyValue = {
      key: put.key,
      value: Uint8Array.from(put.value),
      createRevision: before?.createRevision ?? modRevision,
      modRevision,
      version: (before?.version ?? 0) + 1,
      leaseId: put.leaseId ?? 0n,
    };
    const versions = this.#versions.get(put.key);
    if (versions) {
      versions.push({ modRevision, kv });
    } else {
      this.#versions.set(put.key, [{ modRevision, kv }]);
      this.#keys.splice(this.#indexOf(put.key), 0, put.key);
    }
    return { type: "put", kv };
  }

  #delete(from: string, rangeEnd: string | undefined, modRevision: number): WatchEvent[] {
    const events: WatchEvent[] = [];
    for (const { key } of this.#live(from, rangeEnd, modRevision)) {
      this.#versions.get(key)?.push({ modRevision, kv: undefined });
      events.push({ type: "delete", key, modRevision });
    }
    return events;
  }

  /** Events from `revision` on, at most `maxRevisions` whole revisions of the log; `next` is where to go on, absent at the end. */
  history(revision: number, maxRevisions: number): { events: readonly WatchEvent[]; next?: number } {
    let at = this.#log.findIndex((event) => revisionOf(event) >= revision);
    if (at < 0) return { events: [] };
    const start = at;
    let revisions = 0;
    for (let last = 0; at < this.#log.length; at++) {
      const current = revisionOf(this.#log[at] as WatchEvent);
      if (current !== last && ++revisions > maxRevisions) {
        return { events: this.#log.slice(start, at), next: current };
      }
      last = current;
    }
    return { events: this.#log.slice(start) };
  }

  /**
   * Forgets what was overwritten or deleted up to `revision`. A tombstone at exactly that revision goes too, so that a watch
   * from there does not see the deletion: etcd before 3.5.16 does the same.
   */
  compact(revision: number): void {
    if (revision > this.#revision) throw new KvError("future-revision", FUTURE);
    if (revision <= this.#compactRevision) throw new KvError("compacted", COMPACTED);
    this.#compactRevision = revision;
    for (const [key, versions] of this.#versions) {
      const last = versions.findLastIndex((version) => version.modRevision <= revision);
      const kept = versions.slice(versions[last]?.kv ? last : last + 1);
      if (kept.length > 0) this.#versions.set(key, kept);
      else this.#versions.delete(key);
    }
    this.#keys = this.#keys.filter((key) => this.#versions.has(key));
    this.#log = this.#log.filter((event) => this.#survives(event, revision));
  }

  #survives(event: WatchEvent, compacted: number): boolean {
    const at = revisionOf(event);
    return at > compacted || (at === compacted && event.type === "put");
  }

  /** An independent store in the same state. */
  clone(): MemoryStore {
    const copy = new MemoryStore();
    copy.#revision = this.#revision;
    copy.#compactRevision = this.#compactRevision;
    for (const [key, versions] of this.#versions) copy.#versions.set(key, [...versions]);
    copy.#keys = [...this.#keys];
    copy.#log = [...this.#log];
    return copy;
  }
}

function keyOf(operation: Operation): string {
  return "put" in operation ? operation.put.key : operation.delete.key;
}

/** A key may be put once, and not lie in a deleted range as well; deletions may overlap. The server's check takes "\0" literally. */
function refuseDuplicates(operations: readonly Operation[]): void {
  const deletes = operations.filter((operation) => "delete" in operation && operation.delete.rangeEnd !== "\0");
  const puts = new Set<string>();
  for (const operation of operations) {
    if (!("put" in operation)) continue;
    const { key } = operation.put;
    const deleted = deletes.some(
      (other) => "delete" in other && isInRange(key, other.delete.key, other.delete.rangeEnd),
    );
    if (puts.has(key) || deleted) throw new KvError("invalid", "etcdserver: duplicate key given in txn request");
    puts.add(key);
  }
}

function sizeOf(request: TxnRequest): number {
  let bytes = 0;
  for (const { key } of request.compare ?? []) bytes += key.length + OPERATION_OVERHEAD_BYTES;
  for (const operation of request.operations) {
    bytes += OPERATION_OVERHEAD_BYTES + keyOf(operation).length;
    bytes += "put" in operation ? operation.put.value.length : (operation.delete.rangeEnd?.length ?? 0);
  }
  return bytes;
}
