/** One simulated cluster: its etcd, what its exporter says, and the real mirror and agent on top. */

import { prefixRange } from "../../src/follow/list.ts";
import { type KeyValue, prefixEnd } from "../../src/kv/client.ts";
import type { Snapshot } from "../../src/kv/memory.ts";
import { type Clock, encodeTime, every } from "../../src/runtime/clock.ts";
import { encodeIp } from "../../src/wire/ip.ts";
import {
  ENDPOINTS_PREFIX,
  HEARTBEAT_KEY,
  KVSTOREMESH_LOCK_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_SERVICES_PREFIX,
  localCanary,
  localServiceKey,
  POLICIES_PREFIX,
  STATE_PREFIX,
} from "../../src/wire/keys.ts";
import { encodeLocalService } from "../../src/wire/local-service.ts";
import { stateKey } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { FakeCluster } from "../mirror/fake-cluster.ts";
import { AuditedEtcd, type AuditOptions } from "./audited-etcd.ts";
import { RemovedFiles, Withdrawals } from "./checks/withdrawals.ts";
import { LEASE_TTL_SECONDS } from "./limits.ts";
import { type Truth, textOf } from "./truth.ts";

export const SERVICES = ["cart", "till"] as const;
export type ServiceName = (typeof SERVICES)[number];
/** `till` prefers its own backends. */
export const AFFINITY = { cart: "none", till: "local" } as const;
export const BACKEND_PORT = 8080;
export const FRONTEND_PORT = 80;
/** Pods 1..8 live on node-1, the others on node-2, which comes and goes. */
export const PODS = 12;
const FIRST_POD_OF_NODE_2 = 9;
const HEARTBEAT_MS = 10_000;
const SNAPSHOT_MS = 5_000;
const SNAPSHOTS = 4;
const TWICE_MS = 10_000;
/** Nobody restores a backup faster than a leader renews its lock. */
const RESTORABLE_AFTER_MS = LEASE_TTL_SECONDS * 1_000;
const LOCAL_PREFIXES = [
  LOCAL_SERVICES_PREFIX,
  POLICIES_PREFIX,
  LOCAL_IPS_PREFIX,
  LOCAL_IDENTITIES_PREFIX,
  ENDPOINTS_PREFIX,
];

/** Canaries of what only the own agents read. */
export function localCanaries(cluster: string): readonly string[] {
  return LOCAL_PREFIXES.map((prefix) => localCanary(cluster, prefix));
}

export interface RestoreOptions {
  readonly clusterId?: bigint;
  /** Whether a mirror that led when the backup was made finds its lock in it. */
  readonly keepsLock?: boolean;
}

export class SimCluster extends FakeCluster {
  declare readonly etcd: AuditedEtcd;
  readonly truth: Truth;
  /** What its programs take for the time. */
  readonly clock: Clock;
  readonly files: RemovedFiles;
  /** Pods behind each service, by number. */
  readonly pods = new Map<ServiceName, readonly number[]>();
  /** Newest last: what an operator could restore. */
  readonly snapshots: Snapshot[] = [];
  /** Faults that run here, and until when the last one may still be felt: its lag says nothing about others then. */
  readonly troubles = new Set<object>();
  troubledUntilMs = Number.NEGATIVE_INFINITY;
  /** Its exporter claimed what belongs to others: what its own nodes make of that is its own affair. */
  selfHarm = false;
  /** The exporter cannot write: its etcd lost data and it has not noticed. */
  mute = false;
  readonly #options: AuditOptions;
  #versions = 0;
  #removedMs = Number.NEGATIVE_INFINITY;
  /** What the exporter keeps in its own memory: every key it wants. */
  readonly #wanted = new Map<string, Uint8Array>();
  /** Key -> a lie that stands there. */
  readonly #lies = new Map<string, string>();
  /** Where one ever stood. */
  readonly #lied = new Set<string>();

  constructor(options: Omit<AuditOptions, "withdrawals">, truth: Truth) {
    const files = new RemovedFiles();
    const whole = { ...options, withdrawals: new Withdrawals(files) };
    super(options.cluster, options.id, options.clock, new AuditedEtcd(whole));
    this.truth = truth;
    this.clock = options.clock;
    this.files = files;
    this.#options = whole;
  }

  #note(text: string): void {
    this.#options.trace.note(`${this.name} ${text}`);
  }

  override put(key: string, value: Uint8Array | string): void {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    this.#wanted.set(key, bytes);
    this.#note(`says ${key}`);
    if (this.mute) return;
    this.#lies.delete(key);
    super.put(key, bytes);
  }

  override remove(key: string): void {
    this.#wanted.delete(key);
    this.#note(`withdraws ${key}`);
    if (this.mute) return;
    this.#lies.delete(key);
    super.remove(key);
  }

  identityKey(number: number): string {
    return stateKey("identities", this.name, `${this.identity(number)}`);
  }

  /** What the exporter wants to stand there. */
  wantedAt(key: string): Uint8Array | undefined {
    return this.#wanted.get(key);
  }

  /** Numbers that make values differ from every one before: so they show which one a copy is of. */
  nextVersion(): number {
    return ++this.#versions;
  }

  wants(key: string): boolean {
    return this.#wanted.has(key);
  }

  /** Keys below a state prefix that the exporter wants. */
  wanted(prefix = STATE_PREFIX): readonly string[] {
    return [...this.#wanted.keys()].filter((key) => key.startsWith(prefix));
  }

  /** Several keys in one revision: put, or (undefined) withdrawn. */
  edit(changes: ReadonlyMap<string, Uint8Array | undefined>): void {
    for (const [key, value] of changes) {
      if (value) this.#wanted.set(key, value);
      else this.#wanted.delete(key);
    }
    this.#note(`edits ${changes.size} keys`);
    if (this.mute) return;
    const operations = [...changes].map(([key, value]) => (value ? { put: { key, value } } : { delete: { key } }));
    this.etcd.edit({ operations });
  }

  /** All keys that start so go in one revision, in one operation. */
  removeBelow(prefix: string): void {
    for (const key of this.wanted(prefix)) this.#wanted.delete(key);
    this.#note(`withdraws all below ${prefix}`);
    if (!this.mute) this.etcd.edit({ operations: [{ delete: { key: prefix, rangeEnd: prefixEnd(prefix) } }] });
  }

  /** A value that others must refuse. It is not a truth, and stands until the exporter writes the key again. */
  lie(key: string, value: Uint8Array | string): void {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    this.truth.lies.add(textOf(bytes));
    this.#lied.add(key);
    this.#lies.set(key, textOf(bytes));
    this.#note(`lies at ${key}`);
    super.put(key, bytes);
  }

  hasLied(key: string): boolean {
    return this.#lied.has(key);
  }

  /** The exporter repairs the key. */
  unlie(key: string): void {
    if (!this.#lies.has(key)) return;
    const value = this.#wanted.get(key);
    if (value) this.put(key, value);
    else this.remove(key);
  }

  /** Addresses of its nodes, by number. */
  nodeAddressOf(node: number): string {
    return `10.${this.id}.255.${node}`;
  }

  /** Of the node that its agent runs on. */
  get nodeAddress(): string {
    return this.nodeAddressOf(1);
  }

  hostOf(pod: number): number {
    return pod < FIRST_POD_OF_NODE_2 ? 1 : 2;
  }

  begin(signal: AbortSignal): void {
    this.addNode(1);
    this.addNode(2);
    this.putIdentity(0);
    for (const number of [1, 2, 3, 4, 5, 6, 9, 10]) this.putIp(number);
    for (const [index, service] of SERVICES.entries()) this.setPods(service, [index + 1, index + 2]);
    this.announce();
    for (const canary of localCanaries(this.name)) this.put(canary, "2026-01-01T00:00:00Z");
    every(this.clock, HEARTBEAT_MS, signal, () => this.beat());
    every(this.clock, SNAPSHOT_MS, signal, () => this.#snap());
  }

  /** Backups of an etcd that is in order. */
  #snap(): void {
    if (this.mute || this.#lies.size > 0) return;
    const snapshot = this.etcd.snapshot();
    this.#options.clock.after(RESTORABLE_AFTER_MS, () => {
      this.snapshots.push(snapshot);
      if (this.snapshots.length > SNAPSHOTS) this.snapshots.shift();
    });
  }

  addNode(node: number): void {
    this.putNode(`node-${node}`, this.nodeAddressOf(node));
  }

  /** The node and its pods, in one go. */
  removeNode(node: number): void {
    this.#removedMs = this.#options.clock.nowMs();
    const changes = new Map<string, undefined>([[this.nodeKey(`node-${node}`), undefined]]);
    for (let pod = 1; pod <= PODS; pod++) {
      if (this.hostOf(pod) === node && this.wants(this.ipKey(pod))) changes.set(this.ipKey(pod), undefined);
    }
    this.edit(changes);
  }

  /** How long ago a node was removed. */
  get goneForMs(): number {
    return this.#options.clock.nowMs() - this.#removedMs;
  }

  get hasNode2(): boolean {
    return this.wants(this.nodeKey("node-2"));
  }

  /** Numbers of the pods whose node stands. */
  homedPods(): readonly number[] {
    const pods = Array.from({ length: PODS }, (_, index) => index + 1);
    return pods.filter((pod) => this.hostOf(pod) === 1 || this.hasNode2);
  }

  override putIp(number: number): void {
    this.put(this.ipKey(number), this.ipValue(number));
  }

  ipValue(number: number, { identity = this.identity(0), address = this.address(number) } = {}): Uint8Array {
    return encodeIp({
      address,
      hostAddress: this.nodeAddressOf(this.hostOf(number)),
      identity,
      namespace: "shop",
      podName: `pod-${number}-${this.nextVersion()}`,
      serviceAccount: "default",
      namedPorts: [],
    });
  }

  frontend(service: ServiceName): string {
    return `10.100.${this.id}.${SERVICES.indexOf(service) + 1}`;
  }

  setPods(service: ServiceName, numbers: readonly number[], shared = true): void {
    this.pods.set(service, shared ? numbers : []);
    const http = { name: "http", protocol: "TCP" } as const;
    const frontends = new Map([[this.frontend(service), [{ ...http, port: FRONTEND_PORT }]]]);
    const backends = new Map(numbers.map((number) => [this.address(number), [{ ...http, port: BACKEND_PORT }]]));
    const names = { namespace: "shop", name: service };
    this.put(
      this.serviceKey(service),
      encodeService({
        ...names,
        cluster: this.name,
        clusterId: this.id,
        frontends,
        backends,
        shared,
        labels: new Map([["version", `${this.nextVersion()}`]]),
        selector: new Map(),
      }),
    );
    const own = shared ? backends : new Map();
    const local = { ...names, frontends, backends: own, global: true, shared, affinity: AFFINITY[service] };
    this.put(localServiceKey("shop", service), encodeLocalService(local));
  }

  /** Forgets all history. */
  compact(): void {
    if (this.etcd.revision > this.etcd.compactRevision) this.etcd.compact(this.etcd.revision);
  }

  /** The disk is gone. The exporter still knows everything, and writes it again in `reconcile`. */
  lose(): void {
    this.mute = true;
    this.#lies.clear();
    this.etcd.wipe();
  }

  /** The etcd as it was. With another id it is another etcd, behind the same address. */
  restore(snapshot: Snapshot, { clusterId, keepsLock = true }: RestoreOptions = {}): void {
    this.mute = true;
    this.#lies.clear();
    const nowMs = this.#options.clock.nowMs();
    // Nobody restores twice in so short a time: of two lineages that share all that a reader remembers, only an audit tells one from the other.
    if (nowMs - this.truth.restartedMs < TWICE_MS) this.truth.silentUntil(nowMs + TWICE_MS);
    this.etcd.restore(snapshot, clusterId);
    if (!keepsLock) this.etcd.edit({ operations: [{ delete: prefixRange(`${KVSTOREMESH_LOCK_PREFIX}/`) }] });
  }

  /** Config and part of the state, without canaries: what a reader must not take for all. */
  reconcileSome(): void {
    this.mute = false;
    for (const [index, [key, value]] of [...this.#wanted].entries()) {
      if (index % 2 === 0 && !key.startsWith("cilium/synced/")) super.put(key, value);
    }
    this.putConfig(this.id);
  }

  /** The exporter compares what its etcd holds with what it wants, and writes the difference; canaries last, whatever is there. */
  reconcile(): void {
    this.mute = false;
    const nowMs = this.#options.clock.wallMs();
    for (const key of [...this.#lies.keys()]) this.unlie(key);
    const held = new Map(this.etcd.entries().map((kv): [string, KeyValue] => [kv.key, kv]));
    const isOurs = (key: string): boolean =>
      key.startsWith(STATE_PREFIX) || LOCAL_PREFIXES.some((prefix) => key.startsWith(prefix));
    for (const key of held.keys()) if (isOurs(key) && !this.#wanted.has(key)) super.remove(key);
    const wanted = [...this.#wanted];
    const last = wanted.filter(([key]) => key.startsWith("cilium/synced/"));
    for (const [key, value] of [...wanted.filter((one) => !last.includes(one)), ...last]) {
      const found = held.get(key);
      const same = found && Buffer.compare(found.value, value) === 0;
      const isCanary = key.startsWith("cilium/synced/");
      if (!same || key === HEARTBEAT_KEY || isCanary) super.put(key, isCanary ? encodeTime(nowMs) : value);
    }
  }
}
