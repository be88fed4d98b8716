/**
 * A clock whose time is a number. Timers fire one by one in order of time, then of creation; between two of them everything
 * that is ready to run runs. So a program on this clock does the same thing every time, in no time at all.
 */
import assert from "node:assert/strict";
import type { Clock, Timer } from "../../src/runtime/clock.ts";

/** Kept from before anybody swaps the globals. */
const { setImmediate: realSetImmediate } = globalThis;

/** 2026-01-01T00:00:00Z: what `wallMs` says at virtual time 0. */
const EPOCH_MS = 1_767_225_600_000;

/** Timers that may fire at one instant before we call it a loop that never ends. */
const MAX_FIRINGS_AT_ONE_INSTANT = 50_000;

interface Entry {
  readonly dueMs: number;
  readonly order: number;
  action: (() => void) | undefined;
}

function isEarlier(left: Entry, right: Entry): boolean {
  return left.dueMs === right.dueMs ? left.order < right.order : left.dueMs < right.dueMs;
}

/** A binary heap, earliest entry first. */
class Agenda {
  readonly #heap: Entry[] = [];

  get first(): Entry | undefined {
    return this.#heap[0];
  }

  add(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isEarlier(entry, heap[parent] as Entry)) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }

  removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isEarlier(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!isEarlier(heap[child] as Entry, last)) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
  }
}

export class VirtualClock implements Clock {
  readonly #agenda = new Agenda();
  #nowMs = 0;
  #order = 0;
  #pending = 0;
  #running = false;

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return EPOCH_MS + Math.floor(this.#nowMs);
  }

  /** Timers not yet fired or cancelled: 0 after everything was wound down. */
  get pending(): number {
    return this.#pending;
  }

  after(delayMs: number, action: () => void): Timer {
    assert(delayMs >= 0 && Number.isFinite(delayMs), `delay ${delayMs} ms`);
    const entry: Entry = { dueMs: this.#nowMs + delayMs, order: this.#order++, action };
    this.#agenda.add(entry);
    this.#pending++;
    return { cancel: () => this.#disarm(entry) };
  }

  /** A timer of 0 ms: what is due now goes first, and virtual time stands still. */
  breathe(): Promise<void> {
    return new Promise((resolve) => this.after(0, resolve));
  }

  #disarm(entry: Entry): void {
    if (entry.action === undefined) return;
    entry.action = undefined;
    this.#pending--;
  }

  advance(durationMs: number): Promise<void> {
    return this.run(this.#nowMs + durationMs);
  }

  /** Fires everything due up to and including `untilMs`, which is then the time. */
  async run(untilMs: number): Promise<void> {
    await this.#drive(untilMs, () => false);
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Time passes and nothing runs, as on a machine that stops: what is due meanwhile is late. */
  stall(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  /** Runs until `promise` settles and passes its outcome on; fails when it has not within `withinMs` of virtual time. */
  async settle<T>(promise: Promise<T>, withinMs = 600_000): Promise<T> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    promise.then(note, note);
    await this.#drive(this.#nowMs + withinMs, () => settled);
    assert(settled, `nothing settled within ${withinMs} ms of virtual time`);
    return promise;
  }

  async #drive(untilMs: number, isDone: () => boolean): Promise<void> {
    assert(!this.#running, "the clock is being driven already");
    this.#running = true;
    try {
      await runEverythingReady();
      let firingsNow = 0;
      while (!isDone()) {
        const entry = this.#agenda.first;
        if (entry === undefined || entry.dueMs > untilMs) return;
        this.#agenda.removeFirst();
        if (entry.action === undefined) continue;
        firingsNow = entry.dueMs > this.#nowMs ? 0 : firingsNow + 1;
        assert(firingsNow < MAX_FIRINGS_AT_ONE_INSTANT, `time stands still at ${this.#nowMs} ms`);
        this.#nowMs = Math.max(this.#nowMs, entry.dueMs);
        const { action } = entry;
        this.#disarm(entry);
        action();
        await runEverythingReady();
      }
    } finally {
      this.#running = false;
    }
  }

  /**
   * Makes global timers and `Date.now` follow this clock, for libraries that know no other. Returns what undoes it.
   * Only while nothing but the simulation runs in the process.
   */
  installGlobalTimers(): () => void {
    const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
    const { now } = Date;
    Object.assign(globalThis, globalTimersOf(this));
    Date.now = () => this.wallMs();
    return () => {
      Object.assign(globalThis, { setTimeout, setInterval, clearTimeout, clearInterval });
      Date.now = now;
    };
  }
}

/** A macrotask begins only when no microtask is left. Nothing that runs on this clock waits for one itself. */
function runEverythingReady(): Promise<void> {
  return new Promise<void>((resolve) => realSetImmediate(resolve));
}

type Callback = (...args: unknown[]) => void;

/** What `setTimeout` returns here: the parts of Node's Timeout that libraries use. */
class GlobalTimer {
  readonly #arm: () => Timer;
  #timer: Timer;

  constructor(arm: () => Timer) {
    this.#arm = arm;
    this.#timer = arm();
  }

  refresh(): this {
    this.#timer.cancel();
    this.#timer = this.#arm();
    return this;
  }

  close(): this {
    this.#timer.cancel();
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }
}

function globalTimersOf(clock: Clock): Readonly<Record<string, unknown>> {
  const clear = (timer: unknown): void => {
    if (timer instanceof GlobalTimer) timer.close();
  };
  /** As Node does: anything that is not at least 1 ms is 1 ms. */
  const delayOf = (delayMs: number | undefined): number => (delayMs !== undefined && delayMs >= 1 ? delayMs : 1);
  return {
    setTimeout: (callback: Callback, delayMs?: number, ...args: unknown[]) =>
      new GlobalTimer(() => clock.after(delayOf(delayMs), () => callback(...args))),
    setInterval: (callback: Callback, delayMs?: number, ...args: unknown[]) => {
      const timer: GlobalTimer = new GlobalTimer(() =>
        clock.after(delayOf(delayMs), () => {
          timer.refresh();
          callback(...args);
        }),
      );
      return timer;
    },
    clearTimeout: clear,
    clearInterval: clear,
  };
}
