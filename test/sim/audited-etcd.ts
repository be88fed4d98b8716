/** A local etcd that checks every write that is accepted below `cilium/`, at the moment it is. */
import { type Operation, prefixEnd, type TxnRequest, type TxnResponse } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { KVSTOREMESH_LOCK_PREFIX } from "../../src/wire/keys.ts";
import type { Trace } from "./trace.ts";
import { Truth, textOf } from "./truth.ts";

/** Small, so that ordinary responses come in fragments and connections break between them. */
const FRAGMENT_BYTES = 256;

export class AuditedEtcd extends MemoryEtcd {
  readonly #cluster: string;
  readonly #trace: Trace;
  readonly #truths: ReadonlyMap<string, Truth>;
  /** Cache key -> version of the newest value it ever held. */
  readonly #newest = new Map<string, number>();

  constructor(cluster: string, id: number, clock: Clock, trace: Trace, truths: ReadonlyMap<string, Truth>) {
    super({ clock, clusterId: BigInt(0x1000 + id), fragmentBytes: FRAGMENT_BYTES });
    this.#cluster = cluster;
    this.#trace = trace;
    this.#truths = truths;
  }

  override txn(request: TxnRequest): TxnResponse {
    const leader = this.#leader();
    const held = new Set(request.operations.map(keyOf).filter((key) => this.range({ key }).count > 0));
    const answer = super.txn(request);
    if (!answer.succeeded) return answer;
    for (const operation of request.operations) this.#audit(operation, request, leader, held);
    this.#trace.note(`${this.#cluster} txn ${answer.revision} ${request.operations.map(brief).join(" ")}`);
    return answer;
  }

  /** Key of the oldest lock. */
  #leader(): string | undefined {
    const prefix = `${KVSTOREMESH_LOCK_PREFIX}/`;
    return [...this.range({ key: prefix, rangeEnd: prefixEnd(prefix) }).kvs].sort(
      (left, right) => left.createRevision - right.createRevision,
    )[0]?.key;
  }

  #audit(operation: Operation, request: TxnRequest, leader: string | undefined, held: ReadonlySet<string>): void {
    const key = keyOf(operation);
    if (key.startsWith(KVSTOREMESH_LOCK_PREFIX)) return;
    if (!request.compare?.some((compare) => compare.key === leader)) {
      this.#trace.violate("I6", `${this.#cluster}: ${key} written by one who does not lead`);
    }
    if ("put" in operation && operation.put.leaseId !== undefined && operation.put.leaseId !== 0n) {
      this.#trace.violate("lease", `${this.#cluster}: ${key} hangs on a lease`);
    }
    const cached = Truth.nameOfCacheKey(key);
    const truth = cached && this.#truths.get(cached.cluster);
    if (!cached || !truth) return;
    if ("put" in operation) this.#auditPut(key, cached.name, truth, textOf(operation.put.value));
    else if (held.has(key)) this.#auditDelete(key, cached.name, truth);
  }

  #auditPut(key: string, name: string, truth: Truth, text: string): void {
    const version = truth.versionOf(name, text);
    if (version === undefined) {
      this.#trace.violate("I3", `${this.#cluster}: ${key} holds what ${truth.cluster} never said`);
      return;
    }
    const newest = this.#newest.get(key) ?? 0;
    if (version < newest) this.#trace.violate("I3", `${this.#cluster}: ${key} went back from ${newest} to ${version}`);
    this.#newest.set(key, Math.max(newest, version));
  }

  #auditDelete(key: string, name: string, truth: Truth): void {
    const newest = this.#newest.get(key) ?? 0;
    if (!truth.withdrawnAfter(name, newest)) {
      this.#trace.violate("I2", `${this.#cluster}: ${key} deleted though ${truth.cluster} never withdrew it`);
    }
  }
}

function keyOf(operation: Operation): string {
  return "put" in operation ? operation.put.key : operation.delete.key;
}

function brief(operation: Operation): string {
  return "put" in operation ? `+${operation.put.key}=${textOf(operation.put.value)}` : `-${operation.delete.key}`;
}
