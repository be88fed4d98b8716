/** Whether a deletion, or an emptied value, may be believed: the rules of I2 and I4, stated without a look at how the mirror keeps them. */
import type { ResourceKind } from "../../../src/wire/resources.ts";
import { LIMITS } from "../limits.ts";
import type { Truth } from "../truth.ts";

/** Writes that were queued before a file was put back may still land this much later. */
const LATE_MS = 20_000;
/** A listing may be written down that much later than it was read: what came back meanwhile was not in it. */
const RETURNED_MS = 5_000;
/** The guard counts when it hears of a withdrawal: after it happened, before it is written. What is near by both times was counted together. */
const WINDOW_MS = LIMITS.guardWindowMs / 2;

/** When a remote's file was absent in a mirror's directory while others were there. */
export class RemovedFiles {
  readonly #spans = new Map<string, { fromMs: number; untilMs: number }[]>();

  removed(remote: string, atMs: number): void {
    const spans = this.#spans.get(remote) ?? [];
    this.#spans.set(remote, spans);
    spans.push({ fromMs: atMs, untilMs: Number.POSITIVE_INFINITY });
  }

  returned(remote: string, atMs: number): void {
    for (const span of this.#spans.get(remote) ?? []) span.untilMs = Math.min(span.untilMs, atMs);
  }

  /** Whether the remote's state may be taken out of the cache. */
  mayDrain(remote: string, nowMs: number): boolean {
    return (this.#spans.get(remote) ?? []).some(
      ({ fromMs, untilMs }) => fromMs + LIMITS.drainGraceMs <= nowMs && nowMs <= untilMs + LATE_MS,
    );
  }
}

/** A value as a test reads it: no decoder of the product. */
export function readJson(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(text, "latin1").toString("utf8")) as Record<string, unknown>;
}

/** What users lose when the value goes: the value itself, or its backends. */
export function lossesOf(kind: ResourceKind, text: string): ReadonlySet<string> {
  if (kind !== "services") return new Set(["it"]);
  const { backends, shared } = readJson(text);
  return new Set(shared === true && typeof backends === "object" && backends !== null ? Object.keys(backends) : []);
}

export function weightOf(kind: ResourceKind, text: string): number {
  return lossesOf(kind, text).size;
}

export interface Withdrawal {
  readonly kind: ResourceKind;
  readonly name: string;
  /** What the cache held. */
  readonly text: string;
  /** What it holds now; absent: the key is gone. */
  readonly left?: string;
  /** Of the value that it held. */
  readonly version: number;
}

interface Counted {
  readonly saidMs: number;
  readonly writtenMs: number;
  readonly weight: number;
}

/** Of one local cluster: judges what is taken out of its cache. */
export class Withdrawals {
  readonly files: RemovedFiles;
  /** Remote -> when its old id was given up. */
  readonly #renumbered = new Map<string, number>();
  /** `<leader> <remote> <kind>` -> what was believed at once. */
  readonly #believed = new Map<string, Counted[]>();

  constructor(files: RemovedFiles) {
    this.files = files;
  }

  /** The remote has another id for good: what is cached under the old one goes. */
  renumbered(remote: string, nowMs: number): void {
    this.#renumbered.set(remote, nowMs);
  }

  /** What is wrong with it, or undefined. `standing`: weight of all that was cached of the kind before. */
  judge(withdrawal: Withdrawal, truth: Truth, leader: string, standing: number, nowMs: number): string | undefined {
    const { kind, name, version, left } = withdrawal;
    if (left === undefined && this.#mayDrain(truth.cluster, nowMs)) return undefined;
    const said = left === undefined ? this.#gone(truth, name, version, nowMs) : truth.said(name, left);
    if (said === undefined) return `deleted though ${truth.cluster} never withdrew it`;
    const sinceMs =
      left === undefined && truth.absence(name) ? Math.min(said.atMs, truth.absentSinceMs(name, version)) : said.atMs;
    if (this.#confirmed(kind, sinceMs, truth, nowMs)) return undefined;
    if (this.#excused(withdrawal, said.atMs, truth)) return undefined;
    if (said.lost)
      return `deleted ${Math.round(nowMs - said.atMs)} ms after ${truth.cluster} lost it: nobody withdrew it`;
    const weight = this.#weight(withdrawal, truth, said.atMs, nowMs);
    const counted = { saidMs: said.atMs, writtenMs: nowMs, weight };
    return this.#count(kind, counted, `${leader} ${truth.cluster} ${kind}`, standing);
  }

  #mayDrain(remote: string, nowMs: number): boolean {
    const renumberedMs = this.#renumbered.get(remote) ?? Number.NEGATIVE_INFINITY;
    return this.files.mayDrain(remote, nowMs) || nowMs - renumberedMs <= LIMITS.drainGraceMs + LATE_MS;
  }

  /** The withdrawal that allows it: of today, or of a while ago if the key came again. */
  #gone(truth: Truth, name: string, version: number, nowMs: number) {
    const absence = truth.absence(name);
    if (absence && absence.version > version && !absence.lost) return absence;
    if (absence && absence.version > version) return truth.withdrawal(name, version) ?? absence;
    return truth.withdrawal(name, version) ?? truth.loss(name, version, nowMs - RETURNED_MS);
  }

  /** It has been gone for as long as a hold lasts, and the remote called its state complete since. */
  #confirmed(kind: ResourceKind, sinceMs: number, truth: Truth, nowMs: number): boolean {
    return Math.min(nowMs, truth.lastCompleteMs(kind)) - sinceMs >= LIMITS.holdConfirmMs;
  }

  /** The remote said that it goes on purpose, or the address went with its node. */
  #excused({ kind, text }: Withdrawal, saidMs: number, truth: Truth): boolean {
    if (truth.drainedAt(saidMs)) return true;
    if (kind !== "ip") return false;
    const { HostIP } = readJson(text);
    return typeof HostIP === "string" && truth.nodeGone(HostIP, saidMs, LIMITS.guardWindowMs);
  }

  /**
   * How much goes now that did not go long ago. Backends that come in the place of others count against those. One write may carry several losses, if it
   * had to wait: the guard counted each when it was said.
   */
  #weight({ kind, name, text, left }: Withdrawal, truth: Truth, saidMs: number, nowMs: number): number {
    const lost = lossesOf(kind, text);
    if (left === undefined) return lost.size;
    const kept = lossesOf(kind, left);
    const version = truth.saidSince(name, text, 0)?.version ?? 0;
    const old = truth.textsAfter(name, version, nowMs - LIMITS.holdConfirmMs);
    if (old.some((one) => lossesOf(kind, one).size <= kept.size)) return 0;
    const recentMs = Math.max(nowMs - LIMITS.holdConfirmMs, saidMs - WINDOW_MS);
    const recent = truth.textsSince(name, recentMs).map((one) => lossesOf(kind, one));
    const freshOf = (backends: ReadonlySet<string>): number => {
      const fresh = [...backends].filter((one) => lost.has(one) && !kept.has(one));
      return Math.min(fresh.length, backends.size - kept.size);
    };
    return Math.min(Math.max(0, ...recent.map(freshOf)), Math.max(0, lost.size - kept.size));
  }

  #count(kind: ResourceKind, counted: Counted, group: string, standing: number): string | undefined {
    const believed = this.#believed.get(group) ?? [];
    this.#believed.set(group, believed);
    const isNear = (one: Counted): boolean =>
      Math.abs(one.saidMs - counted.saidMs) <= WINDOW_MS && counted.writtenMs - one.writtenMs <= WINDOW_MS;
    const near = believed.filter(isNear);
    const before = near.reduce((sum, one) => sum + one.weight, 0);
    believed.push(counted);
    const share = ((standing + before) * LIMITS.guardPercent) / 100;
    const most = Math.max(LIMITS.guardMinWithdrawals, share);
    const { weight } = counted;
    if (weight === 0 || before + weight <= most) return undefined;
    return `withdrawal ${before + weight} of ${kind} within ${WINDOW_MS} ms: more than ${most} are to be held`;
  }
}
