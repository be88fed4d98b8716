/** Maps in memory. The kernel object is what survives when an agent "crashes": keep it, and load again. */
import assert from "node:assert/strict";
import type { MapLayout } from "../model/layout.ts";
import { concatBytes } from "./bytes.ts";
import type { AttachOutcome, Kernel, KernelMap, LoadedObject, LoadRequest, MapEntries } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";

const DEFAULT_MAX_ENTRIES = 65_536;

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

export class MemoryKernel implements Kernel {
  readonly #pins = new Map<string, MemoryMap>();
  /** Pin of a link to the object and cgroup it serves. */
  readonly #links = new Map<string, string>();
  readonly #programs: readonly string[];

  /** @param programs names that attachCgroup answers for every object. */
  constructor(programs: readonly string[] = []) {
    this.#programs = programs;
  }

  async load(request: LoadRequest): Promise<LoadedObject> {
    const adopted: string[] = [];
    const maps = new Map<string, MemoryMap>();
    for (const layout of request.layouts) {
      const pin = `${request.pinDirectory}/${layout.name}_v${request.layoutVersion}`;
      const pinned = this.#pins.get(pin);
      const map = pinned ?? new MemoryMap(layout, request.maxEntries?.[layout.name] ?? DEFAULT_MAX_ENTRIES);
      if (pinned !== undefined) adopted.push(layout.name);
      this.#pins.set(pin, map);
      maps.set(layout.name, map);
    }
    return { maps, adopted, attachCgroup: async (cgroup) => this.#attach(request, cgroup), close: () => {} };
  }

  #attach(request: LoadRequest, cgroup: string): Record<string, AttachOutcome> {
    const served = `${request.objectPath} ${cgroup}`;
    const outcomes: Record<string, AttachOutcome> = {};
    for (const program of this.#programs) {
      const pin = `${request.pinDirectory}/link_${program}`;
      const before = this.#links.get(pin);
      outcomes[program] = before === undefined ? "created" : before === served ? "unchanged" : "replaced";
      this.#links.set(pin, served);
    }
    return outcomes;
  }
}
