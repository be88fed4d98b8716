/** What every verb does with what it found. */
import { once } from "node:events";
import { Command, InvalidArgumentError } from "commander";
import type { ProgramStatus } from "../../model/status.ts";
import { safeText } from "../../report/text.ts";
import { askAll, type Silent } from "./sockets.ts";

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
