/** What every verb does with what it found. */
import { once } from "node:events";
import { Command, InvalidArgumentError } from "commander";
import type { ProgramStatus } from "../../model/status.ts";
import { safeText } from "../../report/text.ts";
import { UserError } from "../../runtime/user-error.ts";
import { askAll, type Silent } from "../../serve/sockets.ts";
import type { HostAlias } from "../../wire/etcd-config.ts";

export interface ReadOptions {
  readonly runDir: string;
  readonly json: boolean;
}

/** A verb that reads admin sockets. */
export function reader(verb: string, description: string): Command {
  return new Command(verb)
    .description(description)
    .option("--run-dir <folder>", "folder of the admin sockets", "/run/bulkhead")
    .option("--json", "print the records as JSON", false);
}

/** Writes one line, and waits while the reader is slow. */
export async function writeLine(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, "drain");
}

export const silentText = ({ socket, error }: Silent): string => `! no answer from ${socket}: ${safeText(error)}`;

/** Prints what `text` makes of every program's status. */
export async function printStatuses(
  { runDir, json }: ReadOptions,
  text: (statuses: readonly ProgramStatus[]) => string,
): Promise<void> {
  const { statuses, silent } = await askAll(runDir);
  if (json) return writeLine(JSON.stringify({ statuses, silent }, null, 2));
  await writeLine([text(statuses), ...silent.map(silentText)].join("\n\n"));
}

/** A whole number from `least` to `most`, for commander. */
export function wholeNumber(least: number, most: number): (given: string) => number {
  return (given) => {
    const number = Number(given);
    if (/^[0-9]{1,9}$/.test(given) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** Milliseconds of a time such as 90d, for commander. */
export function span(given: string): number {
  const [, count, unit = ""] = /^([0-9]{1,6})([smhd])$/.exec(given) ?? [];
  const unitMs = UNIT_MS.get(unit);
  if (unitMs !== undefined) return Number(count) * unitMs;
  throw new InvalidArgumentError("It must be a number with s, m, h or d, such as 10m.");
}

/** For options that may be given more than once. */
export function collect(given: string, before: readonly string[] = []): readonly string[] {
  return [...before, given];
}

/** `host=address` each. */
export function aliases(given: readonly string[]): readonly HostAlias[] {
  const ips = new Map<string, string[]>();
  for (const pair of given) {
    const [hostname, ip, ...more] = pair.split("=");
    if (!hostname || !ip || more.length > 0) throw new UserError(`--address ${pair}: write HOST=ADDRESS`);
    ips.set(hostname, [...(ips.get(hostname) ?? []), ip]);
  }
  return Array.from(ips, ([hostname, all]) => ({ hostname, ips: all }));
}
