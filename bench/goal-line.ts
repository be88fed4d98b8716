/** What a bench prints of a goal: one line, or one line of JSON. */
import type { Costs } from "./mirror-stage.ts";

export interface Figures {
  readonly id: string;
  readonly unit: string;
  readonly value: number;
  /** The same, of the least that could do the job, measured in the same run. */
  readonly floor: number;
  /** Of the value to the floor. */
  readonly ratio: number;
  /** In words that a number can be compared with, such as `ratio>=0.6`. */
  readonly goal: string;
  readonly reached: boolean;
  /** Why the figures say nothing: what loads or bounds the subject was slower than it. */
  readonly invalid?: string | undefined;
  /** Of the mirror, where one was measured. */
  readonly costs?: Costs;
  /** More figures, by name. */
  readonly beside: Readonly<Record<string, number>>;
}

const DIGITS = 4;
const short = (value: number): number => Number(value.toPrecision(DIGITS));

export function printFigures(figures: Figures, json: boolean): void {
  const { id, unit, goal, reached, invalid, costs } = figures;
  const verdict = invalid === undefined ? (reached ? "ok" : "short") : "invalid";
  const all = {
    value: short(figures.value),
    floor: short(figures.floor),
    ratio: short(figures.ratio),
    goal,
    verdict,
    unit,
    ...Object.fromEntries(Object.entries(figures.beside).map(([name, value]) => [name, short(value)])),
    ...(costs && { cpuSeconds: short(costs.cpuSeconds), peakRssMiB: short(costs.peakRssMiB) }),
    ...(invalid !== undefined && { invalid }),
  };
  if (json) return void process.stdout.write(`${JSON.stringify({ id, ...all })}\n`);
  const words = Object.entries(all).map(([name, value]) => (name === "verdict" ? String(value) : `${name}=${value}`));
  process.stdout.write(`${id} ${words.join(" ")}\n`);
}

/** The value below which a share of them lies; NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
