/**
 * A model of one etcd in memory, behind the same door: what the server does, refuses and loses, on a clock that may be virtual.
 * Compared with a real etcd in test/kv/equivalence.test.ts. Its other verbs are what operators and accidents do to a server.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import {
  type Header,
  type KeyValue,
  type KvClient,
  KvError,
  type RangeRequest,
  type RangeResponse,
  type ServerStatus,
  type TxnRequest,
  type TxnResponse,
} from "./client.ts";
import { MemoryClient, type MemoryServer } from "./memory-client.ts";
import { MemoryLeases, type SavedLeases } from "./memory-leases.ts";
import { MemoryStore } from "./memory-store.ts";
import { MemoryWatches, type ServerWatch } from "./memory-watches.ts";

export interface MemoryEtcdOptions {
  readonly clock: Clock;
  /** Decides for each write that its sender gave up on while the server was silent whether it still counts; absent: it does. */
  readonly random?: Random;
  readonly clusterId?: bigint;
  /** One way; 1 unless told. */
  readonly latencyMs?: number;
  /** A watch response beyond this comes in fragments; 2 MiB unless told, as on a server with its usual limits. */
  readonly fragmentBytes?: number;
  /** Shorter leases are lengthened to this, as the server does by its election timeout; 1 unless told. */
  readonly minLeaseTtlSeconds?: number;
}

/** A backup: everything but watches. */
export interface Snapshot {
  readonly store: MemoryStore;
  readonly leases: SavedLeases;
}

/** What a paused server still has to do: for a connection, or of itself. */
interface Held {
  readonly action: () => void;
  readonly from: "connection" | "server";
}

const DEFAULT_TIMEOUT_MS = 2000;
const DEFAULT_FRAGMENT_BYTES = 2 * 1024 * 1024;

export class MemoryEtcd implements MemoryServer {
  readonly clock: Clock;
  readonly latencyMs: number;
  readonly fragmentBytes: number;
  readonly #random: Random | undefined;
  #clusterId: bigint;
  readonly #leases: MemoryLeases;
  readonly #watches: MemoryWatches;
  readonly #breakListeners = new Set<() => void>();
  #store = new MemoryStore();
  #connection = 1;
  #up = true;
  #paused = false;
  #noSpace = false;
  /** What waits for a paused server to answer again, in order. */
  #held: Held[] = [];

  constructor(options: MemoryEtcdOptions) {
    this.clock = options.clock;
    this.latencyMs = options.latencyMs ?? 1;
    this.fragmentBytes = options.fragmentBytes ?? DEFAULT_FRAGMENT_BYTES;
    this.#random = options.random;
    this.#clusterId = options.clusterId ?? 0x0bad_cafen;
    this.#leases = new MemoryLeases(this.clock, options.minLeaseTtlSeconds ?? 1, (id) => this.#expire(id));
    this.#watches = new MemoryWatches(
      this.clock,
      () => this.#store,
      () => this.#header(),
    );
  }

  client(options: { readonly timeoutMs?: number } = {}): KvClient {
    return new MemoryClient(this, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  }

  // What clients ask.

  range(request: RangeRequest): RangeResponse {
    return { ...this.#store.range(request), ...this.#header() };
  }

  txn(request: TxnRequest): TxnResponse {
    MemoryStore.check(request);
    const puts = request.operations.flatMap((operation) => ("put" in operation ? [operation.put] : []));
    if (puts.length > 0) this.#refuseWithoutSpace();
    if (this.#store.holds(request.compare)) for (const put of puts) this.#leases.require(put.leaseId);
    const { succeeded, deleted } = this.#commit(request);
    return { succeeded, deleted, ...this.#header() };
  }

  #commit(request: TxnRequest): { succeeded: boolean; deleted: number } {
    const commit = this.#store.txn(request);
    this.#leases.applied(commit.events);
    this.#watches.committed(commit.events);
    return commit;
  }

  #refuseWithoutSpace(): void {
    if (this.#noSpace) throw new KvError("no-space", "etcdserver: mvcc: database space exceeded");
  }

  grantLease(ttlSeconds: number): { readonly leaseId: bigint; readonly ttlSeconds: number } {
    this.#refuseWithoutSpace();
    return this.#leases.grant(ttlSeconds);
  }

  renewLease(leaseId: bigint): number {
    return this.#leases.renew(leaseId);
  }

  revokeLease(leaseId: bigint): void {
    const keys = this.#leases.revoke(leaseId);
    this.#commit({ operations: keys.map((key) => ({ delete: { key } })) });
  }

  #expire(leaseId: bigint): void {
    const revoke = (): void => {
      if (this.#leases.isOverdue(leaseId)) this.revokeLease(leaseId);
    };
    this.whenAnswering(revoke, "server");
  }

  status(): ServerStatus {
    return { ...this.#header(), version: "memory", dbSizeBytes: this.#store.sizeBytes() };
  }

  createWatch(watch: ServerWatch): void {
    this.#watches.create(watch);
  }

  cancelWatch(watch: ServerWatch): void {
    this.#watches.cancel(watch);
  }

  requestProgress(stream: object): void {
    this.#watches.requestProgress(stream);
  }

  #header(): Header {
    return { revision: this.#store.revision, clusterId: this.#clusterId };
  }

  // Connections.

  get isUp(): boolean {
    return this.#up;
  }

  get connection(): number {
    return this.#connection;
  }

  /** @param from what came over a connection is lost with it; what the server itself has to do is not. */
  whenAnswering(action: () => void, from: Held["from"] = "connection"): void {
    if (this.#paused) this.#held.push({ action, from });
    else action();
  }

  dropsAbandoned(): boolean {
    return this.#random !== undefined && this.#random.next() < 0.5;
  }

  onBreak(broken: () => void): () => void {
    this.#breakListeners.add(broken);
    return () => this.#breakListeners.delete(broken);
  }

  #breakConnections(): void {
    this.#connection++;
    this.#held = this.#held.filter(({ from }) => from === "server");
    for (const broken of [...this.#breakListeners]) broken();
    this.#watches.clear();
  }

  // What operators and accidents do.

  /** The process ends: calls fail, watches break, data stays. */
  stop(): void {
    if (!this.#up) return;
    this.#up = false;
    this.#paused = false;
    this.#leases.freeze();
    this.#breakConnections();
  }

  /** It comes back: leases get their whole TTL again. */
  start(): void {
    if (this.#up) return;
    this.#up = true;
    this.#leases.load(this.#leases.save());
  }

  /** Silence, as of a stopped process: connections stay, nothing is answered. */
  pause(): void {
    if (this.#up) this.#paused = true;
  }

  /** What arrived meanwhile is worked off, in order: writes whose senders gave up long ago may take effect now. */
  resume(): void {
    this.#paused = false;
    const held = this.#held;
    this.#held = [];
    for (const { action, from } of held) this.clock.after(0, () => this.whenAnswering(action, from));
  }

  /** All data is lost; the cluster id, which etcd derives from its flags, stays. */
  wipe(): void {
    this.restore({ store: new MemoryStore(), leases: new Map() });
  }

  snapshot(): Snapshot {
    return { store: this.#store.clone(), leases: this.#leases.save() };
  }

  /** The server is restarted from a backup, or, with another cluster id, another server takes its place at its address. */
  restore(snapshot: Snapshot, clusterId = this.#clusterId): void {
    this.#paused = false;
    this.#clusterId = clusterId;
    this.#store = snapshot.store.clone();
    this.#leases.load(snapshot.leases);
    if (!this.#up) this.#leases.freeze();
    this.#breakConnections();
  }

  /** Forgets history up to `revision`. */
  compact(revision: number): void {
    this.#store.compact(revision);
  }

  /** Connections are cut; the server goes on. */
  cut(): void {
    this.#breakConnections();
  }

  /** The server ends every watch, and says why. */
  cancelWatches(reason: string): void {
    this.#watches.endAll({ cause: "canceled", detail: reason });
  }

  /** The space alarm: puts and new leases are refused, deletes go through. */
  setNoSpace(noSpace: boolean): void {
    this.#noSpace = noSpace;
  }

  // What a test looks at, without being a client.

  get revision(): number {
    return this.#store.revision;
  }

  /** Forgotten up to here; -1: nothing was. */
  get compactRevision(): number {
    return this.#store.compactRevision;
  }

  /** Live keys that start with `prefix`, sorted. */
  entries(prefix = ""): readonly KeyValue[] {
    const all = this.#store.range({ key: prefix || "\0", rangeEnd: "\0" }).kvs;
    return all.filter((kv) => kv.key.startsWith(prefix));
  }

  /** A write by somebody else, at once, also on a stopped server. */
  edit(request: TxnRequest): void {
    this.#commit(request);
  }
}
