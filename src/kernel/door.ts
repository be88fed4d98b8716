/**
 * The kernel door: BPF objects, maps and links in plain values. Bodies: `libbpf.ts` (the kernel), `memory.ts` (maps in a Map),
 * `faulty.ts` (either, failing before or after a chosen call).
 */
import type { EnumLayout, MapLayout } from "../model/layout.ts";

/** Entries side by side: `count` keys of `keySize` bytes in `keys`, and their values in `values`. */
export interface MapEntries {
  readonly count: number;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
}

export interface KernelMap {
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** Every entry, read in slices that leave the loop free between them. */
  dump(): Promise<MapEntries>;
  /** Inserts or overwrites, in order, in slices. Rejects with a KernelError whose `done` says how many are in. */
  update(entries: MapEntries): Promise<void>;
  /** Removes, in order; a key that is not there is not an error. */
  remove(keys: Uint8Array, count: number): Promise<void>;
  lookup(key: Uint8Array): Uint8Array | undefined;
}

export interface LoadRequest {
  /** The ELF file. */
  readonly objectPath: string;
  /** Directory on a bpffs; maps are pinned as `<name>_v<layoutVersion>`. Adopted when already there. */
  readonly pinDirectory: string;
  readonly layoutVersion: number;
  /** What the object must contain; compared with its BTF before it is loaded. */
  readonly layouts: readonly MapLayout[];
  /** Enums that the object must hold with exactly these values. */
  readonly enums?: readonly EnumLayout[];
  /** Capacity by map name, for maps created anew. */
  readonly maxEntries?: Readonly<Record<string, number>>;
}

/** How an attachment came to be. `unchanged`: the pinned link already ran this very program (same tag). */
export type AttachOutcome = "created" | "replaced" | "unchanged";

export interface LoadedObject {
  readonly maps: ReadonlyMap<string, KernelMap>;
  /** Names of maps that were taken over from their pins. */
  readonly adopted: readonly string[];
  /** Attaches every cgroup program of the object to `cgroupDirectory` by links pinned beside the maps; existing links are updated in place, without a gap. */
  attachCgroup(cgroupDirectory: string): Promise<Readonly<Record<string, AttachOutcome>>>;
  /** Closes file descriptors; pins stay. */
  close(): void;
}

export interface Kernel {
  load(request: LoadRequest): Promise<LoadedObject>;
}

export class KernelError extends Error {
  override readonly name = "KernelError";
  /** Negative errno as libbpf returns it, made positive: 28 = ENOSPC, 7 = E2BIG. */
  readonly errno: number;
  /** Entries done before the failure. */
  readonly done: number;
  readonly retryable: boolean;

  /** No room for the entry after the `done` ones, which are in: E2BIG of a hash map, ENOSPC of some. */
  get full(): boolean {
    return this.errno === 7 || this.errno === 28;
  }

  constructor(message: string, errno: number, done = 0, retryable = false) {
    super(message);
    this.errno = errno;
    this.done = done;
    this.retryable = retryable;
  }
}
