/**
 * Of one remote: withdrawals that are too many to be believed at once. More than max(count, share) of a kind within the window are held: the
 * cache stays as it is until a later listing still lacks them, a drain marker stands, or an operator decides. Loss is counted by what is
 * lost to users (backends, addresses, identities, nodes), whether by deleting keys or by emptying their values.
 */
import assert from "node:assert/strict";
import type { HeldKey, HoldStatus } from "../model/status.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ResourceKind } from "../wire/resources.ts";
import type { Weight } from "./weight.ts";

export interface GuardLimits {
  readonly guardWindowMs: number;
  /** Withdrawals of a kind within the window that are always believed. */
  readonly guardMinWithdrawals: number;
  /** Share of what is known of a kind, likewise; the larger of the two counts. */
  readonly guardPercent: number;
  /** A withdrawal that has been held that long is believed when another listing lacks it too. */
  readonly holdConfirmMs: number;
}

/** The weight is what is lost by it. */
export interface Withdrawal extends Weight {
  /** In the cache. */
  readonly key: string;
  /** What the key holds afterwards; absent: the key goes. */
  readonly left?: { readonly value: Uint8Array; readonly weight: Weight };
  /** Never believed at once, nor what comes with it. */
  readonly doubtful?: true;
}

/** What a kind stands at, and whether the remote is the one that said so before. */
export interface Standing {
  /** Weight of all that is cached of the kind, the withdrawals in question included. */
  readonly weight: number;
  /** The remote's etcd is not the one that we knew: nothing that it lacks is believed before it was confirmed. */
  readonly newWorld: boolean;
}

/** A listing, as far as it says something. */
export interface Lacking {
  /** When it was read: it confirms what was held for long enough then. */
  readonly listedAtMs: number;
  /** Keys of which it, not being complete, says nothing; what is held of them stays. */
  readonly unsaid?: ReadonlyMap<string, unknown>;
}

interface Held {
  readonly withdrawal: Withdrawal;
  readonly sinceMs: number;
}

interface Hold {
  readonly held: Map<string, Held>;
  /** An operator said no: time alone does not confirm it. */
  discarded: boolean;
}

class Window {
  readonly #spans: { readonly atMs: number; readonly weight: number }[] = [];

  add(atMs: number, weight: number): void {
    if (weight > 0) this.#spans.push({ atMs, weight });
  }

  sum(fromMs: number): number {
    while (this.#spans[0] && this.#spans[0].atMs < fromMs) this.#spans.shift();
    return this.#spans.reduce((sum, { weight }) => sum + weight, 0);
  }
}

const NONE: ReadonlyMap<string, unknown> = new Map();

export class Guard {
  readonly #clock: Clock;
  readonly #limits: GuardLimits;
  readonly #windows = new Map<ResourceKind, Window>();
  readonly #holds = new Map<ResourceKind, Hold>();
  /** Addresses of nodes that went -> when: their pods go with them, and do not count. */
  readonly #goneHosts = new Map<string, number>();
  /** Kinds of which an operator discarded a hold before this process began. */
  readonly #discarded = new Set<ResourceKind>();
  /** Keys that an operator discarded one by one, held already or to be held again after a restart. */
  readonly #discardedKeys = new Map<ResourceKind, Set<string>>();

  constructor(clock: Clock, limits: GuardLimits) {
    assert(limits.guardPercent > 0 && limits.guardPercent <= 100);
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Withdrawals seen while watching: those to apply now; the others are held. */
  judge(kind: ResourceKind, batch: readonly Withdrawal[], standing: Standing): readonly Withdrawal[] {
    const nowMs = this.#clock.nowMs();
    this.#forgetHosts(nowMs);
    const [counted, free] = this.#parted(kind, batch);
    for (const { key } of free) this.#drop(kind, key);
    if (counted.length === 0) return batch;
    const weight = sumOf(counted);
    const doubtful = standing.newWorld || counted.some((one) => one.doubtful || this.#isDiscarded(kind, one.key));
    if (doubtful || this.#holds.has(kind) || this.#tooMany(kind, weight, standing, nowMs)) {
      this.#hold(kind, counted, nowMs);
      return free;
    }
    this.#window(kind).add(nowMs, weight);
    return batch;
  }

  /** The same for all that a listing lacks. What has been held for long enough is confirmed by lacking again. */
  relist(
    kind: ResourceKind,
    batch: readonly Withdrawal[],
    standing: Standing,
    { listedAtMs, unsaid = NONE }: Lacking,
  ): readonly Withdrawal[] {
    const before = this.#holds.get(kind);
    const confirmed: Withdrawal[] = [];
    const waiting = new Map<string, Held>();
    const fresh: Withdrawal[] = [];
    for (const withdrawal of batch) {
      const held = before?.held.get(withdrawal.key);
      if (!held || withdrawal.weight > held.withdrawal.weight) fresh.push(withdrawal);
      else if (this.#isDue(kind, before, held, listedAtMs)) confirmed.push(withdrawal);
      else waiting.set(withdrawal.key, { withdrawal, sinceMs: held.sinceMs });
    }
    for (const [key, held] of before?.held ?? []) if (unsaid.has(key)) waiting.set(key, held);
    this.#holds.delete(kind);
    // What was held and has grown is still held: nobody confirmed the smaller loss.
    const grew = fresh.some(({ key }) => before?.held.has(key));
    if (waiting.size > 0 || grew) this.#holds.set(kind, { held: waiting, discarded: before?.discarded === true });
    const weight = standing.weight - sumOf(confirmed);
    const believed = [...confirmed, ...this.judge(kind, fresh, { ...standing, weight })];
    if (this.#holds.get(kind)?.held.size === 0) this.#holds.delete(kind);
    // The others were said anew, perhaps while nobody listened.
    for (const key of this.discardedKeys(kind)) {
      if (!this.isHeld(kind, key) && !unsaid.has(key)) this.#discardedKeys.get(kind)?.delete(key);
    }
    return believed;
  }

  /** The remote says the key anew, or it is gone for another reason: it is not held any more. */
  said(kind: ResourceKind, key: string): void {
    this.#drop(kind, key);
  }

  isHeld(kind: ResourceKind, key: string): boolean {
    return this.#holds.get(kind)?.held.has(key) === true;
  }

  /** Nodes went for good; addresses of their pods that are held because of them are free: to be applied now. */
  nodesGone(addresses: Iterable<string>): readonly Withdrawal[] {
    const nowMs = this.#clock.nowMs();
    for (const address of addresses) this.#goneHosts.set(address, nowMs);
    const hold = this.#holds.get("ip");
    if (!hold || hold.discarded) return [];
    const [, free] = this.#parted(
      "ip",
      [...hold.held.values()].map(({ withdrawal }) => withdrawal),
    );
    for (const { key } of free) this.#drop("ip", key);
    return free;
  }

  /** Nodes are there, perhaps again: they explain no loss any more. */
  nodesCame(addresses: Iterable<string>): void {
    for (const address of addresses) this.#goneHosts.delete(address);
  }

  /** Whether another listing would confirm something. */
  get due(): boolean {
    const nowMs = this.#clock.nowMs();
    for (const [kind, hold] of this.#holds) {
      for (const held of hold.held.values()) if (this.#isDue(kind, hold, held, nowMs)) return true;
    }
    return false;
  }

  /** Ends the hold of a kind, or of those of its keys; the withdrawals are to be applied now. */
  confirm(kind: ResourceKind, keys?: Iterable<string>): readonly Withdrawal[] {
    const held = this.#holds.get(kind)?.held;
    const confirmed = [...(keys ?? held?.keys() ?? [])].flatMap((key) => held?.get(key)?.withdrawal ?? []);
    for (const { key } of confirmed) this.#drop(kind, key);
    if (keys === undefined) {
      this.#discarded.delete(kind);
      this.#discardedKeys.delete(kind);
    }
    return confirmed;
  }

  /** What is held of the kind, now or later of the same remote, stays until it is said anew or an operator confirms it. */
  discard(kind: ResourceKind): void {
    const hold = this.#holds.get(kind);
    if (hold) hold.discarded = true;
    else this.#discarded.add(kind);
    this.#discardedKeys.delete(kind);
  }

  /** The same of single keys, which may be held only later, by a listing. */
  discardKeys(kind: ResourceKind, keys: Iterable<string>): void {
    if (this.#holds.get(kind)?.discarded === true) return;
    this.#discardedKeys.set(kind, new Set([...this.discardedKeys(kind), ...keys]));
  }

  /** Keys of a kind that were discarded one by one. */
  discardedKeys(kind: string): readonly string[] {
    return [...(this.#discardedKeys.get(kind as ResourceKind) ?? [])];
  }

  /** A row for what waits of a kind, and one for what an operator discarded. */
  holds(): readonly HoldStatus[] {
    return [...this.#holds].flatMap(([kind, hold]) => {
      const rows = Map.groupBy(hold.held.values(), (held) => this.#state(kind, hold, held));
      return [...rows].map(([state, held]) => this.#row(kind, state, held as [Held, ...Held[]]));
    });
  }

  #row(kind: ResourceKind, state: HoldStatus["state"], held: readonly [Held, ...Held[]]): HoldStatus {
    const [{ sinceMs, withdrawal: example }] = held;
    const ageMs = this.#clock.nowMs() - sinceMs;
    return {
      kind,
      state,
      keys: held.length,
      withdrawals: sumOf(held.map(({ withdrawal }) => withdrawal)),
      ageMs,
      ...(state === "held" && { confirmsInMs: Math.max(0, this.#limits.holdConfirmMs - ageMs) }),
      example: example.key,
    };
  }

  /** All that is held, key by key. */
  heldKeys(): readonly Omit<HeldKey, "remote">[] {
    const nowMs = this.#clock.nowMs();
    return [...this.#holds].flatMap(([kind, hold]) =>
      Array.from(hold.held.values(), (held) => {
        const { key, weight } = held.withdrawal;
        const state = this.#state(kind, hold, held);
        return { kind, key, state, withdrawals: weight, ageMs: nowMs - held.sinceMs };
      }),
    );
  }

  #state(kind: ResourceKind, hold: Hold, { withdrawal }: Held): HoldStatus["state"] {
    return hold.discarded || this.#isDiscarded(kind, withdrawal.key) ? "discarded" : "held";
  }

  #isDiscarded(kind: ResourceKind, key: string): boolean {
    return this.#discardedKeys.get(kind)?.has(key) === true;
  }

  /** Those that count, and those that are free to go. */
  #parted(kind: ResourceKind, batch: readonly Withdrawal[]): [Withdrawal[], Withdrawal[]] {
    const counts = (one: Withdrawal): boolean => this.#counts(one) || this.#isDiscarded(kind, one.key);
    return [batch.filter(counts), batch.filter((one) => !counts(one))];
  }

  #counts({ weight, tag }: Withdrawal): boolean {
    return weight > 0 && !this.#goneHosts.has(tag);
  }

  #isDue(kind: ResourceKind, hold: Hold | undefined, held: Held, nowMs: number): boolean {
    if (hold === undefined || this.#state(kind, hold, held) === "discarded") return false;
    return nowMs - held.sinceMs >= this.#limits.holdConfirmMs;
  }

  #tooMany(kind: ResourceKind, weight: number, standing: Standing, nowMs: number): boolean {
    const { guardWindowMs, guardMinWithdrawals, guardPercent } = this.#limits;
    const before = this.#window(kind).sum(nowMs - guardWindowMs);
    const share = ((standing.weight + before) * guardPercent) / 100;
    return before + weight > Math.max(guardMinWithdrawals, share);
  }

  #hold(kind: ResourceKind, batch: readonly Withdrawal[], nowMs: number): void {
    if (batch.length === 0) return;
    const hold = this.#holds.get(kind) ?? { held: new Map(), discarded: this.#discarded.delete(kind) };
    this.#holds.set(kind, hold);
    for (const withdrawal of batch) {
      const before = hold.held.get(withdrawal.key);
      // What is lost on top was lost just now.
      const grew = before === undefined || withdrawal.weight > before.withdrawal.weight;
      hold.held.set(withdrawal.key, { withdrawal, sinceMs: grew ? nowMs : before.sinceMs });
    }
  }

  #drop(kind: ResourceKind, key: string): void {
    this.#discardedKeys.get(kind)?.delete(key);
    const hold = this.#holds.get(kind);
    if (!hold?.held.delete(key)) return;
    if (hold.held.size === 0) this.#holds.delete(kind);
  }

  #window(kind: ResourceKind): Window {
    const known = this.#windows.get(kind);
    if (known) return known;
    const made = new Window();
    this.#windows.set(kind, made);
    return made;
  }

  #forgetHosts(nowMs: number): void {
    for (const [host, atMs] of this.#goneHosts) {
      if (nowMs - atMs < this.#limits.guardWindowMs) return;
      this.#goneHosts.delete(host);
    }
  }
}

function sumOf(withdrawals: readonly Withdrawal[]): number {
  return withdrawals.reduce((sum, { weight }) => sum + weight, 0);
}
