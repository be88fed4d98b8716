/** What `bulkhead events` prints: a line an event. */
import type { MeshEvent } from "../model/event.ts";
import { safeText } from "./text.ts";

/** Time, severity, kind, who tells it, what happened. */
export function eventText({ time, severity, kind, cluster, program, instance, line }: MeshEvent): string {
  return safeText(`${time} ${severity.padEnd(7)} ${kind.padEnd(9)} ${cluster}/${program} ${instance}: ${line}`);
}

/** Runs remembered for `LostEvents`. */
const MOST_RUNS = 10_000;

/** Counts of events that their programs gave up, told once each. */
export class LostEvents {
  /** By run, as it was last said. */
  readonly #lost = new Map<string, number>();

  /** How many were given up since the last event of the same run. */
  before({ id, lost }: MeshEvent): number {
    const run = id.slice(0, id.indexOf("-"));
    const known = this.#lost.get(run) ?? 0;
    this.#lost.delete(run);
    this.#lost.set(run, Math.max(lost, known));
    const [oldest] = this.#lost.keys();
    if (this.#lost.size > MOST_RUNS && oldest !== undefined) this.#lost.delete(oldest);
    return Math.max(0, lost - known);
  }
}

export function lostText({ cluster, program, instance }: MeshEvent, lost: number): string {
  const what = lost === 1 ? "1 event is" : `${lost} events are`;
  return safeText(`! ${what} lost of ${cluster}/${program} ${instance}: NATS was away for too long`);
}
