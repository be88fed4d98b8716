/** The kernel door's real body. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { EndpointDevice } from "../model/endpoint.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import { Devices } from "./device.ts";
import type { AttachOutcome, Kernel, LoadedObject, LoadRequest } from "./door.ts";
import { LibbpfFamily } from "./family.ts";
import { mapInfo } from "./info.ts";
import { libbpf } from "./library.ts";
import { attach, DEVICE_PROGRAM, openCgroup, type Program } from "./link.ts";
import { LibbpfMap } from "./map.ts";
import { BpfObject } from "./object.ts";
import { linkPin, preparePinDirectory, requireCgroup2 } from "./pins.ts";
import { LibbpfRing } from "./ring.ts";

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
    return new LibbpfObject(object, request, adopted, clock);
  } catch (error) {
    object.close();
    throw error;
  }
}

export class LibbpfObject implements LoadedObject {
  readonly maps: ReadonlyMap<string, LibbpfMap>;
  readonly families: ReadonlyMap<string, LibbpfFamily>;
  readonly rings: ReadonlyMap<string, LibbpfRing>;
  readonly adopted: readonly string[];
  readonly #object: BpfObject;
  readonly #pinDirectory: string;
  readonly #devices: Devices;
  /** A new tcx link waits some 10 ms until no packet uses what was there; devices may come by the hundred. */
  readonly #slices: Slices;
  #closed = false;

  constructor(object: BpfObject, request: LoadRequest, adopted: readonly string[], clock: Clock) {
    const { layouts, families = [], rings = [], pinDirectory } = request;
    this.#object = object;
    this.#pinDirectory = pinDirectory;
    this.#devices = new Devices(object.programs(), request);
    this.#slices = new Slices(clock);
    this.adopted = adopted;
    const fds = new Map([...object.maps()].map(([name, map]) => [name, libbpf().mapFd(map)]));
    const fdOf = (name: string): number => fds.get(name) ?? -1;
    this.maps = byName(layouts, ({ name }) => new LibbpfMap(name, fdOf(name), mapInfo(fdOf(name)), clock));
    this.rings = byName(
      rings.map((name) => ({ name })),
      ({ name }) => new LibbpfRing(name, fdOf(name)),
    );
    this.families = byName(families, (layout) => new LibbpfFamily(layout, fdOf(layout.name), clock));
  }

  isAttached(): boolean {
    return this.#cgroupPrograms().some(({ name }) => existsSync(linkPin(this.#pinDirectory, name)));
  }

  async attachCgroup(cgroupDirectory: string): Promise<Readonly<Record<string, AttachOutcome>>> {
    requireCgroup2(cgroupDirectory);
    const cgroup = openCgroup(cgroupDirectory);
    try {
      const outcomes: Record<string, AttachOutcome> = {};
      for (const program of this.#cgroupPrograms()) {
        outcomes[program.name] = attach(program, cgroup, linkPin(this.#pinDirectory, program.name));
      }
      return outcomes;
    } finally {
      cgroup.close();
    }
  }

  async attachDevice(
    device: Pick<EndpointDevice, "ifindex" | "name">,
  ): Promise<Readonly<Record<string, AttachOutcome>>> {
    const outcomes = this.#devices.attach(device);
    await this.#slices.rest();
    return outcomes;
  }

  async detachOthers(ifindexes: ReadonlySet<number>): Promise<number> {
    return this.#devices.detachOthers(ifindexes);
  }

  /** For tests and benches: descriptors are open as long as the object. */
  programs(): readonly Program[] {
    assert(!this.#closed, "the object was closed");
    return this.#object.programs();
  }

  #cgroupPrograms(): readonly Program[] {
    return this.#object.programs().filter(({ type }) => type !== DEVICE_PROGRAM);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const part of [...this.maps.values(), ...this.families.values(), ...this.rings.values()]) part.retire();
    this.#object.close();
  }
}

function byName<L extends { readonly name: string }, T>(layouts: readonly L[], make: (layout: L) => T): Map<string, T> {
  return new Map(layouts.map((layout) => [layout.name, make(layout)]));
}
