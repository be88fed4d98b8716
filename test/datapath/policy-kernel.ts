/** The maps of policies in memory, one entry a call: something looks after each call, or the process ends before it. */

import { type FamilyMember, KernelError, type KernelMap, type KernelMapFamily } from "../../src/kernel/door.ts";
import { CrashError } from "../../src/kernel/faulty.ts";
import { MemoryMap } from "../../src/kernel/memory.ts";
import { ENDPOINT_MAP } from "../../src/maps/endpoint-map.ts";
import { POLICY_FAMILY } from "../../src/maps/policy-map.ts";

export class PolicyKernel {
  readonly #endpoints = new MemoryMap(ENDPOINT_MAP, 4096);
  readonly #slots = new Map<number, MemoryMap>();
  readonly #policyEntriesMax: number;

  constructor(policyEntriesMax: number = POLICY_FAMILY.maxEntries) {
    this.#policyEntriesMax = policyEntriesMax;
  }

  /** As a process sees it. @param step runs each call. */
  open(step: Step = (act) => act()): { readonly endpoints: KernelMap; readonly family: KernelMapFamily } {
    const handles = new Map<MemoryMap, KernelMap>();
    const handle = (map: MemoryMap): KernelMap => {
      const known = handles.get(map) ?? stepped(map, step);
      handles.set(map, known);
      return known;
    };
    const family: KernelMapFamily = {
      name: POLICY_FAMILY.name,
      maxMaps: 16,
      read: () => step(async () => new Map([...this.#slots].map(([slot, map]) => [slot, handle(map)]))),
      put: async (members) => {
        const maps: KernelMap[] = [];
        for (const member of members) maps.push(await step(async () => handle(await this.#put(member)), maps.length));
        return maps;
      },
      remove: async (slots) => {
        for (const slot of slots) await step(async () => void this.#slots.delete(slot));
      },
    };
    return { endpoints: stepped(this.#endpoints, step), family };
  }

  async #put({ slot, entries }: FamilyMember): Promise<MemoryMap> {
    const map = new MemoryMap(POLICY_FAMILY, this.#policyEntriesMax);
    await map.update(entries).catch(() => {
      throw new KernelError(`filling slot ${slot}`, 28);
    });
    this.#slots.set(slot, map);
    return map;
  }
}

/** @param done calls of the same request that succeeded before. */
export type Step = <T>(act: () => Promise<T>, done?: number) => Promise<T>;

function stepped(map: MemoryMap, step: Step): KernelMap {
  const one = (bytes: Uint8Array, index: number, size: number) => bytes.subarray(index * size, (index + 1) * size);
  const { name, keySize, valueSize, maxEntries } = map;
  return {
    name,
    keySize,
    valueSize,
    maxEntries,
    dump: () => step(() => map.dump()),
    lookup: (key) => map.lookup(key),
    async update({ count, keys, values }) {
      for (let index = 0; index < count; index++) {
        const entry = { count: 1, keys: one(keys, index, keySize), values: one(values, index, valueSize) };
        await step(() => map.update(entry), index).catch((error: unknown) => {
          throw error instanceof KernelError ? new KernelError(error.message, error.errno, index) : error;
        });
      }
    },
    async remove(keys, count) {
      for (let index = 0; index < count; index++) await step(() => map.remove(one(keys, index, keySize), 1), index);
    },
  };
}

/** The process ends at the n-th call from 0, before it is made. */
export function crashBefore(call: number): Step {
  let calls = 0;
  return (act) => {
    if (calls++ >= call) throw new CrashError("crash, on purpose");
    return act();
  };
}

/** These calls, from 0, fail without effect. */
export function failing(calls: ReadonlySet<number>, errno: number): Step {
  let made = 0;
  return (act, done = 0) => {
    if (calls.has(made++)) throw new KernelError("on purpose", errno, done);
    return act();
  };
}
