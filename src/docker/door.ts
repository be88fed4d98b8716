/**
 * The Docker door: the two calls by which containers are exported (what drills do is `control.ts`). Bodies: `engine.ts` (a real one), `memory.ts` (a model), `faulty.ts`
 * (either, with faults). Answers are bytes: `wire` judges them.
 */

export interface DockerEngine {
  /**
   * JSON of every container that carries `label` (`name=value`), stopped ones too. Rejects with a DockerError, also when `signal` aborts
   * before the answer was whole.
   */
  list(label: string, signal: AbortSignal): Promise<Uint8Array>;
  /**
   * Calls `onEvent` once events are heard, then for each that may change what `list` says. Resolves when `signal` aborts; rejects with a
   * DockerError when the engine cannot be heard, or not any longer.
   */
  watch(onEvent: () => void, signal: AbortSignal): Promise<void>;
}

export type ConnectDocker = (socket: string) => DockerEngine;

/** Longest answer that is read, in bytes: some 10,000 containers. */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** `unreachable`: nobody answers. `refused`: an answer that says no. `cut-off`: less than a whole answer. */
export type DockerErrorCode = "unreachable" | "refused" | "cut-off" | "too-large";

export class DockerError extends Error {
  override readonly name = "DockerError";
  readonly code: DockerErrorCode;
  readonly retryable = true;

  constructor(code: DockerErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
