/** Everything that happened, as one hash: two runs of a seed must have the same. */
import { createHash } from "node:crypto";
import type { Clock } from "../../src/runtime/clock.ts";

const KEPT_LINES = 40;

export class Trace {
  readonly #clock: Clock;
  readonly #hash = createHash("sha256");
  readonly #last: string[] = [];
  readonly violations: string[] = [];
  lines = 0;

  readonly #onLine: ((line: string) => void) | undefined;

  constructor(clock: Clock, onLine?: (line: string) => void) {
    this.#clock = clock;
    this.#onLine = onLine;
  }

  note(text: string): void {
    const line = `${Math.round(this.#clock.nowMs() * 1000)} ${text}`;
    this.#hash.update(`${line}\n`);
    this.lines++;
    this.#onLine?.(line);
    this.#last.push(line);
    if (this.#last.length > KEPT_LINES) this.#last.shift();
  }

  /** An invariant does not hold. */
  violate(invariant: string, detail: string): void {
    const line = `${invariant}: ${detail}`;
    this.violations.push(line);
    this.note(`VIOLATION ${line}`);
  }

  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  /** The end of the story, for a person. */
  tail(): readonly string[] {
    return this.#last;
  }
}
