/**
 * The arrow from compiled entries to eBPF maps. It takes over what is pinned, then makes the kernel agree after each change: one reconcile at a
 * time, changes that come meanwhile are taken together. A failure keeps what is there, is reported, and is tried again.
 */
import { type AttachOutcome, KernelError, type KernelMap, type KernelMapFamily } from "../kernel/door.ts";
import { BACKEND_MAP } from "../maps/backend-map.ts";
import { SERVICE_MAP } from "../maps/service-map.ts";
import type { MapStatus } from "../model/status.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, every, Slices, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { type DesiredMap, entryKey } from "../tables/desired-map.ts";
import { MirroredFamily } from "./mirrored-family.ts";
import { type Dump, MirroredMap, type ValueWatcher } from "./mirrored-map.ts";
import { allMirrors, type Mirrors } from "./mirrors.ts";
import { reconcile } from "./reconcile.ts";
import { isWithin, sectionsOf } from "./restore.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import { UsageReader } from "./usage.ts";

/** What the kernel holds at start, by name; a family's maps by slot. */
export interface Held {
  readonly maps: ReadonlyMap<string, Dump>;
  readonly families: ReadonlyMap<string, ReadonlyMap<number, Dump>>;
}

/** The compilers, as the datapath sees them. */
export interface Compilers {
  /** By map name: what each map should hold. */
  readonly desired: ReadonlyMap<string, DesiredMap>;
  /** By family name: the slots that should be there, and what each should hold. */
  readonly desiredFamilies: ReadonlyMap<string, ReadonlyMap<number, DesiredMap>>;
  /** Takes over what the kernel holds; before the first `compile`. */
  adopt(held: Held): void;
  /** `isFree` says of a slot that it is neither desired nor in the kernel: it may be used again. */
  released(family: string, isFree: (slot: number) => boolean): void;
  /** Whether the own cluster's services are all in the tables: only then may empty maps be put in the place of others. */
  readonly complete: boolean;
  /** Brings `desired` up to date with the tables, in small steps. */
  compile(): Iterable<void>;
}

export interface DatapathOptions {
  readonly maps: ReadonlyMap<string, KernelMap>;
  readonly families: ReadonlyMap<string, KernelMapFamily>;
  readonly compilers: Compilers;
  /** Of the own cluster. */
  readonly clusterId: number;
  /** Told after each reconcile that left kernel and compilers in agreement. */
  readonly reconciled?: () => void;
  /** By map name. */
  readonly watchers?: ReadonlyMap<string, ValueWatcher>;
  /** Attaches the programs, or swaps them in place. */
  readonly attach: () => Promise<Readonly<Record<string, AttachOutcome>>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** Wait for more changes before a reconcile. */
  readonly settleMs: number;
  /** Longest time a running program may still use an entry it has read. */
  readonly readersMs: number;
  /** How often maps and links are compared with what they should be: somebody else may have removed some. */
  readonly driftIntervalMs: number;
  readonly backoff: BackoffSettings;
  /** Where what the maps hold is kept for the next boot, when kernel and compilers agree. */
  readonly snapshots: Pick<SnapshotStore, "save" | "failed">;
  /** Least time between two snapshots. */
  readonly snapshotIntervalMs: number;
}

export interface DatapathStatus {
  readonly maps: readonly MapStatus[];
  /** Entries found at start and untouched since. */
  readonly adopted: number;
  readonly written: number;
  readonly removed: number;
  readonly attached: boolean;
  /** Kernel and compilers agreed after the last change. */
  readonly agrees: boolean;
  /** They did at least once since start. */
  readonly agreed: boolean;
  readonly problems: readonly string[];
}

export class Datapath {
  readonly #options: DatapathOptions;
  readonly #mirrors: Mirrors;
  readonly #usage: UsageReader;
  readonly #backoff: Backoff;
  #wake: (() => void) | undefined;
  #changed = false;
  #attached = false;
  /** Time to look at the links again. */
  #linksDoubtful = false;
  #agrees = false;
  #agreed = false;
  /** The compilers took over a snapshot: the kernel held nothing. */
  #restored = false;
  #snapshotDue = true;
  /** How many entries had been written and removed when the last snapshot was taken. */
  #changesSaved = -1;
  #failures: readonly unknown[] = [];

  constructor(options: DatapathOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random, options.backoff);
    const { clock, compilers, maps, families } = options;
    this.#mirrors = {
      maps: joinedByName(compilers.desired, maps, (map, desired) => {
        return new MirroredMap(map, desired, clock, options.watchers?.get(map.name));
      }),
      families: joinedByName(
        compilers.desiredFamilies,
        families,
        (family, slots) => new MirroredFamily(family, slots, clock),
      ),
    };
    this.#usage = new UsageReader(maps, this.#mirrors.maps, options.clock);
  }

  /** The tables changed: reconcile soon. */
  changed(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /**
   * Takes over the pinned maps. With services in them the programs are attached at once (swapped in place when they changed), else after a
   * reconcile with complete services: maps that are still empty must not replace others that are in use, such as those of an older version.
   * @param snapshot what they held before the node booted: taken over instead, if no program was attached since, and written in the usual order,
   * unless the kernel holds services that are not in it. True: so it was.
   */
  async adopt(snapshot?: Held): Promise<boolean> {
    const held = { maps: new Map<string, Dump>(), families: new Map<string, ReadonlyMap<number, Dump>>() };
    for (const [name, map] of this.#mirrors.maps) held.maps.set(name, await map.adopt());
    for (const [name, family] of this.#mirrors.families) held.families.set(name, await family.adopt());
    const restored = snapshot !== undefined && isWithin(held, snapshot);
    this.#restored = restored;
    this.#options.compilers.adopt(restored ? snapshot : held);
    for (const mirror of allMirrors(this.#mirrors)) await mirror.compare();
    const inUse = !restored && [SERVICE_MAP, BACKEND_MAP].every(({ name }) => this.#mirrors.maps.get(name)?.adopted);
    // What is in use was there before, and what was missed is more urgent than to write it down again.
    this.#snapshotDue = !inUse;
    if (inUse) await this.#attach();
    if (inUse || restored) this.changed();
    return restored;
  }

  /** Somebody else may have changed this entry: it is looked up, and repaired soon. */
  recheck(map: string, key: Uint8Array): void {
    this.#mirrors.maps.get(map)?.recheck(entryKey(key));
    this.changed();
  }

  /** Resolves when the signal aborts; the kernel keeps everything. */
  async run(): Promise<void> {
    const { signal, clock, settleMs, driftIntervalMs, snapshotIntervalMs } = this.#options;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    every(clock, driftIntervalMs, signal, () => this.#doubt());
    every(clock, snapshotIntervalMs, signal, () => this.#snapshotIsDue());
    while (!signal.aborted) {
      await this.#woken();
      await sleep(clock, settleMs, signal);
      if (signal.aborted) return;
      await this.#round();
    }
  }

  status(): DatapathStatus {
    const mirrors = allMirrors(this.#mirrors);
    const sum = (of: (mirror: MirroredMap | MirroredFamily) => number): number =>
      mirrors.reduce((total, mirror) => total + of(mirror), 0);
    const maps = mirrors.map((mirror) => mirror.status());
    return {
      maps,
      adopted: sum((map) => map.adopted),
      written: sum((map) => map.written),
      removed: sum((map) => map.removed),
      attached: this.#attached,
      agrees: this.#agrees,
      agreed: this.#agreed,
      problems: [...this.#failures.map(problemOf), ...maps.filter(isFilling).map(fillingLine)],
    };
  }

  async #round(): Promise<void> {
    this.#changed = false;
    const failures = await this.#reconcile().catch((error: unknown) => [error]);
    this.#agrees = failures.length === 0;
    this.#agreed ||= this.#agrees;
    this.#failures = failures;
    this.#measure();
    if (this.#agrees) {
      this.#options.reconciled?.();
      await this.#save();
      return this.#backoff.reset();
    }
    this.#changed = true;
    const delayMs = this.#backoff.nextMs();
    this.#options.log.warn({ failures: failures.map(messageOf), delayMs }, "the kernel does not agree yet");
    await sleep(this.#options.clock, delayMs, this.#options.signal);
  }

  async #reconcile(): Promise<readonly unknown[]> {
    const { clock, clusterId, compilers, readersMs } = this.#options;
    for (const mirror of allMirrors(this.#mirrors)) await mirror.refresh();
    const slices = new Slices(clock);
    for (const _ of compilers.compile()) await slices.rest();
    const readers = (): Promise<void> => sleep(clock, readersMs);
    const failures = await reconcile(this.#mirrors, { clusterId, readers, usage: () => this.#usage.read() });
    for (const [name, family] of this.#mirrors.families) compilers.released(name, (slot) => family.isFree(slot));
    if (this.#attached ? this.#linksDoubtful : compilers.complete || this.#restored) await this.#attach();
    return failures;
  }

  /** Before the next compile: until then the entries stay as they are. */
  async #save(): Promise<void> {
    const changes = this.#changes();
    if (!this.#snapshotDue || !this.#attached || changes === this.#changesSaved) return;
    const { compilers, snapshots } = this.#options;
    if (!(await snapshots.save(sectionsOf(compilers)))) return;
    this.#snapshotDue = false;
    this.#changesSaved = changes;
  }

  #snapshotIsDue(): void {
    this.#snapshotDue = true;
    if (this.#options.snapshots.failed) this.#changesSaved = -1;
    if (this.#changes() !== this.#changesSaved) this.changed();
  }

  #changes(): number {
    return allMirrors(this.#mirrors).reduce((sum, { written, removed }) => sum + written + removed, 0);
  }

  async #attach(): Promise<void> {
    const outcomes = await this.#options.attach();
    const changed = Object.values(outcomes).some((outcome) => outcome !== "unchanged");
    if (changed || !this.#attached) this.#options.log.info({ outcomes }, "programs attached");
    this.#attached = true;
    this.#linksDoubtful = false;
  }

  #doubt(): void {
    for (const mirror of allMirrors(this.#mirrors)) mirror.doubt();
    this.#linksDoubtful = this.#attached;
    if (this.#attached) this.changed();
  }

  #woken(): Promise<void> {
    if (this.#changed || this.#options.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #measure(): void {
    const { metrics } = this.#options;
    const held = metrics.gauge("bulkhead_map_entries", "Entries of an eBPF map.", ["map"]);
    const limit = metrics.gauge("bulkhead_map_max_entries", "Capacity of an eBPF map.", ["map"]);
    const waits = metrics.gauge("bulkhead_map_waiting_entries", "Entries that find no room in an eBPF map.", ["map"]);
    const writes = metrics.gauge("bulkhead_map_writes", "Entries written and removed since start.", ["verb"]);
    const { maps, written, removed } = this.status();
    for (const map of maps) {
      held.set(map.entries, { map: map.name });
      limit.set(map.maxEntries, { map: map.name });
      waits.set(map.waiting ?? 0, { map: map.name });
    }
    writes.set(written, { verb: "write" });
    writes.set(removed, { verb: "remove" });
    if (!this.#agrees) metrics.counter("bulkhead_reconcile_failures_total", "Reconciles that failed.").add();
  }
}

function joinedByName<Held, Desired, Mirror>(
  desired: ReadonlyMap<string, Desired>,
  held: ReadonlyMap<string, Held>,
  mirror: (held: Held, desired: Desired) => Mirror,
): ReadonlyMap<string, Mirror> {
  const joined = [...desired].map(([name, wanted]) => {
    const found = held.get(name);
    if (found === undefined) throw new KernelError(`no object holds the map ${name}`, 2);
    return [name, mirror(found, wanted)] as const;
  });
  return new Map(joined);
}

/** Share from which on a map is told to be nearly full, before anything is left out. */
const FILLING = 0.9;

const isFilling = ({ entries, maxEntries }: MapStatus): boolean => entries >= maxEntries * FILLING;

function fillingLine({ name, entries, maxEntries, waiting = 0 }: MapStatus): string {
  const left = waiting === 0 ? "before it is full" : `${waiting} find no room`;
  return `map ${name}: ${entries} of ${maxEntries} entries are taken; make it larger as docs/MAPS.md says, ${left}`;
}

function problemOf(failure: unknown): string {
  const full = failure instanceof KernelError && failure.full;
  const mend = full
    ? "; what is in it stays, new entries wait: remove services or policies, or make it larger as docs/MAPS.md says"
    : "";
  return `eBPF maps: ${messageOf(failure)}${mend}`;
}

/** Reads the programs' counters every `intervalMs`; a failed read is tried again at the next. */
export function pollCounters(
  counters: { poll(): Promise<void> },
  options: Pick<DatapathOptions, "clock" | "signal" | "log"> & { readonly intervalMs: number },
): void {
  every(options.clock, options.intervalMs, options.signal, () => {
    counters.poll().catch((error: unknown) => options.log.debug({ error: messageOf(error) }, "counters not read"));
  });
}
