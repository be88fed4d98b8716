/** One way to live: a program reads its settings, gets one abort signal, and winds down when told to or when it fails. */
import { flushCompileCache } from "node:module";
import closeWithGrace from "close-with-grace";
import type { z } from "zod";
import { helpText, readSettings } from "./settings.ts";
import { EXIT_BAD_INPUT, messageOf, UserError } from "./user-error.ts";

/** Time a program has to wind down before it is ended. */
const GRACE_MS = 5_000;

function reportFailure(name: string, error: unknown): void {
  if (error instanceof UserError) {
    process.stderr.write(`bulkhead ${name}: ${error.message}\n`);
    process.exitCode = EXIT_BAD_INPUT;
    return;
  }
  const trace = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  process.stderr.write(`bulkhead ${name}: failed: ${trace}\n`);
  process.exitCode = 1;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/**
 * Runs `main` with the settings of `argv` until it resolves. SIGTERM and SIGINT abort its signal and wait for it. A UserError is one line and
 * exit code 2; anything else that escapes, also outside `main`, is a defect: trace and exit code 1. `--help` prints the settings.
 */
export async function runProgram<S extends Readonly<Record<string, z.ZodType>>>(
  name: string,
  schema: z.ZodObject<S>,
  argv: readonly string[],
  main: (settings: z.output<z.ZodObject<S>>, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  if (argv.includes("--help")) {
    process.stdout.write(helpText(name, schema));
    return;
  }
  // What was compiled is kept for the next start, also if this process is killed.
  flushCompileCache();
  const stop = new AbortController();
  const running = (async () => main(readSettings(name, schema, argv), stop.signal))().catch((error: unknown) => {
    if (!(stop.signal.aborted && isAbort(error))) reportFailure(name, error);
  });
  const grace = closeWithGrace({ delay: GRACE_MS, logger: false }, async ({ err }) => {
    if (err) reportFailure(name, err);
    stop.abort();
    await running;
  });
  await running;
  grace.uninstall();
  // A wound-down program has nothing left to wait for; a socket that lingers must not hold it.
  process.exit();
}
