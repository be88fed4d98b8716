/** An API server with faults, over any other. */
import { type KubeApi, type KubeCall, KubeError, type KubeErrorCode } from "./door.ts";

export type KubeCallKind = "list" | "watch" | "create";

export interface KubeFaults {
  /** How the next call of this kind fails, or undefined: it goes through. */
  readonly fault?: (call: KubeCallKind, path: string) => KubeErrorCode | "silent" | undefined;
  /** What becomes of a page, or of a line of a watch. */
  readonly answer?: (bytes: Uint8Array, call: KubeCallKind, path: string) => Uint8Array;
}

/** A `silent` call is answered by nothing until its signal aborts. */
export function faultyKube(api: KubeApi, { fault, answer }: KubeFaults): KubeApi {
  const check = async (kind: KubeCallKind, path: string, call: KubeCall): Promise<void> => {
    const code = fault?.(kind, path);
    if (code === undefined) return;
    if (code === "silent") await aborted(call.signal);
    throw new KubeError(code === "silent" ? "unreachable" : code, `${code} (injected)`);
  };
  return {
    async list(path, query, call) {
      await check("list", path, call);
      const bytes = await api.list(path, query, call);
      return answer?.(bytes, "list", path) ?? bytes;
    },
    async watch(path, query, onLine, call) {
      await check("watch", path, call);
      await api.watch(path, query, (line) => onLine(answer?.(line, "watch", path) ?? line), call);
    },
    async create(path, body, call) {
      await check("create", path, call);
      await api.create(path, body, call);
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
