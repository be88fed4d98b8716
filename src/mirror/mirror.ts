/** The mirror of one cluster: elected in the local etcd, it keeps `cilium/cache/` equal to what the remotes say of themselves. */
import { connectAs, type Timeouts } from "../access/etcd.ts";
import { readRemoteFile, tombstoneOf } from "../access/remote-files.ts";
import type { Disk } from "../disk/door.ts";
import { watchDirectory } from "../disk/watch-directory.ts";
import type { Term } from "../elect/elect.ts";
import { elect } from "../elect/elect.ts";
import type { ConnectEtcd, KvClient } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Discarded, HeldKey, MirrorStatus, SetAside } from "../model/status.ts";
import { Publisher } from "../publish/publisher.ts";
import { type Clock, every } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { KVSTOREMESH_LOCK_PREFIX } from "../wire/keys.ts";
import { Claims } from "./claims.ts";
import { MirrorGauges } from "./gauges.ts";
import { tellGrades } from "./grades.ts";
import { inspectCache, inspectNodes, inspectRemote } from "./inspect.ts";
import { ListGate } from "./list-gate.ts";
import { type OwnRanges, ownRanges } from "./own-ranges.ts";
import { leaseCache, type Released } from "./release.ts";
import { type MirrorLimits, type NewBreaker, Remote, removedBy, type Writing } from "./remote.ts";
import { WriteMetrics } from "./write-metrics.ts";

export interface MirrorOptions {
  readonly own: Cluster;
  /** Ranges of ours that no node declares, such as that of services. */
  readonly ownCidrs: readonly string[];
  /** The local etcd. */
  readonly local: KvClient;
  readonly connect: ConnectEtcd;
  readonly disk: Disk;
  readonly configDirectory: string;
  readonly configIntervalMs: number;
  readonly leaseTtlSeconds: number;
  /** How often nodes are told how fresh each remote is, changed or not. */
  readonly gradesIntervalMs: number;
  readonly newBreaker: NewBreaker;
  readonly limits: MirrorLimits;
  /** Of connections to remotes. */
  readonly timeouts: Timeouts;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
}

const GAUGES_INTERVAL_MS = 1_000;
const FREED_INTERVAL_MS = 1_000;
/** Our own nodes change seldom, and are only asked to know what remotes may not claim. */
const OWN_NODES_INTERVAL_MS = 30_000;
const OWN_UNREAD =
  "nodes or services of the own cluster cannot be read: remotes may claim their addresses; grant cilium/state/ and bulkhead/v1/services/, or name the ranges in --own-cidrs";
const RELEASED =
  "the cache was released: nothing is mirrored, and it runs out unless a successor writes it again; restart to take over";
const DISCONNECTED = "it was disconnected: its file is gone, and a tombstone lies in its place";
const ALL_GONE = "all configuration files vanished at once: its state stays as it is and ages (nothing is withdrawn)";

export class Mirror {
  readonly #options: MirrorOptions;
  readonly #claims: Claims;
  readonly #gate: ListGate;
  readonly #remotes = new Map<string, Remote>();
  readonly #startedAtMs: number;
  /** File name -> bytes, as last judged. */
  #files: ReadonlyMap<string, Uint8Array> = new Map();
  /** Files that are there and cannot be read. */
  #unread: readonly string[] = [];
  #directoryRead = false;
  #directoryProblems: readonly string[] = [];
  /** Refused files that name no remote: file -> line. */
  readonly #misnamed = new Map<string, string>();
  /** We are not allowed to read our own nodes or services. */
  #ownUnread = false;
  #leader: boolean | undefined;
  /** For the length of a term. */
  #publisher: Publisher | undefined;
  /** It was ready once: no remote makes it unready again. */
  #wasReady = false;
  #writing: Writing | undefined;
  /** Ends the term that runs, to hand over what it wrote. */
  #handOver: (() => void) | undefined;
  #release: PromiseWithResolvers<Released> | undefined;
  /** Remotes that are to be listed again, for what was refused of them. */
  readonly #owed = new Set<Remote>();
  /** Aborts when the cache was released: this process does not stand for election again. */
  readonly #retired = new AbortController();
  readonly #mirroring = new Set<Promise<void>>();

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#claims = new Claims(options.own, options.ownCidrs);
    this.#startedAtMs = options.clock.nowMs();
    const gauge = options.metrics.gauge("bulkhead_mirror_lists_running", "Full lists of remotes running now.");
    this.#gate = new ListGate(options.limits.maxConcurrentLists, options.clock, gauge);
  }

  /** Resolves when its signal aborts and everything has wound down; never rejects. */
  async run(): Promise<void> {
    const { clock, random, log, signal, local, leaseTtlSeconds, limits, disk } = this.#options;
    const gauges = new MirrorGauges(this.#options.metrics);
    every(clock, GAUGES_INTERVAL_MS, signal, () => {
      gauges.show(this.status(), this.ready().ready, this.#publisher?.depths ?? new Map());
    });
    every(clock, FREED_INTERVAL_MS, signal, () => this.#judgeAgain());
    const directory = watchDirectory(
      {
        disk,
        directory: this.#options.configDirectory,
        clock,
        signal,
        intervalMs: this.#options.configIntervalMs,
        onProblems: (problems) => {
          this.#directoryProblems = problems;
        },
      },
      (files, unread) => this.#filesChanged(files, unread),
    );
    const leader = (isLeader: boolean): void => {
      if (!isLeader && this.#publisher && !signal.aborted) gauges.leaseOverdue();
      this.#leader = isLeader;
    };
    const { backoff } = limits;
    const lockPrefix = KVSTOREMESH_LOCK_PREFIX;
    const stands = AbortSignal.any([signal, this.#retired.signal]);
    const elected = elect(
      { kv: local, lockPrefix, leaseTtlSeconds, clock, random, log, signal: stands, backoff, leader },
      (term) => this.#lead(term),
    ).then(() => leader(false));
    await Promise.all([directory, elected]);
    for (const remote of this.#remotes.values()) remote.stop();
  }

  #filesChanged(files: ReadonlyMap<string, Uint8Array>, unread: readonly string[]): void {
    this.#directoryRead = true;
    const configured = this.#configured();
    for (const [name, bytes] of files) {
      const before = this.#files.get(name);
      if (before === undefined || Buffer.compare(before, bytes) !== 0) this.#fileChanged(name, bytes);
    }
    const isGone = (name: string): boolean => !files.has(name) && !unread.includes(name);
    for (const name of this.#misnamed.keys()) if (isGone(name)) this.#misnamed.delete(name);
    this.#files = files;
    this.#unread = unread;
    for (const remote of this.#remotes.values()) this.#judgeTombstone(remote);
    const untold = configured.filter(({ name }) => !this.#isDisconnected(name));
    const gone = untold.filter(({ name }) => isGone(name));
    this.#filesGone(gone, gone.length < untold.length);
  }

  /** A file takes precedence over a tombstone. */
  #isDisconnected(name: string): boolean {
    return this.#files.has(tombstoneOf(name)) && !this.#files.has(name) && !this.#unread.includes(name);
  }

  /** Whenever its file went, and were it the only one: somebody said that it is meant. */
  #judgeTombstone(remote: Remote): void {
    if (this.#isDisconnected(remote.name)) remote.unconfigure(removedBy(DISCONNECTED));
  }

  /**
   * One file that goes while others stay is meant: its remote is drained. All at once are more likely a volume that is not there, or another one: nothing
   * is drained, not even what was about to be, and a person decides.
   */
  #filesGone(gone: readonly Remote[], othersStayed: boolean): void {
    if (gone.length === 0) return;
    if (othersStayed) for (const remote of gone) remote.unconfigure(removedBy("its configuration file was removed"));
    else
      for (const remote of this.#remotes.values())
        if (!this.#files.has(remote.name) && !this.#isDisconnected(remote.name))
          remote.unconfigure({ kind: "missing", line: ALL_GONE });
  }

  #fileChanged(name: string, bytes: Uint8Array): void {
    const { own, configDirectory, disk, connect, timeouts, log } = this.#options;
    const path = `${configDirectory}/${name}`;
    const file = readRemoteFile(own.name, path, name, bytes);
    this.#misnamed.delete(name);
    if (file.kind === "ignored") return;
    if (file.kind === "refused") {
      log.warn({ file: name, reason: file.line }, "remote's file refused");
      if (file.named) this.#remote(name).refuseFile(file.line);
      else this.#misnamed.set(name, file.line);
      return;
    }
    const allowsOthers = this.#claims.allow(name, file.allowedCidrs);
    const remote = this.#remote(name);
    if (allowsOthers) remote.forgetPlace("its bulkhead-allowed-cidrs changed");
    // Certificates are read anew for every connection.
    remote.configure(() => connectAs({ disk, connect }, path, file.text, timeouts));
  }

  #configured(): readonly Remote[] {
    return [...this.#remotes.values()].filter(({ isConfigured }) => isConfigured);
  }

  /** The remote of that name, made and set to work when it is new. */
  #remote(name: string): Remote {
    const known = this.#remotes.get(name);
    if (known) return known;
    const { clock, random, log, metrics, limits, newBreaker } = this.#options;
    const refuseId = (of: string, id: number): string | undefined => this.#claims.take(of, id);
    const remote = new Remote(name, {
      clock,
      random,
      log,
      metrics,
      limits,
      newBreaker,
      gate: this.#gate,
      refuseId,
      renumberedFrom: (of, id) => this.#claims.renumberedFrom(of, id),
      ownership: this.#claims.ownership(name),
      drained: (of) => this.#forget(of),
    });
    this.#remotes.set(name, remote);
    this.#judgeTombstone(remote);
    if (this.#writing) this.#start(remote, this.#writing);
    return remote;
  }

  /** What a remote was refused because another had claimed it may be its own now. */
  #judgeAgain(): void {
    if (this.#claims.takeFreed()) for (const remote of this.#remotes.values()) this.#owed.add(remote);
    for (const remote of this.#owed) {
      if (remote.listAgain("an address that another claimed is free")) this.#owed.delete(remote);
    }
  }

  /** Nothing is left of a remote that was removed, or that has another id: that one begins anew. */
  #forget(name: string): void {
    const gone = this.#remotes.get(name);
    gone?.stop();
    if (gone) this.#owed.delete(gone);
    this.#remotes.delete(name);
    this.#claims.release(name);
    this.#options.log.info({ remote: name }, "remote drained");
    const bytes = this.#files.get(name);
    if (bytes) this.#fileChanged(name, bytes);
  }

  #start(remote: Remote, writing: Writing): void {
    const mirroring = this.#mirror(remote, writing).finally(() => this.#mirroring.delete(mirroring));
    this.#mirroring.add(mirroring);
  }

  async #mirror(remote: Remote, writing: Writing): Promise<void> {
    const { clock, random, log, limits } = this.#options;
    await remote.mirror(writing, await inspectRemote(writing, remote.record, { clock, random, log, limits }));
  }

  async #lead(term: Term): Promise<void> {
    const { local, clock, random, log, metrics, limits } = this.#options;
    for (const { record } of this.#remotes.values()) record.index.forget();
    const over = new AbortController();
    const signal = AbortSignal.any([term.signal, over.signal]);
    const publisher = new Publisher({
      kv: local,
      fence: term.fence,
      renewFence: () => term.renewFence(),
      renewIntervalMs: term.renewIntervalMs,
      clock,
      random,
      log,
      metrics,
      backoff: limits.backoff,
      maxTxnsInFlight: limits.maxTxnsInFlight,
      observer: new WriteMetrics(metrics),
    });
    this.#publisher = publisher;
    const writing = { publisher, local, signal };
    const ends = [publisher.run(signal), this.#mirrorAll(writing)].map((end) => end.finally(() => over.abort()));
    this.#handOver = () => over.abort();
    const outcomes = await Promise.allSettled(ends);
    this.#publisher = undefined;
    this.#writing = undefined;
    this.#handOver = undefined;
    if (this.#release && !term.signal.aborted) return await this.#handOverCache(term, this.#release);
    this.#release?.reject(new UserError("this kvstoremesh ceased to lead meanwhile: release where the leader runs"));
    this.#release = undefined;
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  #learnOwn(own: OwnRanges | undefined): void {
    this.#ownUnread = own?.denied ?? true;
    if (own) this.#claims.setOwn(own);
  }

  async #handOverCache(term: Term, release: PromiseWithResolvers<Released>): Promise<void> {
    const { local, clock, limits, log } = this.#options;
    try {
      // Whatever of our own was late can no longer win.
      const fence = await term.renewFence();
      const remotes = this.#claims.names();
      const released = await leaseCache(remotes, { local, clock, pageSize: limits.pageSize, fence });
      log.info({ ...released }, "cache released");
      this.#retired.abort();
      release.resolve(released);
    } catch (error) {
      this.#release = undefined;
      release.reject(new UserError(`not released, mirroring goes on: ${messageOf(error)}`));
    }
  }

  /**
   * Puts everything mirrored under one lease for a successor, gives up the lead and does not stand again. Rejects with a UserError when this process
   * does not lead or the local etcd does not take it; then mirroring goes on.
   */
  async release(): Promise<Released> {
    if (this.#release) return await this.#release.promise;
    if (!this.#handOver) throw new UserError("this kvstoremesh does not lead: release where the leader runs");
    this.#release = Promise.withResolvers<Released>();
    this.#handOver();
    return await this.#release.promise;
  }

  /** Mirrors every remote there is or will be, until the signal aborts and all have wound down. */
  async #mirrorAll(writing: Writing): Promise<void> {
    const { clock, random, log, limits } = this.#options;
    const cached = await inspectCache(writing, { clock, random, log, limits });
    if (writing.signal.aborted) return;
    this.#claims.load(cached, new Set(this.#configured().map(({ name }) => name)));
    const reading = { local: writing.local, clock, signal: writing.signal, pageSize: limits.pageSize };
    const nodes = await inspectNodes(writing, this.#options.own, cached, { clock, random, log, limits });
    if (writing.signal.aborted) return;
    for (const [name, known] of nodes.cached) this.#claims.loadNodes(name, known);
    this.#learnOwn(nodes.own);
    every(clock, OWN_NODES_INTERVAL_MS, writing.signal, () => {
      // Tried again at the next interval: what is known of us stays.
      ownRanges(this.#options.own, reading).then(
        (own) => this.#learnOwn(own),
        () => undefined,
      );
    });
    // A remote in the cache that nobody configures any more is still somebody's state: it is shown.
    for (const name of this.#claims.names()) this.#remote(name);
    this.#writing = writing;
    const telling = { clock, random, log, limits, intervalMs: this.#options.gradesIntervalMs };
    void tellGrades(writing, () => this.#statuses(), telling);
    for (const remote of this.#remotes.values()) this.#start(remote, writing);
    await new Promise<void>((resolve) => {
      if (writing.signal.aborted) resolve();
      writing.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#writing = undefined;
    while (this.#mirroring.size > 0) await Promise.allSettled(this.#mirroring);
  }

  #statuses() {
    return [...this.#remotes.values()].map((remote) => remote.status()).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** All but what only the process knows. */
  status(): Omit<MirrorStatus, "pid"> {
    const remotes = [...this.#remotes.values()];
    return {
      program: "kvstoremesh",
      cluster: this.#options.own.name,
      uptimeMs: this.#options.clock.nowMs() - this.#startedAtMs,
      leader: this.#leader === true,
      queued: this.#writing?.publisher.queued ?? 0,
      problems: [
        ...(this.#retired.signal.aborted ? [RELEASED] : []),
        ...this.#claims.problems(),
        ...(this.#ownUnread ? [OWN_UNREAD] : []),
        ...this.#directoryProblems,
        ...this.#misnamed.values(),
        ...remotes.flatMap(({ record }) => record.problems()),
      ],
      remotes: this.#statuses(),
    };
  }

  /** Of all that is held, or of these keys of it; returns how many. @throws UserError when nothing like that is held: then nothing was changed. */
  confirmHold(remote: string, kind: string, keys?: readonly string[]): number {
    return this.#known(remote).confirmHold(kind, keys);
  }

  /** @throws UserError likewise. */
  discardHold(remote: string, kind: string, keys?: readonly string[]): number {
    return this.#known(remote).discardHold(kind, keys);
  }

  /** What is held, key by key, of one remote or of all. */
  heldKeys(remote?: string): readonly HeldKey[] {
    return this.#asked(remote).flatMap((known) => known.heldKeys());
  }

  /** @throws UserError when nothing like that is refused or parked: then nothing was changed. */
  discardRefused(remote: string, reason: string | undefined, keys: readonly string[]): Discarded {
    return this.#known(remote).discardRefused(reason, keys);
  }

  /** What is refused or parked, of one remote or of all. */
  setAside(remote?: string): readonly SetAside[] {
    return this.#asked(remote).flatMap(({ record }) => record.setAside());
  }

  #asked(name: string | undefined): readonly Remote[] {
    return name === undefined ? [...this.#remotes.values()] : [this.#known(name)];
  }

  /** Of each remote one value for each reason for which some were refused since it was last listed. */
  firstRejections(): readonly SetAside[] {
    return [...this.#remotes.values()].flatMap(({ record }) => record.firstRejections());
  }

  #known(name: string): Remote {
    const remote = this.#remotes.get(name);
    if (remote) return remote;
    throw new UserError(`no remote ${name}: there are ${[...this.#remotes.keys()].sort().join(", ") || "none"}`);
  }

  /**
   * Ready: the configuration was read, the local etcd answered, and every remote was tried once (on a standby: none is). From then on only the
   * own cluster makes it unready: trouble of a remote is no reason to restart anything here.
   */
  ready(): { readonly ready: boolean; readonly detail: string } {
    const fault = this.#unready();
    this.#wasReady ||= fault === undefined;
    return { ready: fault === undefined, detail: fault ?? (this.#leader ? "leading" : "standby") };
  }

  #unready(): string | undefined {
    if (!this.#directoryRead) return "the configuration directory was not read yet";
    if (this.#leader === undefined) return "the local etcd has not answered yet";
    if (this.#publisher && !this.#leader) return "the leader's lease was not renewed in time";
    const refusedMs = this.#publisher?.refusedMs ?? 0;
    if (refusedMs >= this.#options.limits.unreadyAfterMs) {
      return `the local etcd has refused writes for ${Math.round(refusedMs / 1000)} s`;
    }
    if (!this.#leader || this.#wasReady) return undefined;
    const untried = [...this.#remotes.values()].filter((remote) => !remote.tried).length;
    return untried === 0 ? undefined : `${untried} remotes were not tried yet`;
  }
}
