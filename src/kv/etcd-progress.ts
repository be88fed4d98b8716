/**
 * Makes a server's progress answer true. Servers before 3.4.25 and 3.5.8 answer a progress request with the store's revision at
 * once: ahead of events that are still queued for the stream, and while a watch that started in the past is still catching up.
 * So an answer becomes progress only when what comes after it shows that nothing up to its revision was left behind: either a
 * second answer with nothing in between, or a later event, for events of caught-up watches keep their order. And no answer counts
 * until the server had time to catch up. Asked of 3.4.23, in test/kv/etcd-watch.test.ts.
 */
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Header } from "./client.ts";

/** A server sends what is behind every 100 ms. */
const SETTLE_MS = 300;
/** A second answer later than this says nothing new about the moment of the first. */
const MAX_GAP_MS = 1000;

export interface ProgressDoor {
  readonly clock: Clock;
  /** Sends a progress request. */
  ask(): void;
  /** Everything up to the header's revision was delivered. */
  proved(header: Header): void;
}

interface Candidate {
  readonly header: Header;
  readonly atMs: number;
  /** Something was delivered since. */
  disturbed: boolean;
  /** So was something newer, in order. */
  passed: boolean;
}

export class ProgressProof {
  readonly #door: ProgressDoor;
  #wanted = false;
  #candidate: Candidate | undefined;
  #settledMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(door: ProgressDoor) {
    this.#door = door;
  }

  want(): void {
    this.#wanted = true;
    if (this.#timer === undefined) this.#door.ask();
  }

  /** A watch was created, perhaps with a past to catch up with. */
  created(behind: boolean): void {
    if (behind) this.#unsettle();
  }

  /** A response with events, up to `lastRevision`, was delivered (a fragment too). */
  delivered(header: Header, lastRevision: number): void {
    // Only a watch that catches up gets events older than the response.
    if (header.revision !== lastRevision) this.#unsettle();
    if (this.#candidate === undefined) return;
    this.#candidate.disturbed = true;
    if (lastRevision > this.#candidate.header.revision) this.#candidate.passed = true;
  }

  #unsettle(): void {
    this.#candidate = undefined;
    this.#settledMs = this.#door.clock.nowMs() + SETTLE_MS;
  }

  answered(header: Header): void {
    const nowMs = this.#door.clock.nowMs();
    if (nowMs < this.#settledMs) this.#askLater(this.#settledMs - nowMs);
    else this.#judge(header, nowMs);
  }

  #judge(header: Header, nowMs: number): void {
    const before = this.#candidate;
    this.#candidate = { header, atMs: nowMs, disturbed: false, passed: false };
    if (!this.#wanted) return;
    if (before && nowMs - before.atMs <= MAX_GAP_MS && (before.passed || !before.disturbed)) {
      this.#wanted = false;
      this.#door.proved(before.header);
    } else {
      this.#door.ask();
    }
  }

  #askLater(delayMs: number): void {
    this.#timer ??= this.#door.clock.after(delayMs, () => {
      this.#timer = undefined;
      if (this.#wanted) this.#door.ask();
    });
  }

  stop(): void {
    this.#wanted = false;
    this.#timer?.cancel();
  }
}
