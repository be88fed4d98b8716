/**
 * A local etcd that checks every write that is accepted below `cilium/` and `bulkhead/`, at the moment it is; and that tells the truth of its own
 * cluster what it holds.
 */
import {
  type KeyValue,
  type Operation,
  prefixEnd,
  type TxnRequest,
  type TxnResponse,
  type WatchEvent,
} from "../../src/kv/client.ts";
import { MemoryEtcd, type Snapshot } from "../../src/kv/memory.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import {
  CACHE_PREFIX,
  canaryKey,
  clusterConfigKey,
  clusterOfConfigKey,
  drainKey,
  KVSTOREMESH_LOCK_PREFIX,
  PEER_GRADES_KEY,
} from "../../src/wire/keys.ts";
import { RESOURCES, type ResourceKind, resource } from "../../src/wire/resources.ts";
import { readJson, type Withdrawals, weightOf } from "./checks/withdrawals.ts";
import { LIMITS } from "./limits.ts";
import type { Trace } from "./trace.ts";
import { Truth, textOf } from "./truth.ts";

/** Small, so that ordinary responses come in fragments and connections break between them. */
const FRAGMENT_BYTES = 256;
const REMEMBERED = 40;
/** An agent that watches is told, and has written its maps. */
const NOTICED_MS = 1_000;
/** S02 adds this to a cluster's id. */
export const OTHER_ID = 100;

export interface AuditOptions {
  readonly cluster: string;
  readonly id: number;
  readonly clock: Clock;
  readonly trace: Trace;
  /** Of all clusters, this one too. */
  readonly truths: ReadonlyMap<string, Truth>;
  readonly withdrawals: Withdrawals;
  /** Cluster name -> the id that it has. */
  readonly ids: ReadonlyMap<string, number>;
  /** Told how long a value took from the remote's etcd to this one. Not of services: what shrinks may be held. */
  readonly lag: (remote: string, saidMs: number) => void;
  /** Told when the leader tells its nodes how fresh the remotes are. */
  readonly graded: () => void;
}

type Held = ReadonlyMap<string, KeyValue>;

export class AuditedEtcd extends MemoryEtcd {
  readonly #options: AuditOptions;
  readonly #own: Truth;
  /** Cache key -> version of the newest value it ever held. */
  readonly #newest = new Map<string, number>();
  /** Backup -> what was said last when it was made. */
  readonly #snapshots = new WeakMap<Snapshot, number>();
  /** Key -> when it was deleted last, by whomever. */
  readonly deletedMs = new Map<string, number>();
  /** The newest events, as a member that is behind may send them again. */
  readonly past: WatchEvent[] = [];
  /** When it last lost data, or went back in time. */
  resetMs = Number.NEGATIVE_INFINITY;
  /** Its keys just before. */
  heldBeforeReset: ReadonlySet<string> = new Set();

  /** Remote -> when the last node of it that lied was deleted here. */
  readonly #liarGoneMs = new Map<string, number>();
  /** Key of a cluster config -> the id in it. */
  readonly #cachedIds = new Map<string, number>();

  constructor(options: AuditOptions) {
    const { clock, id, cluster, truths } = options;
    super({ clock, clusterId: BigInt(0x1000 + id), fragmentBytes: FRAGMENT_BYTES });
    this.#options = options;
    const own = truths.get(cluster);
    if (!own) throw new RangeError(`no truth of ${cluster}`);
    this.#own = own;
  }

  /** What the own exporter, or a fault, writes: it is the truth. */
  override edit(request: TxnRequest): void {
    const before = this.#held(request.operations);
    super.edit(request);
    for (const operation of request.operations) {
      if (!("put" in operation)) continue;
      this.#changed(operation.put.key, textOf(operation.put.value));
      const kv = this.#get(operation.put.key);
      if (kv) this.#remember({ type: "put", kv });
    }
    for (const key of before.keys()) if (!putIn(request.operations, key)) this.#deleted(key);
  }

  #remember(event: WatchEvent): void {
    this.past.push(event);
    if (this.past.length > REMEMBERED) this.past.shift();
  }

  #deleted(key: string): void {
    const { cluster, clock } = this.#options;
    this.deletedMs.set(key, clock.nowMs());
    this.#remember({ type: "delete", key, modRevision: this.revision });
    const prefix = resource("nodes").statePrefix(cluster);
    const said = key.startsWith(prefix) && this.#own.standing(`nodes ${key.slice(prefix.length)}`);
    if (said && said.text !== undefined) {
      for (const { IP } of readJson(said.text)["IPAddresses"] as readonly { IP: string }[]) this.#own.nodeWithdrawn(IP);
    }
    this.#changed(key, undefined);
  }

  #changed(key: string, text: string | undefined): void {
    const { cluster } = this.#options;
    const name = this.#own.nameOfStateKey(key);
    if (name !== undefined) this.#own.say(name, text);
    else if (key === drainKey(cluster)) this.#own.drain(text !== undefined);
    else {
      if (key === clusterConfigKey(cluster)) this.#own.sayId(text === undefined ? undefined : readJson(text)["id"]);
      this.#noteComplete();
    }
  }

  #noteComplete(): void {
    const { cluster, id } = this.#options;
    const config = this.#get(clusterConfigKey(cluster));
    const configured = config !== undefined && textOf(config.value).includes(`"id":${id},`);
    for (const { kind, stateCanary } of RESOURCES) {
      this.#own.complete(kind, configured && this.#get(canaryKey(cluster, stateCanary)) !== undefined);
    }
  }

  #get(key: string): KeyValue | undefined {
    return this.range({ key }).kvs[0];
  }

  override snapshot(): Snapshot {
    const snapshot = super.snapshot();
    this.#snapshots.set(snapshot, this.#own.version);
    return snapshot;
  }

  override restore(snapshot: Snapshot, clusterId?: bigint): void {
    this.heldBeforeReset = new Set(this.entries().map(({ key }) => key));
    super.restore(snapshot, clusterId);
    this.resetMs = this.#options.clock.nowMs();
    const standing = new Map<string, string>();
    this.#newest.clear();
    this.#cachedIds.clear();
    this.past.length = 0;
    for (const { key, value } of this.entries()) {
      const id = clusterOfConfigKey(key) === undefined ? undefined : readJson(textOf(value))["id"];
      if (typeof id === "number") this.#cachedIds.set(key, id);
      const name = this.#own.nameOfStateKey(key);
      if (name !== undefined) standing.set(name, textOf(value));
      this.#rewind(key, textOf(value));
    }
    this.#own.drain(this.#get(drainKey(this.#options.cluster)) !== undefined);
    this.#own.restart(standing, this.#snapshots.get(snapshot) ?? 0);
    this.#noteComplete();
  }

  /** What the cache held then is the newest that it holds now. */
  #rewind(key: string, text: string): void {
    const cached = Truth.nameOfCacheKey(key);
    const said = cached && this.#options.truths.get(cached.cluster)?.saidSince(cached.name, text, 0);
    if (said) this.#newest.set(key, said.version);
  }

  override txn(request: TxnRequest): TxnResponse {
    const { cluster, trace } = this.#options;
    const leader = this.#leader();
    const held = this.#held(request.operations);
    const answer = super.txn(request);
    if (!answer.succeeded) return answer;
    for (const operation of request.operations) {
      this.#audit(operation, request, leader, held);
    }
    trace.note(`${cluster} txn ${answer.revision} ${request.operations.map(brief).join(" ")}`);
    return answer;
  }

  #held(operations: readonly Operation[]): Held {
    const held = new Map<string, KeyValue>();
    for (const operation of operations) {
      const range = "put" in operation ? { key: operation.put.key } : operation.delete;
      for (const kv of this.range(range).kvs) held.set(kv.key, kv);
    }
    return held;
  }

  /** Key of the oldest lock. */
  #leader(): string | undefined {
    const prefix = `${KVSTOREMESH_LOCK_PREFIX}/`;
    return [...this.range({ key: prefix, rangeEnd: prefixEnd(prefix) }).kvs].sort(
      (left, right) => left.createRevision - right.createRevision,
    )[0]?.key;
  }

  #audit(operation: Operation, request: TxnRequest, leader: string | undefined, held: Held): void {
    const { cluster, trace, truths } = this.#options;
    const key = keyOf(operation);
    if (key.startsWith(KVSTOREMESH_LOCK_PREFIX)) return;
    if (!request.compare?.some((compare) => compare.key === leader)) {
      trace.violate("I6", `${cluster}: ${key} written by one who does not lead`);
    }
    if ("put" in operation && operation.put.leaseId !== undefined && operation.put.leaseId !== 0n) {
      trace.violate("lease", `${cluster}: ${key} hangs on a lease`);
    }
    if (key === PEER_GRADES_KEY) this.#options.graded();
    if ("put" in operation) this.#auditLie(key, textOf(operation.put.value));
    else this.deletedMs.set(key, this.#options.clock.nowMs());
    const config = held.get(key);
    if ("delete" in operation && config) this.#auditRenumbered(key, config);
    const cached = Truth.nameOfCacheKey(key);
    const truth = cached && truths.get(cached.cluster);
    if (!cached || !truth) return;
    const before = held.get(key);
    if ("put" in operation) this.#auditPut(key, cached.name, truth, textOf(operation.put.value));
    if (before && "delete" in operation && truth.lies.has(textOf(before.value))) {
      this.#liarGoneMs.set(truth.cluster, this.#options.clock.nowMs());
    }
    if (before) this.#auditLoss(key, cached.name, truth, before, operation, leader ?? "");
  }

  /** I5: what others must refuse is nowhere; nobody has another's id. */
  #auditLie(key: string, text: string): void {
    const { cluster, trace, truths, ids } = this.#options;
    const judged = key.startsWith(CACHE_PREFIX) && !key.startsWith(`${CACHE_PREFIX}bulkhead/`);
    for (const truth of judged ? truths.values() : []) {
      if (truth.lies.has(text) && !this.#isForgetful && !this.#isFree(text) && !this.hasLiar(truth.cluster))
        trace.violate("I5", `${cluster}: ${key} holds a lie of ${truth.cluster}: ${text}`);
    }
    const of = clusterOfConfigKey(key);
    const id = of === undefined ? undefined : ids.get(of);
    if (id === undefined) return;
    const said = readJson(text)["id"];
    const isFresh = this.#cachedIds.get(key) === undefined && said === id + OTHER_ID;
    if (said !== id && !isFresh) trace.violate("I5", `${cluster}: ${key} says ${text}; its id is ${id}`);
    if (typeof said === "number") this.#cachedIds.set(key, said);
  }

  /** S02: what is cached under an id goes when the remote has said another one for as long as a hold lasts. */
  #auditRenumbered(key: string, held: KeyValue): void {
    const { truths, withdrawals, clock } = this.#options;
    const of = clusterOfConfigKey(key);
    const truth = of === undefined ? undefined : truths.get(of);
    this.#cachedIds.delete(key);
    if (truth && truth.saysOtherIdFor(readJson(textOf(held.value))["id"]) >= LIMITS.holdConfirmMs) {
      withdrawals.renumbered(truth.cluster, clock.nowMs());
    }
  }

  /** Its data is lost, and its exporter has not said again what is ours: a leader that is new may not know it (docs/OPERATING.md names the setting for that). */
  get #isForgetful(): boolean {
    const { cluster } = this.#options;
    const said = this.#get(canaryKey(cluster, resource("nodes").stateCanary)) !== undefined;
    return Number.isFinite(this.resetMs) && !said;
  }

  /** Whose address is claimed is not configured here, or was not a moment ago: what was drained is free for others. */
  #isFree(text: string): boolean {
    const { withdrawals, ids, clock } = this.#options;
    return [...ids].some(
      ([name, id]) => text.includes(`"10.${id}.`) && withdrawals.files.mayDrain(name, clock.nowMs()),
    );
  }

  /** Whether the own agents may not have noticed yet that there is no liar of the remote any more. */
  hadLiar(remote: string): boolean {
    return this.hasLiar(remote) || this.#options.clock.nowMs() - (this.#liarGoneMs.get(remote) ?? 0) < NOTICED_MS;
  }

  /** A node of the remote stands in the cache with what belongs to others: it came when that was free, and keeps it. */
  hasLiar(remote: string): boolean {
    const lies = this.#options.truths.get(remote)?.lies;
    return this.entries(resource("nodes").cachePrefix(remote)).some(({ value }) => lies?.has(textOf(value)));
  }

  #auditPut(key: string, name: string, truth: Truth, text: string): void {
    const { cluster, trace, lag } = this.#options;
    if (truth.lies.has(text)) return;
    const newest = this.#newest.get(key) ?? 0;
    const said = truth.saidSince(name, text, newest);
    if (said === undefined) {
      trace.violate("I3", `${cluster}: ${key} holds what ${truth.cluster} never said`);
      return;
    }
    if (said.version < newest) trace.violate("I3", `${cluster}: ${key} went back from ${newest} to ${said.version}`);
    if (said.version > newest && !name.startsWith("services ")) lag(truth.cluster, said.atMs);
    this.#newest.set(key, Math.max(newest, said.version));
    this.#auditOwner(key, name, truth, text);
  }

  /** S15: an address whose identity nobody ever named waits for it. */
  #auditOwner(key: string, name: string, truth: Truth, text: string): void {
    if (!name.startsWith("ip ")) return;
    const { ID } = readJson(text);
    if (typeof ID !== "number" || ID < FIRST_ALLOCATED || truth.wasSaid(`identities ${ID}`)) return;
    this.#options.trace.violate("I5", `${this.#options.cluster}: ${key} came before identity ${ID}`);
  }

  /** A mirror that missed the etcd's restart holds other labels for so long, as it does all that a new etcd lacks, and then believes them. */
  #mayBeConfirmed(truth: Truth, name: string, text: string): boolean {
    const saidMs = truth.said(name, text)?.atMs ?? Number.POSITIVE_INFINITY;
    return this.#options.clock.nowMs() - saidMs >= LIMITS.holdConfirmMs;
  }

  /** I2, I4: whatever takes something away. */
  #auditLoss(key: string, name: string, truth: Truth, before: KeyValue, operation: Operation, leader: string): void {
    const { cluster, trace, withdrawals, clock } = this.#options;
    const kind = name.slice(0, name.indexOf(" ")) as ResourceKind;
    const text = textOf(before.value);
    const left = "put" in operation ? textOf(operation.put.value) : undefined;
    const relabelled = kind === "identities" && left !== undefined && left !== text;
    if (relabelled && standsOn(truth, name, text) && !this.#mayBeConfirmed(truth, name, left)) {
      trace.violate("I5", `${cluster}: ${key} means ${left}, and stood for ${text} until now`);
    }
    if (
      truth.lies.has(text) ||
      (left !== undefined && (truth.lies.has(left) || weightOf(kind, left) >= weightOf(kind, text)))
    )
      return;
    const version = this.#newest.get(key) ?? 0;
    const standing = this.#weightOf(kind, truth.cluster) + weightOf(kind, text);
    const withdrawal = {
      kind,
      name,
      text,
      version: left === undefined ? version : 0,
      ...(left !== undefined && { left }),
    };
    const fault = withdrawals.judge(withdrawal, truth, leader, standing, clock.nowMs());
    if (fault !== undefined) trace.violate("I2", `${cluster}: ${key} ${fault}`);
    const gone = left === undefined ? truth.withdrawalSince(name, version) : undefined;
    if (gone) this.#newest.set(key, gone.version);
  }

  #weightOf(kind: ResourceKind, remote: string): number {
    const entries = this.entries(resource(kind).cachePrefix(remote));
    return entries.reduce((sum, { value }) => sum + weightOf(kind, textOf(value)), 0);
  }
}

const FIRST_ALLOCATED = 256;

/** Neither was it withdrawn since it was said, nor did its etcd become another one. */
function standsOn(truth: Truth, name: string, text: string): boolean {
  const said = truth.said(name, text);
  return truth.restartedMs < (said?.atMs ?? 0) && truth.withdrawal(name, said?.version ?? 0) === undefined;
}

function putIn(operations: readonly Operation[], key: string): boolean {
  return operations.some((operation) => "put" in operation && operation.put.key === key);
}

function keyOf(operation: Operation): string {
  return "put" in operation ? operation.put.key : operation.delete.key;
}

function brief(operation: Operation): string {
  return "put" in operation ? `+${operation.put.key}=${textOf(operation.put.value)}` : `-${operation.delete.key}`;
}
