/** One configured remote for as long as the process runs: tries, watches, and tries again; a breaker paces the tries. */
import type { Witness } from "../follow/list.ts";
import type { KvClient } from "../kv/client.ts";
import type { Discarded, HeldKey, HoldStatus, RemoteStatus } from "../model/status.ts";
import { FenceLostError, type Publisher, type Writer } from "../publish/publisher.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { RESOURCES, type ResourceKind } from "../wire/resources.ts";
import { type Checkpoint, furthest, type ResumePoint, Rewind } from "./checkpoint.ts";
import { Decisions } from "./decisions.ts";
import { drain } from "./drain.ts";
import { Guard, type GuardLimits } from "./guard.ts";
import type { ListGate } from "./list-gate.ts";
import type { Ownership } from "./ownership.ts";
import { type Reached, RemoteRefusedError, reach } from "./reach.ts";
import { type AgeLimits, type BreakerView, RemoteRecord } from "./record.ts";
import { type Remembered, writeCheckpoint } from "./remembered.ts";
import { RemoteCache } from "./remote-cache.ts";
import { Renumbering } from "./renumbering.ts";
import { Session } from "./session.ts";

/** What src/runtime/breaker.ts gives: the part that is used here. */
export interface AttemptBreaker<T> extends BreakerView {
  fire(): Promise<T>;
  /** Until a try is let through. */
  waitMs(): number;
  stop(): void;
}

export type NewBreaker = <T>(name: string, action: () => Promise<T>) => AttemptBreaker<T>;

export interface MirrorLimits extends AgeLimits, GuardLimits {
  /** Keys per page. */
  readonly pageSize: number;
  /** Full lists at once, over all remotes. */
  readonly maxConcurrentLists: number;
  /** Txns on their way to the local etcd, for all remotes together. */
  readonly maxTxnsInFlight: number;
  /** Of one remote: with more it is not mirrored, and what is cached of it stays. */
  readonly maxRemoteKeys: number;
  readonly maxRemoteBytes: number;
  readonly progressIntervalMs: number;
  readonly progressTimeoutMs: number;
  /** Between two comparisons of what was watched with what the remote holds. */
  readonly auditIntervalMs: number;
  /** How long a removed remote's state stays, so that agents can let go of it in their own time. */
  readonly drainGraceMs: number;
  /** Between two records of how far a remote was followed. */
  readonly checkpointIntervalMs: number;
  /** How long the local etcd may refuse writes before the mirror says that it is not ready. */
  readonly unreadyAfterMs: number;
  /** Pauses that no breaker paces: after a watch that had lasted, and while the local etcd does not answer. */
  readonly backoff: BackoffSettings;
  /** Pauses after lists that were followed by no lasting watch: as dear as failures, though the breaker saw them succeed. */
  readonly redial: BackoffSettings;
}

export interface RemoteOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits: MirrorLimits;
  readonly newBreaker: NewBreaker;
  readonly gate: ListGate;
  readonly refuseId: (name: string, id: number) => string | undefined;
  /** The id that the remote had, when nothing else speaks against this one. */
  readonly renumberedFrom: (name: string, id: number) => number | undefined;
  readonly ownership: Ownership;
  /** Told once nothing of the remote is left in the cache. */
  readonly drained: (name: string) => void;
}

/** How to reach a remote, as its configuration file says. */
export type Dial = () => Promise<KvClient>;

/** Why there is no configuration. `removed`: its state goes too; `missing`: it stays as it is, for a person to decide. */
export interface Absence {
  readonly kind: "removed" | "missing";
  /** One line. */
  readonly line: string;
}

export function removedBy(line: string): Absence {
  return { kind: "removed", line };
}

/** What a term of leadership brings. */
export interface Writing {
  readonly publisher: Publisher;
  /** The local etcd, to read. */
  readonly local: KvClient;
  readonly signal: AbortSignal;
}

/** Refusals that may end without a word of the remote. */
const OWED_REASONS: ReadonlySet<string> = new Set(["foreign-address", "not-allowed"]);

export class Remote {
  readonly name: string;
  readonly record: RemoteRecord;
  readonly #options: RemoteOptions;
  readonly #guard: Guard;
  readonly #cache: RemoteCache;
  readonly #decisions: Decisions;
  readonly #backoff: Backoff;
  readonly #redial: Backoff;
  #dial: Dial | undefined;
  #breaker: AttemptBreaker<Reached>;
  /** Aborts whatever follows the present configuration. */
  #configured = new AbortController();
  /** The last try reached the remote and did not last. */
  #fleeting = false;
  #attemptSignal = new AbortController().signal;
  #absence: Absence = { kind: "missing", line: "no configuration file: its state stays as it is and ages" };
  #absentSinceMs: number;
  #session: Session | undefined;
  #listAgainFromMs = 0;
  #checkpoint: Checkpoint | undefined;
  readonly #rewind = new Rewind();
  readonly #renumbering: Renumbering;
  #resume: ResumePoint | undefined;
  #checkpointWritten = { witnesses: "", atMs: Number.NEGATIVE_INFINITY };
  #holdsWritten = "";

  constructor(name: string, options: RemoteOptions) {
    const { clock, limits, random } = options;
    this.name = name;
    this.#options = options;
    this.record = new RemoteRecord(name);
    this.record.holds = () => this.#holds();
    this.#guard = new Guard(clock, limits);
    this.#renumbering = new Renumbering(clock, limits.holdConfirmMs);
    this.#cache = new RemoteCache({
      ...options,
      record: this.record,
      guard: this.#guard,
    });
    this.#decisions = new Decisions({ ...options, record: this.record, guard: this.#guard, cache: this.#cache });
    this.#absentSinceMs = clock.nowMs();
    this.#backoff = new Backoff(random, limits.backoff);
    this.#redial = new Backoff(random, limits.redial);
    this.#breaker = this.#newBreaker();
  }

  /** Connects, or connects anew, in the way of a new configuration. */
  configure(dial: Dial): void {
    this.#reconfigure(dial);
  }

  get isConfigured(): boolean {
    return this.#dial !== undefined;
  }

  /** The newest configuration is no good: the one before stays in force. */
  refuseFile(line: string): void {
    this.record.fileFault = line;
    if (this.#dial === undefined) this.record.phase = "refused";
  }

  /** The configuration is gone. Only `removed` takes the remote's state out of the cache. */
  unconfigure(absence: Absence): void {
    if (this.#dial === undefined && this.#absence.kind === absence.kind) return;
    this.#absence = absence;
    this.#absentSinceMs = this.#options.clock.nowMs();
    this.#reconfigure(undefined);
  }

  #reconfigure(dial: Dial | undefined): void {
    this.#dial = dial;
    this.record.fileFault = undefined;
    this.record.refusal = undefined;
    this.#breaker.stop();
    this.#breaker = this.#newBreaker();
    this.#lasted();
    this.#configured.abort();
    this.#configured = new AbortController();
  }

  #newBreaker(): AttemptBreaker<Reached> {
    return this.#options.newBreaker(this.name, () => this.#reach());
  }

  status(): RemoteStatus {
    const { clock, limits } = this.#options;
    return { ...this.record.status(clock.nowMs(), limits, this.#breaker), configured: this.isConfigured };
  }

  /**
   * What was refused because of others or of an operator may be right now: it is listed again, but not more often than a link that flaps, so that others cannot keep it
   * busy. False: not yet.
   */
  listAgain(because: string): boolean {
    if (!this.record.setAside().some(({ reason }) => OWED_REASONS.has(reason))) return true;
    const nowMs = this.#options.clock.nowMs();
    if (nowMs < this.#listAgainFromMs || !this.#session) return false;
    this.#listAgainFromMs = nowMs + this.#options.limits.redial.capMs;
    this.#session.restart(because);
    return true;
  }

  /** Everything is to be judged anew: the next connection lists, however well it could go on where the last one was. */
  forgetPlace(because: string): void {
    this.#session?.restart(because);
    this.#resume = undefined;
  }

  /** Whether a first try has ended, well or not. */
  get tried(): boolean {
    return this.record.synced || this.record.lastError !== undefined || this.record.fileFault !== undefined;
  }

  #holds(): readonly HoldStatus[] {
    const keys = RESOURCES.reduce((sum, { kind }) => sum + this.record.index.cached(kind), 0);
    const config = this.#dial === undefined ? this.#missing(keys) : this.#renumbering.hold(keys);
    return config && keys > 0 ? [config, ...this.#guard.holds()] : this.#guard.holds();
  }

  /** Its configuration is gone, and nobody said that it is meant. */
  #missing(keys: number): HoldStatus | undefined {
    if (this.#absence.kind === "removed") return undefined;
    const ageMs = this.#options.clock.nowMs() - this.#absentSinceMs;
    return { kind: "config", state: "held", keys, withdrawals: keys, ageMs, example: this.#absence.line };
  }

  /** An operator believes what is held, or these keys of it. Returns how many. Throws a UserError when there is nothing to confirm, or not here. */
  confirmHold(kind: string, keys: readonly string[] = []): number {
    const hold = this.#findHold(kind);
    if (kind !== "config") return this.#decide(() => this.#decisions.confirm(kind as ResourceKind, keys));
    this.#undivided(keys);
    if (!this.#cache.isOpen) throw new UserError("this kvstoremesh does not lead: confirm it where the leader runs");
    if (this.#dial !== undefined) this.#renumbering.confirm();
    else this.unconfigure(removedBy("an operator confirmed that it was removed"));
    return hold.keys;
  }

  /** An operator does not believe it: the cache stays as it is until the remote says otherwise, or someone confirms it after all. */
  discardHold(kind: string, keys: readonly string[] = []): number {
    const hold = this.#findHold(kind);
    if (kind !== "config") return this.#decide(() => this.#decisions.discard(kind as ResourceKind, keys));
    this.#undivided(keys);
    if (this.#dial === undefined)
      throw new UserError("a missing configuration file withdraws nothing by itself; put the file back");
    this.#renumbering.discard();
    return hold.keys;
  }

  /** An operator gives up what is refused or parked: of this reason, or these keys, or all of it. Throws a UserError as `confirmHold` does. */
  discardRefused(reason: string | undefined, keys: readonly string[]): Discarded {
    return this.#decide(() => this.#decisions.discardRefused(reason, keys));
  }

  /** Of kinds of keys; a missing configuration holds no single ones. */
  heldKeys(): readonly HeldKey[] {
    return this.#decisions.heldKeys();
  }

  #decide<T>(decide: () => T): T {
    const done = decide();
    this.#rememberHolds();
    return done;
  }

  #findHold(kind: string): HoldStatus {
    const hold = this.#holds().find((one) => one.kind === kind);
    if (hold) return hold;
    throw new UserError(`nothing of ${this.name}/${kind} is held; \`bulkhead holds\` lists what is`);
  }

  #undivided(keys: readonly string[]): void {
    if (keys.length > 0) throw new UserError(`${this.name}/config is held as a whole: name no keys`);
  }

  /** Mirrors for the length of a term. Resolves when its signal aborts; never rejects. */
  async mirror(writing: Writing, remembered: Remembered): Promise<void> {
    this.#begin(writing, remembered);
    while (!writing.signal.aborted) {
      const configured = this.#configured.signal;
      const signal = AbortSignal.any([writing.signal, configured]);
      const goes = this.#goes();
      if (goes !== undefined) {
        if (await this.#drain(goes, writing, signal)) break;
      } else if (this.#dial !== undefined) await this.#attempt(writing, signal);
      else await this.#idle(signal);
      // What was confirmed just now is done at once: a moment later it may not be so any more.
      if (this.#renumbering.confirmed === undefined) await this.#pause(signal);
    }
    this.#cache.close();
    this.record.phase = "idle";
  }

  /** Another process may have written into the cache since we did: only a listing tells what has to be done. */
  #begin({ publisher }: Writing, { checkpoint, held, discarded }: Remembered): void {
    this.#cache.open(publisher.scope(this.name));
    this.#resume = undefined;
    this.#checkpoint = furthest(checkpoint, this.#checkpoint);
    this.#holdsWritten = "";
    this.#checkpointWritten = { witnesses: "", atMs: Number.NEGATIVE_INFINITY };
    for (const { kind, names } of discarded) {
      if (names.length > 0) this.#guard.discardKeys(kind, names);
      else this.#guard.discard(kind);
    }
    this.#cache.doubt(held);
  }

  /** The remote was followed for a while. */
  #lasted(): void {
    this.#fleeting = false;
    this.#backoff.reset();
    this.#redial.reset();
  }

  async #pause(signal: AbortSignal): Promise<void> {
    let delayMs = this.#fleeting ? this.#redial.nextMs() : this.#backoff.nextMs();
    this.#fleeting = false;
    // The breaker's own timer may be a little later than its word.
    while (!signal.aborted && delayMs > 0) {
      await sleep(this.#options.clock, Math.max(delayMs, this.#breaker.waitMs()), signal);
      delayMs = this.#breaker.waitMs();
    }
  }

  async #idle(signal: AbortSignal): Promise<void> {
    this.record.phase = this.record.fileFault === undefined ? "idle" : "refused";
    this.record.lastError = this.#absence.line;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  /** Why all of its state is to go, in one line. */
  #goes(): string | undefined {
    if (this.#dial !== undefined) return this.#renumbering.confirmed;
    return this.#absence.kind === "removed" ? this.#absence.line : undefined;
  }

  /** Resolves to whether nothing is left of the remote, and so nothing to do. */
  async #drain(why: string, { publisher, local }: Writing, signal: AbortSignal): Promise<boolean> {
    const { clock, random, limits, drained, log } = this.#options;
    this.record.phase = "draining";
    this.record.withdrawn();
    this.record.lastError = `${why}: its state is taken out of the cache`;
    const { drainGraceMs: graceMs, pageSize, backoff } = limits;
    try {
      const writer = publisher.scope(this.name);
      const empty = await drain(this.name, { writer, local, clock, random, backoff, graceMs, pageSize, signal });
      if (empty) drained(this.name);
      return empty;
    } catch (error) {
      if (!signal.aborted) log.warn({ remote: this.name, reason: messageOf(error) }, "not drained yet");
      return false;
    }
  }

  async #attempt(writing: Writing, signal: AbortSignal): Promise<void> {
    const { record } = this;
    this.#attemptSignal = signal;
    try {
      const session = this.#begun(writing, await this.#breaker.fire());
      this.#session = session;
      this.#fleeting = true;
      record.refusal = undefined;
      record.lastError = undefined;
      try {
        const ended = await session.run(signal);
        if (!signal.aborted) this.#lost(ended);
      } finally {
        record.connected = false;
        this.#session = undefined;
        this.#remember(session.lastSeen);
        session.close();
      }
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    }
    if (!signal.aborted && record.phase !== "refused") record.phase = "idle";
  }

  #reach(): Promise<Reached> {
    const { clock, gate, limits } = this.#options;
    const dial = this.#dial;
    if (dial === undefined) return Promise.reject(new RemoteRefusedError(this.#absence.line));
    return reach({
      name: this.name,
      record: this.record,
      connect: dial,
      refuseId: (id) => this.#refuseId(id),
      checkpoint: this.#checkpoint,
      resume: this.#resume,
      met: (world) => this.#rewind.met(world, clock.nowMs()),
      gate,
      clock,
      signal: this.#attemptSignal,
      pageSize: limits.pageSize,
      maxKeys: limits.maxRemoteKeys,
      maxBytes: limits.maxRemoteBytes,
    });
  }

  #refuseId(id: number): string | undefined {
    const { refuseId, renumberedFrom } = this.#options;
    const from = renumberedFrom(this.name, id);
    if (from === undefined) this.#renumbering.over();
    else this.#renumbering.said(from, id);
    return refuseId(this.name, id);
  }

  #begun({ publisher, local }: Writing, reached: Reached): Session {
    const { clock, random, log, limits } = this.#options;
    const writer = publisher.scope(this.name);
    return new Session(reached, {
      ...limits,
      record: this.record,
      cache: this.#cache,
      guard: this.#guard,
      publisher: writer,
      local,
      clock,
      random,
      log,
      lasted: () => this.#lasted(),
      judged: () => this.#rememberHolds(),
      reached: (point) => this.#followed(writer, point),
    });
  }

  #followed(writer: Writer, point: ResumePoint | undefined): void {
    const { clock, limits } = this.#options;
    this.#resume = point;
    if (point === undefined) return;
    this.#checkpoint = point;
    // Only a witness that changed is worth a write: our own writes move the revision of whoever mirrors us, and theirs moves ours.
    const witnesses = point.witnesses.map(({ key, modRevision }) => `${key} ${modRevision}`).join();
    const last = this.#checkpointWritten;
    if (witnesses === last.witnesses || clock.nowMs() - last.atMs < limits.checkpointIntervalMs) return;
    this.#checkpointWritten = { witnesses, atMs: clock.nowMs() };
    writeCheckpoint(writer, this.name, point);
  }

  #remember(seen: Witness | undefined): void {
    if (!seen || !this.#checkpoint) return;
    this.#checkpoint = { ...this.#checkpoint, witnesses: [...this.#checkpoint.witnesses, seen] };
  }

  #rememberHolds(): void {
    if (!this.#cache.isOpen) return;
    const holds = this.#guard.holds().map(({ kind, state, keys }) => {
      return { kind, state, keys, names: state === "discarded" ? this.#guard.discardedKeys(kind) : [] };
    });
    const text = JSON.stringify(holds);
    if (text === this.#holdsWritten) return;
    this.#holdsWritten = text;
    this.#cache.remember(holds);
  }

  #lost(detail: string): void {
    this.record.lastError = detail;
    this.#options.log.info({ remote: this.name, reason: detail }, "remote left");
  }

  #failed(error: unknown): void {
    if (error instanceof FenceLostError) return;
    const line = messageOf(error);
    this.record.lastError = line;
    this.record.failed(this.#options.clock.wallMs());
    if (error instanceof RemoteRefusedError) {
      this.record.refusal = line;
      this.record.phase = "refused";
    }
    this.#options.log.warn({ remote: this.name, reason: line }, "remote not reached");
  }

  stop(): void {
    this.#breaker.stop();
  }
}
