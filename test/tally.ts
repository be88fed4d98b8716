/** Counts of tests. `skipped` holds tests that were left out or are still to be written: they prove nothing. */
export type Tally = { readonly passed: number; readonly failed: number; readonly skipped: number };

export const NOTHING_RAN: Tally = { passed: 0, failed: 0, skipped: 0 };

export function addTallies(a: Tally, b: Tally): Tally {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** `N passed, N failed`, and `, N skipped` when any were. */
export function tallyLine(tally: Tally): string {
  const counts = `${tally.passed} passed, ${tally.failed} failed`;
  return tally.skipped > 0 ? `${counts}, ${tally.skipped} skipped` : counts;
}

/** What a program's output and exit code count as: its last line when that is a tally, else one test. */
export function tallyOfOutput(output: string, exitCode: number): Tally {
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  const match = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(last);
  const told = match && { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3] ?? 0) };
  if (exitCode === 0) return told ?? { passed: 1, failed: 0, skipped: 0 };
  return told && told.failed > 0 ? told : { passed: told?.passed ?? 0, failed: 1, skipped: told?.skipped ?? 0 };
}
