/** Any kernel, with failures and crashes at chosen map calls: for tests that stop the agent between any two writes. */
import type { Kernel, KernelMap, KernelMapFamily, LoadedObject, MapEntries } from "./door.ts";
import { kernelError } from "./errno.ts";

export interface MapCall {
  /** Counted over all maps, families and devices from 0. */
  readonly index: number;
  /** Of a map or family, or "device 7". */
  readonly map: string;
  readonly operation: "dump" | "update" | "remove" | "read" | "put" | "attach";
}

export interface MapFault {
  /** `midway`: the first half of the entries is done. */
  readonly when: "before" | "midway" | "after";
  /** The call rejects with this errno; without it the process is dead: this call and all later ones reject with CrashError. */
  readonly errno?: number;
}

/** The process ended here: nothing it would have done next may happen. */
export class CrashError extends Error {
  override readonly name = "CrashError";
  readonly retryable = false;
}

export type FaultPlan = (call: MapCall) => MapFault | undefined;

/** Crashes at the n-th map call, counted from 0. */
export function crashAt(index: number, when: MapFault["when"]): FaultPlan {
  return (call) => (call.index === index ? { when } : undefined);
}

class Faults {
  readonly #plan: FaultPlan;
  #calls = 0;
  #crashed = false;

  constructor(plan: FaultPlan) {
    this.#plan = plan;
  }

  assertAlive(): void {
    if (this.#crashed) throw new CrashError("the process has crashed");
  }

  /** @param act does the first `count` entries. */
  async run<T>(
    map: string,
    operation: MapCall["operation"],
    count: number,
    act: (count: number) => Promise<T>,
  ): Promise<T> {
    this.assertAlive();
    const fault = this.#plan({ index: this.#calls++, map, operation });
    if (fault === undefined) return act(count);
    const done = fault.when === "before" ? 0 : fault.when === "midway" ? Math.floor(count / 2) : count;
    if (done > 0) await act(done);
    if (fault.errno !== undefined) throw kernelError(`${operation} of ${map}, on purpose`, fault.errno, done);
    this.#crashed = true;
    throw new CrashError(`crash at ${operation} of ${map}, on purpose`);
  }
}

function faultyMap(map: KernelMap, faults: Faults): KernelMap {
  const first = (entries: MapEntries, count: number): MapEntries => ({
    count,
    keys: entries.keys.subarray(0, count * map.keySize),
    values: entries.values.subarray(0, count * map.valueSize),
  });
  return {
    name: map.name,
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    dump: () => faults.run(map.name, "dump", 1, () => map.dump()),
    update: (entries) => faults.run(map.name, "update", entries.count, (count) => map.update(first(entries, count))),
    remove: (keys, all) =>
      faults.run(map.name, "remove", all, (count) => map.remove(keys.subarray(0, count * map.keySize), count)),
    lookup(key) {
      faults.assertAlive();
      return map.lookup(key);
    },
  };
}

/** The maps inside count as well, by their own names (`policies[3]`). */
function faultyFamily(family: KernelMapFamily, faults: Faults): KernelMapFamily {
  return {
    name: family.name,
    maxMaps: family.maxMaps,
    async read() {
      const maps = await faults.run(family.name, "read", 1, () => family.read());
      return new Map([...maps].map(([slot, map]) => [slot, faultyMap(map, faults)]));
    },
    async put(members) {
      const put = (count: number) => family.put(members.slice(0, count));
      const maps = await faults.run(family.name, "put", members.length, put);
      return maps.map((map) => faultyMap(map, faults));
    },
    remove: (slots) => faults.run(family.name, "remove", slots.length, (count) => family.remove(slots.slice(0, count))),
  };
}

export function faultyKernel(kernel: Kernel, plan: FaultPlan): Kernel {
  const faults = new Faults(plan);
  return {
    async load(request): Promise<LoadedObject> {
      faults.assertAlive();
      const object = await kernel.load(request);
      return {
        maps: new Map([...object.maps].map(([name, map]) => [name, faultyMap(map, faults)])),
        families: new Map([...object.families].map(([name, family]) => [name, faultyFamily(family, faults)])),
        rings: object.rings,
        adopted: object.adopted,
        isAttached() {
          faults.assertAlive();
          return object.isAttached();
        },
        async attachCgroup(cgroupDirectory) {
          faults.assertAlive();
          return object.attachCgroup(cgroupDirectory);
        },
        attachDevice: (device) =>
          faults.run(`device ${device.ifindex}`, "attach", 1, () => object.attachDevice(device)),
        async detachOthers(ifindexes) {
          faults.assertAlive();
          return object.detachOthers(ifindexes);
        },
        close: () => object.close(),
      };
    },
  };
}
