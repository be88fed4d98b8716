/** Runs one short command of the machine, with a deadline, and says plainly what failed. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The program `bulkhead` of this repository. */
export const BULKHEAD = [fileURLToPath(new URL("../../bin/bulkhead", import.meta.url))] as const;

const TIMEOUT_MS = 20_000;
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

export interface CommandOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are answers; absent: 0. */
  readonly codes?: readonly number[];
}

export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Standard output of the command. Rejects with a CommandError that quotes its last line of complaint. */
export function command(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [file = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const settings = {
      timeout: options.timeoutMs ?? TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT_BYTES,
      env: { ...process.env, ...options.env },
      killSignal: "SIGKILL" as const,
    };
    const child = execFile(file, args, settings, (error, stdout, stderr) => {
      if (error === null || (typeof error.code === "number" && options.codes?.includes(error.code)))
        return resolve(stdout);
      const said = stderr.trim().split("\n").at(-1) || error.message;
      reject(new CommandError(`${argv.slice(0, 6).join(" ")}: ${said}`));
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
  });
}

/** The command as it runs inside a network namespace. Unlike `ip netns exec` this leaves mounts as they are. */
export function inNetns(netns: string, argv: readonly string[]): readonly string[] {
  return ["nsenter", `--net=/var/run/netns/${netns}`, "--", ...argv];
}
