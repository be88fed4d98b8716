/** Time as a parameter: nothing outside this room asks the system. */
import { uptime } from "node:os";
import { performance } from "node:perf_hooks";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds: for ages, timeouts and intervals. */
  nowMs(): number;
  /** Wall clock milliseconds since 1970: only to print. */
  wallMs(): number;
  /** Calls `action` once after `delayMs`. */
  after(delayMs: number, action: () => void): Timer;
  /** Lets timers and input run before going on: what a long loop awaits between slices. */
  breathe(): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
};

/** Differences smaller than this are the coarseness of `uptime` (10 ms, cut off), not somebody setting the wall clock. */
const BOOT_STEP_MS = 100;

/**
 * Wall clock milliseconds since 1970 at which the boot clock, which the kernel stamps events with, stood at 0. Too late by 10 ms at most,
 * and less with every call.
 */
export function createBootWallMs(): () => number {
  let known = Number.NaN;
  return () => {
    const foundMs = Date.now() - uptime() * 1000;
    known = Math.abs(foundMs - known) < BOOT_STEP_MS ? Math.min(known, foundMs) : foundMs;
    return known;
  };
}

/** Resolves after `delayMs`, or at once when `signal` aborts: the caller looks at the signal. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

const RUNNING_SLICE_MS = 250;

/**
 * Calls `action` once this process has run for `delayMs`. Of a time in which it stood still, as one of a machine that stops does, a slice counts at
 * most: whoever it waits for stood still too, and what came meanwhile is not read yet.
 */
export function afterRunning(clock: Clock, delayMs: number, action: () => void): Timer {
  const sliceMs = Math.min(delayMs, RUNNING_SLICE_MS);
  const next = (): void => {
    if (delayMs > sliceMs) timer = afterRunning(clock, delayMs - sliceMs, action);
    else action();
  };
  let timer = clock.after(sliceMs, next);
  return { cancel: () => timer.cancel() };
}

/** Resolves once this process has run for `delayMs`. */
export function sleepRunning(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void afterRunning(clock, delayMs, resolve));
}

/** Runs `action` every `intervalMs` after the previous run began to matter, until `signal` aborts. Errors are the action's own. */
export function every(clock: Clock, intervalMs: number, signal: AbortSignal, action: () => void): void {
  if (signal.aborted) return;
  let timer = clock.after(intervalMs, tick);
  signal.addEventListener("abort", () => timer.cancel(), { once: true });
  function tick(): void {
    action();
    if (!signal.aborted) timer = clock.after(intervalMs, tick);
  }
}

/** Loops rest after every item: no promise is made for those that need none. */
const AT_ONCE = Promise.resolve();

/** Slices of work that keep the loop free: `await slices.rest()` returns at once until the slice is used up. */
export class Slices {
  static #longestMs = 0;
  readonly #clock: Clock;
  readonly #sliceMs: number;
  #startMs: number;

  /** @param sliceMs longest run between two breaths; 10 ms at most in programs that hold leases. */
  constructor(clock: Clock, sliceMs = 5) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
    this.#startMs = clock.nowMs();
  }

  /** The longest slice of any work of this process since this was last asked. */
  static takeLongestMs(): number {
    const longestMs = Slices.#longestMs;
    Slices.#longestMs = 0;
    return longestMs;
  }

  /** Whether the slice is used up: asked first where even a promise for every item would be dear. */
  get areOver(): boolean {
    return this.#clock.nowMs() - this.#startMs >= this.#sliceMs;
  }

  rest(): Promise<void> {
    const lastedMs = this.#clock.nowMs() - this.#startMs;
    return lastedMs < this.#sliceMs ? AT_ONCE : this.#breathe(lastedMs);
  }

  async #breathe(lastedMs: number): Promise<void> {
    Slices.#longestMs = Math.max(Slices.#longestMs, lastedMs);
    await this.#clock.breathe();
    this.#startMs = this.#clock.nowMs();
  }
}

/** RFC 3339, as Cilium writes times: values of canaries and heartbeats. */
export function encodeTime(wallMs: number): Uint8Array {
  return new TextEncoder().encode(new Date(wallMs).toISOString());
}
