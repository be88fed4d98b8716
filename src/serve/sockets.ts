/** Finding the programs of this machine: every admin socket below the run folder. */
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ProgramStatus } from "../model/status.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { askSocket, type Query } from "./ask.ts";

export const ANSWER_TIMEOUT_MS = 3_000;

export interface Silent {
  readonly socket: string;
  readonly error: string;
}

export interface Answered<T> {
  readonly socket: string;
  readonly answer: T;
}

export interface Answers {
  readonly statuses: readonly ProgramStatus[];
  /** Sockets that did not answer: a program that was killed, or hangs. */
  readonly silent: readonly Silent[];
}

/** Of a socket that nobody listens on. */
const LEFT_BEHIND = "it was left behind by a program that was killed; remove it if that is not to come back";

const isRefused = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ECONNREFUSED";

/** Every admin socket below `runDir`, in order of path. A UserError when the folder cannot be read or holds none. */
export async function findSockets(runDir: string): Promise<readonly string[]> {
  const sockets = await listSockets(runDir);
  if (sockets.length > 0) return sockets.sort();
  throw new UserError(`--run-dir ${runDir}: no admin socket below it; \`npm run mesh -- up\` starts a lab`);
}

async function listSockets(runDir: string): Promise<string[]> {
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

/** Whose program answers there. */
export const clusterOf = (socket: string): string => basename(dirname(socket));

/** The agents' among `sockets`. */
export function agentsOf(sockets: readonly string[]): readonly string[] {
  return sockets.filter((socket) => basename(socket).startsWith("agent-"));
}

/** Asks all at once; answers and silences in order of `sockets`. */
export async function askEach<T>(
  sockets: readonly string[],
  path: string,
  query: Query = {},
): Promise<{ readonly answered: readonly Answered<T>[]; readonly silent: readonly Silent[] }> {
  const asked = sockets.map(async (socket): Promise<Answered<T> | Silent> => {
    try {
      return { socket, answer: (await askSocket(socket, path, ANSWER_TIMEOUT_MS, query)) as T };
    } catch (error) {
      return { socket, error: isRefused(error) ? LEFT_BEHIND : messageOf(error) };
    }
  });
  const all = await Promise.all(asked);
  return {
    answered: all.filter((one): one is Answered<T> => "answer" in one),
    silent: all.filter((one): one is Silent => "error" in one),
  };
}

/** Asks every program below `runDir` for its status. */
export async function askAll(runDir: string): Promise<Answers> {
  const { answered, silent } = await askEach<ProgramStatus>(await findSockets(runDir), "/v1/status");
  return { statuses: answered.map(({ answer }) => answer), silent };
}
