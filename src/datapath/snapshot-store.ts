/**
 * Snapshots of the maps on disk: two files by turns, so that the newest good one is never written over. What is damaged, or of other layouts or
 * another node, is refused as a whole, and the one before it counts.
 */
import type { Disk } from "../disk/door.ts";
import { DiskError } from "../disk/door.ts";
import { LAYOUT_VERSION } from "../maps/layout.ts";
import { decodeSnapshot, encodeSnapshot, type Snapshot, type SnapshotSection } from "../maps/snapshot.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import { type EntryLayout, sizesFault } from "./restore.ts";

export interface SnapshotStoreOptions {
  readonly disk: Disk;
  /** Must exist. */
  readonly directory: string;
  readonly cluster: string;
  readonly node: string;
  readonly clock: Clock;
}

const FILES = [0, 1] as const;
/** Some ten million addresses. */
const MAX_SNAPSHOT_BYTES = 1024 * 1024 * 1024;

export class SnapshotStore {
  readonly #options: SnapshotStoreOptions;
  readonly #owner: string;
  #generation = 0;
  /** Where the newest good one is. */
  #newest: (typeof FILES)[number] = 1;
  #savedAtMs: number | undefined;
  #writing: Promise<void> | undefined;
  #failure: string | undefined;
  #refusals: readonly string[] = [];

  constructor(options: SnapshotStoreOptions) {
    this.#options = options;
    this.#owner = `${options.cluster}/${options.node}`;
  }

  /** The newest that is whole and ours; undefined: there is none. Never rejects. */
  async load(layouts: readonly EntryLayout[]): Promise<Snapshot | undefined> {
    const refusals: string[] = [];
    let best: Snapshot | undefined;
    for (const file of FILES) {
      const found = await this.#read(file, layouts);
      if (typeof found === "string") refusals.push(`${this.#path(file)} is not used: ${found}`);
      else if (found !== undefined && found.generation > (best?.generation ?? 0)) {
        best = found;
        this.#newest = file;
      }
    }
    this.#refusals = refusals;
    this.#generation = best?.generation ?? 0;
    return best;
  }

  /** Resolves when the entries may change again; the file is written after that. False: the one before is still being written. */
  async save(sections: Iterable<SnapshotSection>): Promise<boolean> {
    if (this.#writing !== undefined) return false;
    const { clock } = this.#options;
    const slices = new Slices(clock);
    const takenAtMs = clock.wallMs();
    const generation = this.#generation + 1;
    const head = { layoutVersion: LAYOUT_VERSION, owner: this.#owner, generation, takenAtMs };
    const pieces: Uint8Array[] = [];
    for (const piece of encodeSnapshot(head, sections)) {
      pieces.push(piece);
      await slices.rest();
    }
    this.#writing = this.#write(pieces, generation);
    return true;
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Milliseconds since the last one was taken by this process. */
  get ageMs(): number | undefined {
    return this.#savedAtMs === undefined ? undefined : this.#options.clock.nowMs() - this.#savedAtMs;
  }

  /** The last one could not be written. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Files that were there at start and did not count, a line each. */
  get refusals(): readonly string[] {
    return this.#refusals;
  }

  problems(): readonly string[] {
    return this.#failure === undefined ? [] : [this.#failure];
  }

  async #write(pieces: readonly Uint8Array[], generation: number): Promise<void> {
    const { disk, clock } = this.#options;
    const file = this.#newest === 0 ? 1 : 0;
    const takenAtMs = clock.nowMs();
    try {
      await disk.writeAtomic(this.#path(file), pieces);
      this.#generation = generation;
      this.#newest = file;
      this.#savedAtMs = takenAtMs;
      this.#failure = undefined;
    } catch (error) {
      const mend = "--snapshot-dir must be a folder with room that the agent may write to";
      this.#failure = `snapshot not written: ${messageOf(error)}; ${mend}`;
    } finally {
      this.#writing = undefined;
    }
  }

  /** Why it does not count; undefined: there is no such file. */
  async #read(file: (typeof FILES)[number], layouts: readonly EntryLayout[]): Promise<Snapshot | string | undefined> {
    let bytes: Uint8Array;
    try {
      bytes = await this.#options.disk.readBytes(this.#path(file), MAX_SNAPSHOT_BYTES);
    } catch (error) {
      return error instanceof DiskError && error.code === "absent" ? undefined : messageOf(error);
    }
    const decoded = decodeSnapshot(bytes);
    if (!decoded.ok) return decoded.detail;
    const { layoutVersion, owner } = decoded.value;
    if (layoutVersion !== LAYOUT_VERSION)
      return `its maps have layout ${layoutVersion}, this agent's ${LAYOUT_VERSION}`;
    if (owner !== this.#owner) return `it is of ${owner}, not of ${this.#owner}`;
    return sizesFault(decoded.value, layouts) ?? decoded.value;
  }

  #path(file: (typeof FILES)[number]): string {
    const { directory, cluster, node } = this.#options;
    return `${directory}/${cluster}-${node}.${file}.snapshot`;
  }
}
