/** A Docker engine with faults, over any other. */
import { type DockerEngine, DockerError, type DockerErrorCode } from "./door.ts";

export interface DockerFaults {
  /** How the next call of this kind fails, or undefined: it goes through. */
  readonly fault?: (call: "list" | "watch") => DockerErrorCode | "silent" | undefined;
  /** What becomes of an answer. */
  readonly answer?: (bytes: Uint8Array) => Uint8Array;
}

/** A `silent` call is answered by nothing until its signal aborts. */
export function faultyDocker(engine: DockerEngine, { fault, answer }: DockerFaults): DockerEngine {
  const check = async (call: "list" | "watch", signal: AbortSignal): Promise<void> => {
    const code = fault?.(call);
    if (code === undefined) return;
    if (code === "silent") await aborted(signal);
    throw new DockerError(code === "silent" ? "unreachable" : code, `${code} (injected)`);
  };
  return {
    async list(label, signal) {
      await check("list", signal);
      const bytes = await engine.list(label, signal);
      return answer?.(bytes) ?? bytes;
    },
    async watch(onEvent, signal) {
      await check("watch", signal);
      await engine.watch(onEvent, signal);
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
