/**
 * The kernel door: BPF objects, maps and links in plain values. Bodies: `libbpf.ts` (the kernel), `memory.ts` (maps in a Map),
 * `faulty.ts` (either, failing before or after a chosen call).
 */
import type { EndpointDevice } from "../model/endpoint.ts";
import type { EnumLayout, FamilyLayout, MapLayout, StructLayout } from "../model/layout.ts";

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

/** A map of a family, with the slot it is to stand in. */
export interface FamilyMember {
  readonly slot: number;
  readonly entries: MapEntries;
}

/** An array of maps. A slot that is empty is a policy of the programs' own: they drop. */
export interface KernelMapFamily {
  readonly name: string;
  /** Slots 0 to `maxMaps - 1`. */
  readonly maxMaps: number;
  /** Slots that hold a map, and the maps. A map stays valid until its slot is put anew or removed. */
  read(): Promise<ReadonlyMap<number, KernelMap>>;
  /**
   * Creates a map for each slot, fills it, and only then puts it in its place: no program ever sees half of one. Slots wait for the kernel together
   * (some 10 ms, whatever their number). On a failure no slot was changed, or `done` says how many were.
   */
  put(members: readonly FamilyMember[]): Promise<readonly KernelMap[]>;
  /** Empties slots, waiting as above; one that is empty is not an error. */
  remove(slots: readonly number[]): Promise<void>;
}

/** A ring buffer that programs write and one reader empties. */
export interface EventRing {
  readonly name: string;
  /** A record that finds no room is lost; programs count it. */
  readonly capacityBytes: number;
  /** Hands every record that is there, up to `limit`, to `take`; returns how many. The bytes are valid during the call only. */
  drain(limit: number, take: (bytes: Uint8Array) => void): number;
}

/** Which mechanism attaches programs to devices: tcx links where the kernel has them, else clsact filters. */
export type DeviceHook = "tcx" | "clsact";

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
  /** Names of maps that only programs write: of another version's, or of maps that lost their pins, the running ones go on if their layout is the same, with their capacity. */
  readonly kept?: readonly string[];
  /** Names of maps that this process has loaded with another object. */
  readonly shared?: readonly string[];
  /** Capacity by map name, for maps created anew. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  readonly families?: readonly FamilyLayout[];
  /** Structs, not of maps, that the object must hold. */
  readonly structs?: readonly StructLayout[];
  /** Rings by name. */
  readonly rings?: readonly string[];
  readonly devicePrograms?: { readonly from: string; readonly to: string };
  /** Absent: tcx where the kernel has it. */
  readonly deviceHook?: DeviceHook;
}

/** How an attachment came to be. `unchanged`: the pinned link already ran this very program (same tag). */
export type AttachOutcome = "created" | "replaced" | "unchanged";

export interface LoadedObject {
  readonly maps: ReadonlyMap<string, KernelMap>;
  /** Names of maps that were taken over from their pins. */
  readonly adopted: readonly string[];
  /** Whether some link of a cgroup program is pinned: an agent before this one had its maps in use. */
  isAttached(): boolean;
  /**
   * Attaches every cgroup program of the object (not those for devices) to `cgroupDirectory` by links pinned beside the maps; existing links are
   * updated in place, without a gap.
   */
  attachCgroup(cgroupDirectory: string): Promise<Readonly<Record<string, AttachOutcome>>>;
  readonly families: ReadonlyMap<string, KernelMapFamily>;
  readonly rings: ReadonlyMap<string, EventRing>;
  /**
   * Attaches `devicePrograms` to a device of the caller's network namespace, `from` and `to`, so that they stay when this process ends; programs
   * that are there are swapped in place. A new tcx link takes some 10 ms, a swap microseconds. Rejects with a KernelError, `errno` 19 (ENODEV)
   * when the device is gone.
   */
  attachDevice(device: Pick<EndpointDevice, "ifindex" | "name">): Promise<Readonly<Record<string, AttachOutcome>>>;
  /** Forgets attachments (pins) of devices that are not in `ifindexes` and takes the programs off those that still exist. Returns how many. */
  detachOthers(ifindexes: ReadonlySet<number>): Promise<number>;
  /** Closes file descriptors; pins stay. */
  close(): void;
}

export interface Kernel {
  load(request: LoadRequest): Promise<LoadedObject>;
}

/** The network of this process's namespace, read through netlink. */
export interface Network {
  /** Veths whose other end is in another namespace, and this namespace's own addresses (canonical, link-local ones left out). */
  read(): NetworkState;
  /** Whether links or addresses, here or at the far ends, changed since the last call; never waits. Also true when messages were lost. */
  changed(): boolean;
  close(): void;
}

export interface NetworkState {
  readonly devices: readonly EndpointDevice[];
  readonly ownAddresses: readonly string[];
}

export interface ConnectedSocket {
  /** The kernel's own name for it, never given again. */
  readonly cookie: bigint;
  /** Of the other end, 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** Sockets of this node and of its workloads. */
export interface NodeSockets {
  /** Network namespaces to look in: this process's, and those at the other end of its veths. `unreached`: how many of these were not found. */
  namespaces(): { readonly paths: readonly string[]; readonly unreached: number };
  /**
   * Closes connected UDP sockets of one namespace: those that `chosen` takes, `limit` at most. Returns them. Their owners' next call ends with
   * ECONNABORTED. A namespace that is gone has none. Throws a KernelError.
   */
  closeUdp(namespace: string, limit: number, chosen: (socket: ConnectedSocket) => boolean): readonly ConnectedSocket[];
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
