/** What is known about one remote, and how it is told: the mutable record behind RemoteStatus. */

import type { ClusterConfig, Rejection } from "../model/resource.ts";
import type { Grade, HoldStatus, RemotePhase, RemoteStatus, SetAside } from "../model/status.ts";
import { parseCacheKey, RESOURCES, type ResourceKind } from "../wire/resources.ts";
import { Parked } from "./parked.ts";
import { RemoteIndex } from "./remote-index.ts";

export interface AgeLimits {
  readonly suspectAfterMs: number;
  readonly staleAfterMs: number;
  /** A heartbeat that was seen and then stayed away that long: the remote's exporter does not write any more. */
  readonly heartbeatTimeoutMs: number;
}

export interface BreakerView {
  readonly state: RemoteStatus["breaker"];
  readonly failures: number;
}

export class RemoteRecord {
  readonly name: string;
  clusterId: number | undefined;
  phase: RemotePhase = "idle";
  connected = false;
  synced = false;
  /** What went wrong last; cleared by success. */
  lastError: string | undefined;
  /** Why the remote itself is refused: for a person to mend. */
  refusal: string | undefined;
  /** Why its newest configuration file is refused: the one before stays in force. */
  fileFault: string | undefined;
  /** Kinds that were received completely, and kinds of which all is in the cache. */
  readKinds: ReadonlySet<ResourceKind> = new Set();
  syncedKinds: ReadonlySet<ResourceKind> = new Set();
  #introduced: { readonly config: ClusterConfig; readonly etcdClusterId: string } | undefined;
  #losses = 0;
  #lastLossAt: string | undefined;
  #lastFailureAt: string | undefined;
  #heartbeat: { readonly modRevision: number; readonly atMs: number } | undefined;
  #provenAtMs: number | undefined;
  readonly index = new RemoteIndex();
  readonly parked = new Parked();
  /** Whether nothing that we know of is missing in the index. */
  audited = false;
  /** Withdrawals that are not believed, or not yet. */
  holds: () => readonly HoldStatus[] = () => [];
  /** Cache key -> why its newest value is refused. */
  readonly #rejected = new Map<string, Rejection>();
  /** How many of them are of each kind. */
  #rejectedKinds: Record<string, number> = {};
  /** By reason, the first since the last listing. */
  readonly #firstRejections = new Map<string, Rejection>();

  constructor(name: string) {
    this.name = name;
  }

  /** Who the remote says it is. */
  introduced(config: ClusterConfig, etcdClusterId: bigint): void {
    this.clusterId = config.id;
    this.#introduced = { config, etcdClusterId: etcdClusterId.toString(16) };
  }

  /** An established connection failed. */
  lost(wallMs: number): void {
    this.#losses++;
    this.failed(wallMs);
    this.#lastLossAt = this.#lastFailureAt;
  }

  /** A try failed. */
  failed(wallMs: number): void {
    this.#lastFailureAt = new Date(wallMs).toISOString();
  }

  /** The mirrored state was the remote's at `atMs`. */
  prove(atMs: number): void {
    this.#provenAtMs = Math.max(atMs, this.#provenAtMs ?? atMs);
  }

  /** The cache is being emptied of the remote: whatever was proved of it holds no more. */
  withdrawn(): void {
    this.#provenAtMs = undefined;
    this.synced = false;
    this.audited = false;
  }

  /** The heartbeat was read. One that was read before proves nothing, however often it is read again. */
  heartbeat(modRevision: number, atMs: number): void {
    if (this.#heartbeat?.modRevision !== modRevision) this.#heartbeat = { modRevision, atMs };
  }

  /** Keys of all kinds, refused and parked ones too: what is kept in memory of the remote. */
  get size(): number {
    return this.index.size;
  }

  accepted(key: string): void {
    if (this.#rejected.delete(key)) this.#countRejected(key, -1);
  }

  rejected(key: string, rejection: Rejection): void {
    if (!this.#rejected.has(key)) this.#countRejected(key, 1);
    this.#rejected.set(key, rejection);
    if (!this.#firstRejections.has(rejection.reason)) this.#firstRejections.set(rejection.reason, rejection);
  }

  #countRejected(key: string, by: number): void {
    const kind = parseCacheKey(key)?.kind ?? "other";
    this.#rejectedKinds[kind] = (this.#rejectedKinds[kind] ?? 0) + by;
  }

  /** A listing says everything anew. */
  forgetRejections(): void {
    this.#rejected.clear();
    this.#rejectedKinds = {};
    this.#firstRejections.clear();
  }

  /** One for each reason that there was since the last listing. */
  firstRejections(): readonly SetAside[] {
    return Array.from(this.#firstRejections.values(), (rejection) => ({ remote: this.name, ...rejection }));
  }

  /** Without kinds that were not counted yet. */
  entries(): Readonly<Record<string, number>> {
    const entries: Record<string, number> = {};
    for (const { kind } of RESOURCES) if (this.index.isCounted(kind)) entries[kind] = this.index.cached(kind);
    return entries;
  }

  ageMs(nowMs: number): number | undefined {
    return this.#provenAtMs === undefined ? undefined : nowMs - this.#provenAtMs;
  }

  #grade(nowMs: number, limits: AgeLimits): Grade {
    const ageMs = this.ageMs(nowMs);
    if (ageMs === undefined) return "unproven";
    if (ageMs >= limits.staleAfterMs) return "stale";
    return ageMs >= limits.suspectAfterMs || this.#isHeartbeatSilent(nowMs, limits) ? "suspect" : "fresh";
  }

  #isHeartbeatSilent(nowMs: number, limits: AgeLimits): boolean {
    return this.#heartbeat !== undefined && nowMs - this.#heartbeat.atMs >= limits.heartbeatTimeoutMs;
  }

  #error(nowMs: number, limits: AgeLimits): string | undefined {
    const error = this.fileFault ?? this.refusal ?? this.lastError;
    if (error !== undefined || !this.connected || !this.#isHeartbeatSilent(nowMs, limits)) return error;
    const silentSeconds = Math.round((nowMs - (this.#heartbeat?.atMs ?? nowMs)) / 1000);
    return `no heartbeat for ${silentSeconds} s: is the exporter of ${this.name} running?`;
  }

  /** All but what only the remote's configuration says. */
  status(nowMs: number, limits: AgeLimits, breaker: BreakerView): Omit<RemoteStatus, "configured"> {
    const ageMs = this.ageMs(nowMs);
    const lastError = this.#error(nowMs, limits);
    return {
      name: this.name,
      ...(this.clusterId !== undefined && { clusterId: this.clusterId }),
      ...this.#introduced,
      phase: this.phase,
      connected: this.connected,
      heartbeatSilent: this.connected && this.#isHeartbeatSilent(nowMs, limits),
      synced: this.synced,
      readKinds: eachKind(this.readKinds),
      syncedKinds: eachKind(this.syncedKinds),
      entries: this.entries(),
      ...(ageMs !== undefined && { ageMs }),
      grade: this.#grade(nowMs, limits),
      breaker: breaker.state,
      failures: breaker.failures,
      losses: this.#losses,
      ...(this.#lastLossAt !== undefined && { lastLossAt: this.#lastLossAt }),
      ...(this.#lastFailureAt !== undefined && { lastFailureAt: this.#lastFailureAt }),
      rejected: this.#rejected.size,
      rejectedKinds: { ...this.#rejectedKinds },
      parked: this.parked.size,
      holds: this.holds(),
      audited: this.audited,
      ...(lastError !== undefined && { lastError }),
    };
  }

  /** What is refused or parked now. */
  setAside(): readonly SetAside[] {
    return [...this.setAsideOf().values()];
  }

  /** The same by cache key. */
  setAsideOf(): ReadonlyMap<string, SetAside> {
    const found = new Map<string, SetAside>();
    for (const [key, rejection] of this.#rejected) found.set(key, { remote: this.name, ...rejection });
    for (const [key, { waitsFor }] of this.parked.entries()) {
      found.set(key, { remote: this.name, key, reason: "parked", detail: `waits for ${waitsFor}` });
    }
    return found;
  }

  /** Lines for a person: refusal of the remote, its holds, and its refused values with one example. */
  problems(): readonly string[] {
    const lines: string[] = [];
    for (const fault of [this.fileFault, this.refusal]) {
      if (fault !== undefined) lines.push(`remote ${this.name}: ${fault}`);
    }
    for (const hold of this.holds()) lines.push(`remote ${this.name}: ${holdLine(this.name, hold)}`);
    const [example] = this.#rejected.values();
    if (example) {
      const { key, reason, detail } = example;
      const count = this.#rejected.size;
      lines.push(`remote ${this.name}: ${count} refused, last good values stay; such as ${key}: ${reason}: ${detail}`);
    }
    return lines;
  }
}

function eachKind(kinds: ReadonlySet<ResourceKind>): Readonly<Record<string, boolean>> {
  return Object.fromEntries(RESOURCES.map(({ kind }) => [kind, kinds.has(kind)]));
}

function holdLine(name: string, { kind, state, withdrawals, keys }: HoldStatus): string {
  const what = `${withdrawals} withdrawals of ${kind} (${keys} keys) are ${state}, the cache stays as it was`;
  if (state === "discarded") return `${what}, as an operator decided; \`bulkhead holds\` tells more`;
  return `${what}; \`bulkhead holds\` tells more, \`bulkhead holds confirm ${name}/${kind}\` believes them`;
}
