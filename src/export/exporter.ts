/** The exporter: says what this cluster runs, into this cluster's etcd. */
import type { Disk } from "../disk/door.ts";
import type { DockerEngine } from "../docker/door.ts";
import type { Term } from "../elect/elect.ts";
import { elect } from "../elect/elect.ts";
import type { KvClient } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Fence } from "../model/fence.ts";
import type { ExporterStatus, SourceKindStatus } from "../model/status.ts";
import { Publisher } from "../publish/publisher.ts";
import type { BackoffSettings } from "../runtime/backoff.ts";
import { retry } from "../runtime/backoff.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { UserError } from "../runtime/user-error.ts";
import type { ContainerPlace } from "../wire/container-manifests.ts";
import { EXPORTER_LOCK_PREFIX, LOCAL_SERVICES_PREFIX } from "../wire/keys.ts";
import type { Compiled } from "./compile.ts";
import { ContainerSource } from "./container-source.ts";
import { Drainer, type DrainOrder } from "./drainer.ts";
import { EtcdHealth } from "./etcd-health.ts";
import { beat } from "./heartbeat.ts";
import { IdentityBook } from "./identities.ts";
import { type KubeSettings, KubeSource } from "./kube-source.ts";
import { ManifestSource } from "./manifest-source.ts";
import { type SourceState, Sources } from "./sources.ts";
import { readStored } from "./stored.ts";
import { publishTerm } from "./term.ts";

export interface ExporterSettings {
  readonly cluster: Cluster;
  /** Directory of Kubernetes YAML; absent: none. */
  readonly manifests?: string | undefined;
  readonly manifestIntervalMs: number;
  /** Containers that count as pods; absent: none. */
  readonly containers?: ContainerSettings | undefined;
  /** The API server of this cluster; absent: none. */
  readonly kubernetes?: KubeSettings | undefined;
  readonly leaseTtlSeconds: number;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatLeaseTtlSeconds: number;
  readonly auditIntervalMs: number;
  /** How long an identity stays that nobody has. */
  readonly identityKeepMs: number;
  readonly pageSize: number;
  /** Txns on their way to the etcd. */
  readonly maxTxnsInFlight: number;
  readonly backoff: BackoffSettings;
}

export interface ContainerSettings {
  readonly engine: DockerEngine;
  /** `name=value`: of the containers that belong to this cluster. */
  readonly label: string;
  readonly place: ContainerPlace;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** What the exporter needs of a source. */
interface Source {
  /** Why it cannot be read at present, one line each. */
  readonly faults: readonly string[];
  /** What else somebody should mend. */
  readonly notes?: readonly string[];
  run(): Promise<void>;
  /** Of a source that has kinds of objects. */
  status?(): readonly SourceKindStatus[];
  /** Told by who leads: all that is wrong with what is published, one line each. */
  tell?(problems: readonly string[]): void;
}

export interface ExporterDeps {
  readonly settings: ExporterSettings;
  readonly kv: KvClient;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** Process id, for the status. */
  readonly pid: number;
}

const MANIFESTS = "manifests";
const CONTAINERS = "containers";
const KUBERNETES = "kubernetes";

/** By name, in the order of precedence. */
function readersOf({ settings, ...deps }: ExporterDeps, report: Report): ReadonlyMap<string, Source> {
  const { manifests: directory, manifestIntervalMs: intervalMs, containers, kubernetes, backoff } = settings;
  const readers = new Map<string, Source>();
  const common = (name: string) => ({ ...deps, backoff, report: (state: SourceState) => report(name, state) });
  if (directory !== undefined) {
    readers.set(MANIFESTS, new ManifestSource({ ...common(MANIFESTS), directory, intervalMs }));
  }
  if (containers) readers.set(CONTAINERS, new ContainerSource({ ...common(CONTAINERS), ...containers }));
  if (kubernetes) readers.set(KUBERNETES, new KubeSource({ ...common(KUBERNETES), ...kubernetes }));
  return readers;
}

type Report = (name: string, state: SourceState) => Promise<void>;

/** Problem lines that the status lists; the others are counted. */
const MAX_PROBLEM_LINES = 100;

export class Exporter {
  readonly #deps: ExporterDeps;
  readonly #kv: KvClient;
  readonly #health = new EtcdHealth();
  readonly #sources: Sources;
  readonly #readers: readonly Source[];
  readonly #startMs: number;
  readonly #drainer: Drainer;
  readonly #collected: Counter;
  #book: IdentityBook | undefined;
  #compiled: Compiled | undefined;
  #publisher: Publisher | undefined;
  #leader = false;
  #synced = false;

  constructor(deps: ExporterDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#kv = this.#health.observe(deps.kv);
    this.#startMs = clock.nowMs();
    const help = "Identities that were taken back, as nobody had them any more.";
    this.#collected = deps.metrics.counter("bulkhead_export_identities_collected_total", help);
    const readers = readersOf(deps, (name, state) => this.#sources.report(name, state));
    this.#sources = new Sources({ names: [...readers.keys()], clock, log });
    this.#readers = [...readers.values()];
    this.#drainer = new Drainer({ ...deps, cluster: deps.settings.cluster.name });
  }

  /** Runs until the signal aborts. */
  async run(): Promise<void> {
    await Promise.all([...this.#readers.map((reader) => reader.run()), this.#campaign()]);
  }

  /** Stands for election once the manifests were read: who cannot read them must not lead. */
  async #campaign(): Promise<void> {
    const { settings, clock, random, log, signal } = this.#deps;
    const { leaseTtlSeconds, backoff } = settings;
    await this.#sources.snapshots.after(undefined, signal);
    const leader = (isLeader: boolean): void => this.#noteLeader(isLeader);
    const options = { kv: this.#kv, lockPrefix: EXPORTER_LOCK_PREFIX, leaseTtlSeconds, clock, random, log, signal };
    await elect({ ...options, backoff, leader }, (term) => this.#lead(term));
  }

  async #lead(term: Term): Promise<void> {
    const { settings, clock, random, log, metrics } = this.#deps;
    const { cluster, backoff, pageSize, maxTxnsInFlight } = settings;
    const stop = new AbortController();
    const signal = AbortSignal.any([term.signal, stop.signal]);
    let { fence } = term;
    const { renewIntervalMs } = term;
    const renewFence = async (): Promise<Fence> => {
      fence = await term.renewFence();
      return fence;
    };
    const kv = this.#kv;
    const stored = await retry({ clock, random, backoff, signal }, () =>
      readStored(kv, cluster, { pageSize, clock, signal }),
    );
    const isGiven = settings.kubernetes?.identities === "given";
    const book = isGiven ? undefined : new IdentityBook(cluster.id, stored.identities, this.#book?.entries());
    const publisher = new Publisher({
      ...{ kv, fence, renewFence, renewIntervalMs, clock, random, log, metrics, backoff, maxTxnsInFlight },
    });
    this.#book = book;
    this.#publisher = publisher;
    const heartbeat = {
      intervalMs: settings.heartbeatIntervalMs,
      leaseTtlSeconds: settings.heartbeatLeaseTtlSeconds,
      backoffBaseMs: backoff.baseMs,
    };
    const jobs = [
      publisher.run(signal),
      beat({ ...heartbeat, kv, clock, random, log, signal, fence: () => fence, renewFence }),
      publishTerm({
        ...{ kv, publisher, cluster, book, owners: stored.owners, clock, random, backoff, signal, pageSize },
        serviceExports: settings.kubernetes?.kinds.some(({ kind }) => kind === "ServiceExport") ?? false,
        snapshots: this.#sources.snapshots,
        auditIntervalMs: settings.auditIntervalMs,
        identityKeepMs: settings.identityKeepMs,
        isHeard: () => this.#readers.every(({ faults }) => faults.length === 0),
        onCollected: (identities) => this.#noteCollected(identities),
        onCompiled: (compiled) => this.#noteCompiled(compiled),
        onSynced: () => this.#noteSynced(),
      }),
      this.#drainer.run({ kv, publisher, clock, random, backoff, signal }),
    ];
    try {
      await Promise.race(jobs);
    } finally {
      stop.abort();
      await Promise.allSettled(jobs);
      this.#publisher = undefined;
      this.#synced = false;
    }
  }

  #noteLeader(isLeader: boolean): void {
    this.#leader = isLeader;
    this.#deps.metrics.gauge("bulkhead_export_leader", "1 while this process leads.").set(isLeader ? 1 : 0);
    if (!isLeader) for (const reader of this.#readers) reader.tell?.([]);
  }

  #noteSynced(): void {
    if (!this.#synced) this.#deps.log.info({ entries: this.#entries() }, "synced");
    this.#synced = true;
  }

  #noteCompiled(compiled: Compiled): void {
    const { metrics, log } = this.#deps;
    const known = new Set(this.#compiled?.problems);
    for (const problem of compiled.problems)
      if (!known.has(problem)) log.warn({ problem }, "object not published as asked");
    this.#compiled = compiled;
    for (const reader of this.#readers) reader.tell?.([...this.#sourceProblems(), ...compiled.problems]);
    const entries = metrics.gauge("bulkhead_export_entries", "Keys that the own etcd should hold.", ["part"]);
    for (const [part, count] of Object.entries(this.#entries())) entries.set(count, { part });
    const conflicts = metrics.gauge("bulkhead_export_conflicts", "Claims of what somebody else has.", ["kind"]);
    for (const [kind, count] of compiled.conflicts) conflicts.set(count, { kind });
    const problems = metrics.gauge("bulkhead_export_problems", "Manifests and objects that somebody should mend.");
    problems.set(this.#problems().length);
  }

  #noteCollected(identities: number): void {
    this.#collected.add(identities);
    this.#deps.log.info({ identities }, "identities that nobody has were taken back");
  }

  #entries(): Readonly<Record<string, number>> {
    return Object.fromEntries([...(this.#compiled?.parts ?? [])].map(([part, entries]) => [part, entries.size]));
  }

  #problems(): readonly string[] {
    const { lastError } = this.#health;
    const etcd = lastError === undefined ? [] : [`local etcd: ${lastError}; nothing is published until it answers`];
    const compiled = this.#compiled?.problems ?? [];
    const faults = this.#readers.flatMap((reader) => [...reader.faults, ...(reader.notes ?? [])]);
    return [...etcd, ...faults, ...this.#sourceProblems(), ...this.#drainer.problems(), ...compiled];
  }

  #sourceProblems(): readonly string[] {
    return this.#sources.snapshots.newest?.problems ?? [];
  }

  /** Moves traffic away, or back. Resolves once it is written down. Throws a UserError when it cannot be done. */
  async drain(order: DrainOrder): Promise<ExporterStatus> {
    const services = this.#compiled?.parts.get("local-services");
    if (this.#leader && !services) throw new UserError("it does not know its services yet: try again in a moment");
    const known = Array.from(services?.keys() ?? [], (key) => key.slice(LOCAL_SERVICES_PREFIX.length));
    await this.#drainer.order(order, new Set(known));
    return this.status();
  }

  status(): ExporterStatus {
    const problems = this.#problems();
    const more = problems.length - MAX_PROBLEM_LINES;
    const shown = problems.slice(0, MAX_PROBLEM_LINES);
    const kinds = this.#readers.flatMap((reader) => reader.status?.() ?? []);
    const drains = this.#drainer.status();
    return {
      program: "exporter",
      cluster: this.#deps.settings.cluster.name,
      pid: this.#deps.pid,
      uptimeMs: this.#deps.clock.nowMs() - this.#startMs,
      problems: more > 0 ? [...shown, `and ${more} more`] : shown,
      leader: this.#leader,
      synced: this.#synced,
      queued: this.#publisher?.queued ?? 0,
      entries: this.#entries(),
      ...(kinds.length > 0 && { kinds }),
      ...(drains.length > 0 && { drains }),
    };
  }

  /** A leader is ready once everything is published; a standby as soon as it could take over. */
  ready(): { readonly ready: boolean; readonly detail: string } {
    if (this.#sources.snapshots.newest === undefined) return { ready: false, detail: "not every source was read yet" };
    if (this.#health.lastError !== undefined) return { ready: false, detail: "local etcd does not answer" };
    if (!this.#leader) return { ready: true, detail: "standby" };
    if (this.#synced) return { ready: true, detail: "synced" };
    const { read } = this.#sources.snapshots.newest;
    return { ready: false, detail: read ? "publishing" : "not everything could be read since start" };
  }
}
