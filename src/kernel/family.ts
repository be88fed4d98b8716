/** An array of maps. Whatever changes a slot waits until no program uses what was there, some 10 ms: on another thread, many slots at a time. */
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import type { FamilyLayout } from "../model/layout.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import { type FamilyMember, KernelError, type KernelMapFamily } from "./door.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { mapInfo } from "./info.ts";
import { checked, libbpf } from "./library.ts";
import { doneOf, LibbpfMap } from "./map.ts";
import { MAP_TYPE } from "./object.ts";

const CREATE_OPTIONS_BYTES = 48;
const NO_PREALLOC = 1;
/** Each holds a thread of the pool that name look-ups and files share. */
const REMOVALS_AT_ONCE = 2;
/** What the kernel takes of a map's name. */
const NAME_BYTES = 15;

interface Held {
  readonly id: number;
  readonly fd: number;
  readonly map: LibbpfMap;
}

export class LibbpfFamily implements KernelMapFamily {
  readonly name: string;
  readonly maxMaps: number;
  readonly #layout: FamilyLayout;
  readonly #clock: Clock;
  /** Our own: a call on another thread must not outlive it. */
  readonly #fd: number;
  readonly #held = new Map<number, Held>();
  #calls = 0;
  #retired = false;

  /** @param fd of the outer map; not kept. */
  constructor(layout: FamilyLayout, fd: number, clock: Clock) {
    const info = mapInfo(fd);
    this.name = layout.name;
    this.maxMaps = info.maxEntries;
    this.#layout = layout;
    this.#clock = clock;
    this.#fd = checked(`opening ${layout.name}`, libbpf().mapFdById(info.id));
  }

  /** Every call from now on fails; descriptors close when those under way are through. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    for (const slot of [...this.#held.keys()]) this.#drop(slot);
    if (this.#calls === 0) closeSync(this.#fd);
  }

  async read(): Promise<ReadonlyMap<number, LibbpfMap>> {
    const slices = new Slices(this.#clock);
    for (let slot = 0; slot < this.maxMaps; slot++) {
      this.#readSlot(slot);
      await slices.rest();
    }
    return this.#maps();
  }

  #maps(): ReadonlyMap<number, LibbpfMap> {
    const slots = [...this.#held].sort(([left], [right]) => left - right);
    return new Map(slots.map(([slot, { map }]) => [slot, map]));
  }

  #readSlot(slot: number): void {
    this.#assertOpen();
    const answer = Buffer.alloc(4);
    const errno = -libbpf().lookup(this.#fd, slotKey(slot), answer);
    if (errno === ERRNO.ENOENT) {
      this.#drop(slot);
      return;
    }
    if (errno !== 0) throw kernelError(`reading slot ${slot} of ${this.name}`, errno);
    const id = answer.readUInt32LE();
    if (this.#held.get(slot)?.id !== id) {
      this.#hold(slot, this.#describe(slot, checked(`opening slot ${slot} of ${this.name}`, libbpf().mapFdById(id))));
    }
  }

  #describe(slot: number, fd: number): Held {
    const info = mapInfo(fd);
    const map = new LibbpfMap(`${this.name}[${slot}]`, fd, info, this.#clock);
    const { key, value } = this.#layout;
    if (info.keySize === key.sizeBytes && info.valueSize === value.sizeBytes) return { id: info.id, fd, map };
    closeSync(fd);
    const mend = "raise LAYOUT_VERSION in src/maps, or remove the pin";
    throw new KernelError(`${map.name} is a map of another size than the object's; ${mend}`, ERRNO.EINVAL);
  }

  #hold(slot: number, held: Held): LibbpfMap {
    this.#drop(slot);
    this.#held.set(slot, held);
    return held.map;
  }

  #drop(slot: number): void {
    const held = this.#held.get(slot);
    this.#held.delete(slot);
    if (held !== undefined) release(held);
  }

  async put(members: readonly FamilyMember[]): Promise<readonly LibbpfMap[]> {
    for (const { slot } of members) this.#assertSlot(slot);
    const filled = await this.#fill(members);
    const { placed, errno } = await this.#place(members, filled);
    const maps: LibbpfMap[] = [];
    for (const [index, { slot }] of members.entries()) {
      const held = filled[index];
      if (held === undefined) continue;
      if (index < placed && !this.#retired) maps.push(this.#hold(slot, held));
      else release(held);
    }
    this.#assertOpen();
    if (errno !== 0) throw kernelError(`placing map ${placed + 1} of ${members.length} in ${this.name}`, errno, placed);
    return maps;
  }

  /** Maps in no slot yet, with their entries: all or none. */
  async #fill(members: readonly FamilyMember[]): Promise<readonly Held[]> {
    const filled: Held[] = [];
    try {
      for (const { slot, entries } of members) {
        this.#assertOpen();
        const held = this.#create(slot);
        filled.push(held);
        await held.map.update(entries);
      }
      return filled;
    } catch (error) {
      for (const held of filled) release(held);
      if (error instanceof KernelError) throw new KernelError(error.message, error.errno, 0, error.retryable);
      throw error;
    }
  }

  #create(slot: number): Held {
    const { key, value, maxEntries } = this.#layout;
    const options = Buffer.alloc(CREATE_OPTIONS_BYTES);
    options.writeBigUInt64LE(BigInt(CREATE_OPTIONS_BYTES), 0);
    options.writeUInt32LE(NO_PREALLOC, 28);
    const name = this.name.slice(0, NAME_BYTES);
    const create = libbpf().createMap(MAP_TYPE.lpmTrie, name, key.sizeBytes, value.sizeBytes, maxEntries, options);
    return this.#describe(slot, checked(`creating a map for slot ${slot} of ${this.name}`, create));
  }

  async #place(members: readonly FamilyMember[], filled: readonly Held[]): Promise<{ placed: number; errno: number }> {
    if (members.length === 0) return { placed: 0, errno: 0 };
    const keys = Buffer.concat(members.map(({ slot }) => slotKey(slot)));
    const fds = Buffer.from(new Uint8Array(Uint32Array.from(filled, ({ fd }) => fd).buffer));
    const count = Buffer.alloc(4);
    count.writeUInt32LE(members.length);
    const errno = -(await this.#waiting(() => libbpf().updateBatchWaiting(this.#fd, keys, fds, count, null)));
    return { placed: doneOf(count, members.length, errno), errno };
  }

  async remove(slots: readonly number[]): Promise<void> {
    for (const slot of slots) this.#assertSlot(slot);
    const left = slots.values();
    let done = 0;
    const removeSome = async (): Promise<void> => {
      for (const slot of left) {
        const errno = await this.#removeSlot(slot);
        if (errno !== 0) throw kernelError(`emptying slot ${slot} of ${this.name}`, errno, done);
        this.#drop(slot);
        done++;
      }
    };
    await Promise.all(Array.from({ length: REMOVALS_AT_ONCE }, removeSome));
  }

  /** The kernel has no batch for it. A slot that was empty is fine. */
  async #removeSlot(slot: number): Promise<number> {
    const errno = -(await this.#waiting(() => libbpf().deleteWaiting(this.#fd, slotKey(slot))));
    return errno === ERRNO.ENOENT ? 0 : errno;
  }

  async #waiting(call: () => Promise<number>): Promise<number> {
    this.#assertOpen();
    this.#calls++;
    try {
      return await call();
    } finally {
      this.#calls--;
      if (this.#retired && this.#calls === 0) closeSync(this.#fd);
    }
  }

  #assertOpen(): void {
    if (this.#retired) throw kernelError(`${this.name} was closed`, ERRNO.EBADF);
  }

  #assertSlot(slot: number): void {
    assert(Number.isInteger(slot) && slot >= 0 && slot < this.maxMaps, `${this.name} has no slot ${slot}`);
  }
}

function release({ map, fd }: Held): void {
  map.retire();
  closeSync(fd);
}

function slotKey(slot: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(slot);
  return key;
}
