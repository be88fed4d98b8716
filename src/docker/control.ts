/** What drills do to containers. It is a door of its own: who exports containers only reads. Body: `engine-control.ts`; the model has it too. */
import type { DockerEngine } from "./door.ts";

export type ContainerAction = "kill" | "stop" | "start" | "pause" | "unpause";

/** Everything rejects with a DockerError: of a command whose exit code is not 0 it has the last complaint. */
export interface DockerControl extends Pick<DockerEngine, "list"> {
  /** `start` of one that runs does nothing; what is not possible is refused. `kill` is by SIGKILL, `stop` by SIGTERM first; the engine leaves it dead. */
  act(id: string, action: ContainerAction, signal: AbortSignal): Promise<void>;
  /**
   * Lines that a command writes, inside the container, as its user, until it ends. Its standard input ends when the signal aborts or nobody reads
   * any more; then this ends too.
   */
  inside(id: string, argv: readonly string[], signal: AbortSignal): AsyncIterable<string>;
  /** A command in the network of the container, that may change it and do nothing else: in a container of the same image, gone afterwards. */
  beside(id: string, argv: readonly string[], signal: AbortSignal): Promise<void>;
  /** As `beside`, and it goes on, in a container that carries the label `NAME=VALUE`, until that is killed: then it is gone. */
  leaveBeside(id: string, argv: readonly string[], label: string, signal: AbortSignal): Promise<void>;
}

export type ConnectControl = (socket: string) => DockerControl;
