/** Maps in memory. The kernel object is what survives when an agent "crashes": keep it, and load again. */
import assert from "node:assert/strict";
import type { EndpointDevice } from "../model/endpoint.ts";
import type { FamilyLayout, MapLayout } from "../model/layout.ts";
import { concatBytes } from "./bytes.ts";
import type {
  AttachOutcome,
  EventRing,
  FamilyMember,
  Kernel,
  KernelMap,
  KernelMapFamily,
  LoadedObject,
  LoadRequest,
  MapEntries,
} from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";

const DEFAULT_MAX_ENTRIES = 65_536;
const DEFAULT_MAX_MAPS = 4096;
const DEFAULT_RING_BYTES = 1 << 22;

type Device = Pick<EndpointDevice, "ifindex" | "name">;

export class MemoryMap implements KernelMap {
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly #entries = new Map<string, Uint8Array>();

  constructor(layout: MapLayout, maxEntries: number) {
    this.name = layout.name;
    this.keySize = layout.key.sizeBytes;
    this.valueSize = layout.value.sizeBytes;
    this.maxEntries = maxEntries;
  }

  async dump(): Promise<MapEntries> {
    const keys = concatBytes([...this.#entries.keys()].map((key) => Buffer.from(key, "latin1")));
    return { count: this.#entries.size, keys, values: concatBytes([...this.#entries.values()]) };
  }

  async update({ keys, values, count }: MapEntries): Promise<void> {
    assert.equal(keys.length, count * this.keySize, `${this.name}: ${count} keys`);
    assert.equal(values.length, count * this.valueSize, `${this.name}: ${count} values`);
    for (let index = 0; index < count; index++) {
      const key = this.#keyAt(keys, index);
      if (!this.#entries.has(key) && this.#entries.size >= this.maxEntries) {
        throw kernelError(`writing entry ${index + 1} of ${count} to ${this.name}`, ERRNO.E2BIG, index);
      }
      const value = values.subarray(index * this.valueSize, (index + 1) * this.valueSize);
      this.#entries.set(key, new Uint8Array(value));
    }
  }

  async remove(keys: Uint8Array, count: number): Promise<void> {
    assert.equal(keys.length, count * this.keySize, `${this.name}: ${count} keys`);
    for (let index = 0; index < count; index++) this.#entries.delete(this.#keyAt(keys, index));
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    assert.equal(key.length, this.keySize, `${this.name}: one key`);
    return this.#entries.get(this.#keyAt(key, 0))?.slice();
  }

  #keyAt(keys: Uint8Array, index: number): string {
    return Buffer.from(keys.subarray(index * this.keySize, (index + 1) * this.keySize)).toString("latin1");
  }
}

export class MemoryFamily implements KernelMapFamily {
  readonly name: string;
  readonly maxMaps: number;
  readonly #layout: FamilyLayout;
  readonly #maps = new Map<number, MemoryMap>();

  constructor(layout: FamilyLayout, maxMaps: number) {
    this.name = layout.name;
    this.maxMaps = maxMaps;
    this.#layout = layout;
  }

  async read(): Promise<ReadonlyMap<number, MemoryMap>> {
    return new Map([...this.#maps].sort(([left], [right]) => left - right));
  }

  async put(members: readonly FamilyMember[]): Promise<readonly MemoryMap[]> {
    for (const { slot } of members) this.#assertSlot(slot);
    const maps = await Promise.all(members.map((member) => this.#fill(member)));
    for (const [index, { slot }] of members.entries()) this.#maps.set(slot, maps[index] ?? assert.fail());
    return maps;
  }

  async #fill({ slot, entries }: FamilyMember): Promise<MemoryMap> {
    const map = new MemoryMap({ ...this.#layout, name: `${this.name}[${slot}]` }, this.#layout.maxEntries);
    if (entries.count > map.maxEntries) throw kernelError(`filling ${map.name}`, ERRNO.ENOSPC);
    await map.update(entries);
    return map;
  }

  async remove(slots: readonly number[]): Promise<void> {
    for (const slot of slots) this.#assertSlot(slot);
    for (const slot of slots) this.#maps.delete(slot);
  }

  #assertSlot(slot: number): void {
    assert(Number.isInteger(slot) && slot >= 0 && slot < this.maxMaps, `${this.name} has no slot ${slot}`);
  }
}

/** A test writes with `push`. */
export class MemoryRing implements EventRing {
  readonly name: string;
  readonly capacityBytes: number;
  readonly #records: Uint8Array[] = [];

  constructor(name: string, capacityBytes: number) {
    this.name = name;
    this.capacityBytes = capacityBytes;
  }

  push(record: Uint8Array): void {
    this.#records.push(new Uint8Array(record));
  }

  drain(limit: number, take: (bytes: Uint8Array) => void): number {
    const records = this.#records.splice(0, limit);
    for (const record of records) take(record);
    return records.length;
  }
}

export class MemoryKernel implements Kernel {
  /** Indexes of devices that the kernel no longer has. */
  readonly goneDevices = new Set<number>();
  readonly #maps = new Map<string, MemoryMap>();
  readonly #families = new Map<string, MemoryFamily>();
  readonly #rings = new Map<string, MemoryRing>();
  /** Pin of a link to the object and the cgroup or device it serves. */
  readonly #links = new Map<string, string>();
  readonly #programs: readonly string[];

  /** @param programs names that attachCgroup answers for every object. */
  constructor(programs: readonly string[] = []) {
    this.#programs = programs;
  }

  async load(request: LoadRequest): Promise<LoadedObject> {
    const adopted: string[] = [];
    const pinned = <T>(pins: Map<string, T>, names: readonly string[], make: (name: string) => T): Map<string, T> =>
      new Map(
        names.map((name) => {
          const pin = `${request.pinDirectory}/${name}_v${request.layoutVersion}`;
          const held = pins.get(pin);
          if (held !== undefined) adopted.push(name);
          const part = held ?? make(name);
          pins.set(pin, part);
          return [name, part];
        }),
      );
    const { layouts, families = [], rings = [], maxEntries = {} } = request;
    const layoutOf = <L extends { readonly name: string }>(all: readonly L[], name: string): L =>
      all.find((layout) => layout.name === name) ?? assert.fail(name);
    return {
      maps: pinned(this.#maps, namesOf(layouts), (name) => {
        return new MemoryMap(layoutOf(layouts, name), maxEntries[name] ?? DEFAULT_MAX_ENTRIES);
      }),
      families: pinned(this.#families, namesOf(families), (name) => {
        return new MemoryFamily(layoutOf(families, name), maxEntries[name] ?? DEFAULT_MAX_MAPS);
      }),
      rings: pinned(this.#rings, rings, (name) => new MemoryRing(name, maxEntries[name] ?? DEFAULT_RING_BYTES)),
      adopted,
      isAttached: () => this.#programs.some((program) => this.#links.has(`${request.pinDirectory}/link_${program}`)),
      attachCgroup: async (cgroup) => this.#attach(request, this.#programs, cgroup),
      attachDevice: async (device) => this.#attachDevice(request, device),
      detachOthers: async (ifindexes) => this.#detachOthers(request, ifindexes),
      close: () => {},
    };
  }

  #attach(
    request: LoadRequest,
    programs: readonly string[],
    target: string,
    suffix = "",
  ): Record<string, AttachOutcome> {
    const served = `${request.objectPath} ${target}`;
    const outcomes: Record<string, AttachOutcome> = {};
    for (const program of programs) {
      const pin = `${request.pinDirectory}/link_${program}${suffix}`;
      const before = this.#links.get(pin);
      outcomes[program] = before === undefined ? "created" : before === served ? "unchanged" : "replaced";
      this.#links.set(pin, served);
    }
    return outcomes;
  }

  #attachDevice(request: LoadRequest, { ifindex, name }: Device): Record<string, AttachOutcome> {
    const what = `attaching to ${name}`;
    if (this.goneDevices.has(ifindex)) throw kernelError(what, ERRNO.ENODEV);
    return this.#attach(request, devicePrograms(request), name, `_${ifindex}`);
  }

  #detachOthers(request: LoadRequest, ifindexes: ReadonlySet<number>): number {
    const gone = this.attachedDevices(request).filter((ifindex) => !ifindexes.has(ifindex));
    for (const ifindex of gone) {
      for (const program of devicePrograms(request)) {
        this.#links.delete(`${request.pinDirectory}/link_${program}_${ifindex}`);
      }
    }
    return gone.length;
  }

  /** Indexes of the devices that programs of this request are attached to. */
  attachedDevices(request: Pick<LoadRequest, "pinDirectory" | "devicePrograms">): readonly number[] {
    const found = new Set<number>();
    for (const program of devicePrograms(request)) {
      const prefix = `${request.pinDirectory}/link_${program}_`;
      for (const pin of this.#links.keys()) if (pin.startsWith(prefix)) found.add(Number(pin.slice(prefix.length)));
    }
    return [...found];
  }
}

function namesOf(layouts: readonly { readonly name: string }[]): readonly string[] {
  return layouts.map(({ name }) => name);
}

function devicePrograms({ devicePrograms: programs }: Pick<LoadRequest, "devicePrograms">): readonly string[] {
  return programs === undefined ? [] : [programs.from, programs.to];
}
