/** The command as a person runs it, and programs for it to ask. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ProgramStatus } from "../../../src/model/status.ts";
import { Metrics } from "../../../src/runtime/metrics.ts";
import { type Served, type ServeOptions, serve } from "../../../src/serve/serve.ts";

export const COMMAND = fileURLToPath(new URL("../../../src/bulkhead.ts", import.meta.url));

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function bulkhead(...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], { timeout: 20_000 }, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, err });
    });
  });
}

/** A program below `folder` that says `status` of itself. */
export function program(
  folder: string,
  socket: string,
  status: ProgramStatus,
  doors: Pick<ServeOptions, "answers" | "streams"> = {},
): Promise<Served> {
  return serve({
    status: () => status,
    ready: () => ({ ready: true, detail: "" }),
    metrics: new Metrics(),
    adminSocket: join(folder, socket),
    ...doors,
  });
}
