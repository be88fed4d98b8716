/** The kernel door's real body. */
import { closeSync } from "node:fs";
import type { Clock } from "../runtime/clock.ts";
import type { AttachOutcome, Kernel, LoadedObject, LoadRequest } from "./door.ts";
import { mapInfo } from "./info.ts";
import { libbpf } from "./library.ts";
import { attach, openCgroup } from "./link.ts";
import { LibbpfMap } from "./map.ts";
import { BpfObject } from "./object.ts";
import { linkPin, preparePinDirectory, requireCgroup2 } from "./pins.ts";

/** Blocks the loop while an object loads (some ms, more for large preallocated maps); maps rest between batches. */
export function createLibbpfKernel({ clock }: { readonly clock: Clock }): Kernel {
  return { load: async (request) => load(request, clock) };
}

function load(request: LoadRequest, clock: Clock): LoadedObject {
  const object = new BpfObject(request.objectPath);
  try {
    object.checkLayouts(request);
    preparePinDirectory(request.pinDirectory);
    const adopted = object.adoptPins(request);
    object.load();
    object.pinMaps(request, adopted);
    return new LibbpfObject(object, request.pinDirectory, adopted, clock);
  } catch (error) {
    object.close();
    throw error;
  }
}

class LibbpfObject implements LoadedObject {
  readonly maps: ReadonlyMap<string, LibbpfMap>;
  readonly adopted: readonly string[];
  readonly #object: BpfObject;
  readonly #pinDirectory: string;
  #closed = false;

  constructor(object: BpfObject, pinDirectory: string, adopted: readonly string[], clock: Clock) {
    this.#object = object;
    this.#pinDirectory = pinDirectory;
    this.adopted = adopted;
    this.maps = new Map(
      [...object.maps()].map(([name, map]) => {
        const fd = libbpf().mapFd(map);
        return [name, new LibbpfMap(name, fd, mapInfo(fd), clock)];
      }),
    );
  }

  async attachCgroup(cgroupDirectory: string): Promise<Readonly<Record<string, AttachOutcome>>> {
    requireCgroup2(cgroupDirectory);
    const cgroup = openCgroup(cgroupDirectory);
    try {
      const outcomes: Record<string, AttachOutcome> = {};
      for (const program of this.#object.programs()) {
        outcomes[program.name] = attach(program, cgroup, linkPin(this.#pinDirectory, program.name));
      }
      return outcomes;
    } finally {
      closeSync(cgroup.fd);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const map of this.maps.values()) map.retire();
    this.#object.close();
  }
}
