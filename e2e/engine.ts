/** The Docker engine that `deploy/images/engine` started, seen from outside: what goes on while it stands still. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { command } from "../deploy/lab/command.ts";
import type { ProgramStatus } from "../src/model/status.ts";
import { docker, PROJECT, readStatuses } from "./compose.ts";
import { BULKHEAD } from "./mesh.ts";

/** Its process; undefined where the engine that answers is another one, which is none of ours to stop. */
export function ownEngine(): number | undefined {
  const socket = process.env["DOCKER_HOST"]?.replace(/^unix:\/\//, "") ?? "";
  const file = join(dirname(socket), "dockerd.pid");
  if (socket === "" || !existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, "utf8"));
  const isOurs = existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(file);
  return isOurs ? pid : undefined;
}

/** What programs say of themselves, asked past the engine: their sockets lie in a volume. */
export async function engineless(): Promise<() => Promise<readonly ProgramStatus[]>> {
  const folder = (await docker("volume", "inspect", "--format", "{{.Mountpoint}}", `${PROJECT}_run`)).trim();
  const argv = [process.execPath, BULKHEAD, "status", "--json", "--run-dir", folder];
  return async () => readStatuses(await command(argv, { codes: [0, 3] }));
}

/** Runs the body while the engine stands still. */
export async function whileFrozen(pid: number, body: () => Promise<void>): Promise<void> {
  process.kill(pid, "SIGSTOP");
  try {
    await body();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}
