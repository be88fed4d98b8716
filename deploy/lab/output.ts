/** What a person sees: few lines, figures in them, colour only on a terminal. */
import { styleText } from "node:util";
import { byCluster, type JobResult, totalOf } from "./workload/jobs.ts";

const LABEL_WIDTH = 34;
const ANSWERS_WIDTH = 45;

type Style = Parameters<typeof styleText>[0];

function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

export function sayStep(number: number, title: string): void {
  say(`\n${styled("bold", `${number}. ${title}`)}`);
}

/** A figure under a step: what, then how much. */
export function sayFigure(label: string, ...figures: readonly string[]): void {
  say(`   ${label.padEnd(LABEL_WIDTH)}  ${figures.join("   ")}`.trimEnd());
}

export function sayGood(text: string): void {
  say(styled("green", text));
}

export function sayBad(text: string): void {
  say(styled("red", text));
}

/** 12345 as `12,345`. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

export function answersText(answers: Readonly<Record<string, number>>): string {
  const counts = [...byCluster(answers)].sort(([left], [right]) => (left < right ? -1 : 1));
  return counts.map(([cluster, count]) => `${cluster} ${whole(count)}`).join("  ") || "no answer";
}

export function failuresText(failures: Readonly<Record<string, number>>): string {
  const codes = Object.entries(failures).map(([code, count]) => `${code} ${count}`);
  return codes.length === 0 ? "0 failed" : `${totalOf(failures)} failed (${codes.join(", ")})`;
}

export function sayResult(label: string, result: JobResult): void {
  const { p50, p99 } = result.latencyMs;
  sayFigure(
    label,
    answersText(result.answers).padEnd(ANSWERS_WIDTH),
    failuresText(result.failures),
    `p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms`,
  );
}
