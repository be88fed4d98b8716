/** Finding the programs of this machine: every admin socket below the run folder. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ProgramStatus } from "../../model/status.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { askSocket } from "../../serve/ask.ts";

const ANSWER_TIMEOUT_MS = 3_000;

export interface Silent {
  readonly socket: string;
  readonly error: string;
}

export interface Answers {
  readonly statuses: readonly ProgramStatus[];
  /** Sockets that did not answer: a program that was killed, or hangs. */
  readonly silent: readonly Silent[];
}

async function findSockets(runDir: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(runDir, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isSocket() && entry.name.endsWith(".sock"))
      .map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    throw new UserError(
      `--run-dir ${runDir}: ${messageOf(error)}; is a Bulkhead program running here? \`npm run mesh -- up\` starts a lab`,
    );
  }
}

/** Asks every program below `runDir` for its status. */
export async function askAll(runDir: string): Promise<Answers> {
  const statuses: ProgramStatus[] = [];
  const silent: Silent[] = [];
  const sockets = await findSockets(runDir);
  await Promise.all(
    sockets.map(async (socket) => {
      try {
        statuses.push((await askSocket(socket, "/v1/status", ANSWER_TIMEOUT_MS)) as ProgramStatus);
      } catch (error) {
        silent.push({ socket, error: messageOf(error) });
      }
    }),
  );
  if (sockets.length === 0)
    throw new UserError(`--run-dir ${runDir}: no admin socket below it; \`npm run mesh -- up\` starts a lab`);
  return { statuses, silent: silent.sort((left, right) => (left.socket < right.socket ? -1 : 1)) };
}
