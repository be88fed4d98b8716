/** Which rows showed themselves in how many seeds: a run in which one did not proves nothing about it. */
import type { FaultRow } from "./faults/row.ts";
import type { Outcome } from "./simulation.ts";

/** From so many seeds on, chance is no excuse. */
const ENOUGH_SEEDS = 1_000;
const LEAST_SHARE = 0.01;
const PER_LINE = 12;

export class Coverage {
  readonly #seeds = new Map<string, number>();
  #count = 0;

  constructor(rows: readonly FaultRow[]) {
    for (const { id } of rows) this.#seeds.set(id, 0);
  }

  add({ faults }: Outcome): void {
    this.#count++;
    for (const id of faults.keys()) this.#seeds.set(id, (this.#seeds.get(id) ?? 0) + 1);
  }

  /** Rows that struck in fewer seeds than that. */
  below(least: number): readonly string[] {
    return [...this.#seeds].filter(([, seeds]) => seeds < least).map(([id, seeds]) => `${id}: ${seeds}`);
  }

  /** What is wrong, once there are enough seeds to say. */
  faults(): readonly string[] {
    if (this.#count < ENOUGH_SEEDS) return [];
    return this.below(this.#count * LEAST_SHARE).map((line) => `${line} of ${this.#count} seeds: fewer than 1 %`);
  }

  lines(): readonly string[] {
    const words = [...this.#seeds].map(([id, seeds]) => `${id}:${seeds}`);
    const lines: string[] = [];
    for (let at = 0; at < words.length; at += PER_LINE)
      lines.push(`seeds struck ${words.slice(at, at + PER_LINE).join(" ")}`);
    return lines;
  }
}
