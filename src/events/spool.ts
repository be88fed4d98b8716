/**
 * Events that wait for the stream, bounded by number and by bytes. When it is full the oldest of the least severity goes, which may be the one
 * that was just made. One that was already sent, but not acknowledged, never goes: the stream may have it, and it would be counted wrongly.
 */
import { SEVERITIES, type Severity } from "../model/event.ts";

export interface Waiting {
  /** Counts up, in the order in which events were made. */
  readonly number: number;
  readonly severity: Severity;
  readonly bytes: number;
}

export interface SpoolLimits {
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
}

export class Spool<E extends Waiting> {
  readonly #limits: SpoolLimits;
  /** By severity, then by number: in the order in which they were made. */
  readonly #fresh: Readonly<Record<Severity, Map<number, E>>> = {
    info: new Map(),
    warning: new Map(),
    error: new Map(),
  };
  /** Sent at least once. */
  readonly #tried = new Map<number, E>();
  #bytes = 0;

  constructor(limits: SpoolLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return SEVERITIES.reduce((sum, severity) => sum + this.#fresh[severity].size, this.#tried.size);
  }

  /** Adds one; returns those that had to go for it. */
  add(event: E): readonly E[] {
    this.#fresh[event.severity].set(event.number, event);
    this.#bytes += event.bytes;
    const gone: E[] = [];
    while (this.size > this.#limits.maxWaiting || this.#bytes > this.#limits.maxWaitingBytes) {
      const least = this.#leastImportant();
      if (least === undefined) break;
      this.#fresh[least.severity].delete(least.number);
      this.#bytes -= least.bytes;
      gone.push(least);
    }
    return gone;
  }

  /** Those to send now, oldest first: what was tried before, then what was not, `most` in all. They stay until `settle`. */
  take(most: number): readonly E[] {
    for (let next = this.#oldest(); next && this.#tried.size < most; next = this.#oldest()) {
      this.#fresh[next.severity].delete(next.number);
      this.#tried.set(next.number, next);
    }
    return [...this.#tried.values()].slice(0, most);
  }

  /** The stream has it. */
  settle(event: E): void {
    if (this.#tried.delete(event.number)) this.#bytes -= event.bytes;
  }

  #leastImportant(): E | undefined {
    const severity = SEVERITIES.find((one) => this.#fresh[one].size > 0);
    return severity && first(this.#fresh[severity]);
  }

  #oldest(): E | undefined {
    const heads = SEVERITIES.flatMap((severity) => first(this.#fresh[severity]) ?? []);
    return heads.sort((left, right) => left.number - right.number)[0];
  }
}

function first<E>(events: ReadonlyMap<number, E>): E | undefined {
  const [event] = events.values();
  return event;
}
