/** The newest reading of the source, handed from its one writer to whoever waits for a newer one. */
import type { World } from "./world.ts";

export interface Snapshot {
  readonly world: World;
  /** There are manifests, and every file was read: this is what the directory says, but for documents that are refused. */
  readonly read: boolean;
  /** Also, every document was understood at least once, so that what is missing here is truly not wanted. */
  readonly complete: boolean;
  /** One line each: what, where, how to mend it. */
  readonly problems: readonly string[];
}

export class Snapshots {
  #newest: Snapshot | undefined;
  #waiting: (() => void)[] = [];

  get newest(): Snapshot | undefined {
    return this.#newest;
  }

  publish(snapshot: Snapshot): void {
    this.#newest = snapshot;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when there is another snapshot than `seen`, or when `signal` aborts. */
  async after(seen: Snapshot | undefined, signal: AbortSignal): Promise<void> {
    while (this.#newest === seen && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          signal.removeEventListener("abort", done);
          resolve();
        };
        this.#waiting.push(done);
        signal.addEventListener("abort", done, { once: true });
      });
    }
  }
}
