/** Programs at devices: what a workload sends (`from`, tc ingress) and what it gets (`to`, tc egress). */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { EndpointDevice } from "../model/endpoint.ts";
import { type AttachOutcome, type DeviceHook, KernelError, type LoadRequest } from "./door.ts";
import { ERRNO } from "./errno.ts";
import { attachFilter, detachFilter, FILTER_POINT, type FilterPoint } from "./filter.ts";
import { attach, DEVICE_PROGRAM, deviceTarget, type Program } from "./link.ts";
import { readLinks } from "./network.ts";
import { linkPin } from "./pins.ts";

const TCX_INGRESS = 46;
const TCX_EGRESS = 47;
/** How a kernel without tcx refuses a link. */
const NO_TCX: ReadonlySet<number> = new Set([ERRNO.EINVAL, ERRNO.EOPNOTSUPP, ERRNO.ENOTSUPP]);

type Device = Pick<EndpointDevice, "ifindex" | "name">;

interface Side {
  /** With the attach type of its tcx hook. */
  readonly program: Program;
  readonly point: FilterPoint;
}

export class Devices {
  readonly #sides: readonly Side[];
  readonly #pinDirectory: string;
  /** Not chosen: tcx, until the kernel refuses it. */
  #hook: DeviceHook | undefined;
  /** Filters may be there: of this process, or of one before it. */
  #filtersLeft = true;

  constructor(programs: readonly Program[], { devicePrograms, deviceHook, pinDirectory }: LoadRequest) {
    this.#pinDirectory = pinDirectory;
    this.#hook = deviceHook;
    const side = (name: string, attachType: number, point: FilterPoint): Side => {
      const program = programs.find((candidate) => candidate.name === name && candidate.type === DEVICE_PROGRAM);
      assert(program !== undefined, `program ${name} was looked for before the object was loaded`);
      return { program: { ...program, attachType }, point };
    };
    this.#sides =
      devicePrograms === undefined
        ? []
        : [
            side(devicePrograms.from, TCX_INGRESS, FILTER_POINT.ingress),
            side(devicePrograms.to, TCX_EGRESS, FILTER_POINT.egress),
          ];
  }

  attach(device: Device): Record<string, AttachOutcome> {
    return Object.fromEntries(this.#sides.map((side) => [side.program.name, this.#attachSide(side, device)]));
  }

  /** What the other mechanism left goes last, so that the device is never without a program. */
  #attachSide(side: Side, device: Device): AttachOutcome {
    const pin = this.#pin(side, device.ifindex);
    if (this.#hook === "clsact") {
      const outcome = attachFilter(side.program, device.ifindex, side.point);
      rmSync(pin, { force: true });
      return outcome;
    }
    try {
      const outcome = attach(side.program, deviceTarget(device), pin);
      if (outcome === "created") detachFilter(side.program.name, device.ifindex, side.point);
      return outcome;
    } catch (error) {
      if (this.#hook === "tcx" || !(error instanceof KernelError) || !NO_TCX.has(error.errno)) throw error;
      this.#hook = "clsact";
      return this.#attachSide(side, device);
    }
  }

  #pin({ program }: Side, ifindex: number): string {
    return `${linkPin(this.#pinDirectory, program.name)}_${ifindex}`;
  }

  detachOthers(ifindexes: ReadonlySet<number>): number {
    const gone = new Set<number>();
    for (const { program } of this.#sides) {
      const pins = new RegExp(`^link_${program.name}_(\\d+)(_new)?$`);
      for (const file of readdirSync(this.#pinDirectory)) {
        const ifindex = Number(pins.exec(file)?.[1] ?? Number.NaN);
        if (Number.isNaN(ifindex) || ifindexes.has(ifindex)) continue;
        rmSync(join(this.#pinDirectory, file), { force: true });
        gone.add(ifindex);
      }
    }
    for (const ifindex of this.#detachFilters(ifindexes)) gone.add(ifindex);
    return gone.size;
  }

  /** Filters are pinned nowhere: every device is asked, but no more than once where tcx does the work; there none may stay. */
  #detachFilters(ifindexes: ReadonlySet<number>): readonly number[] {
    if (!this.#filtersLeft || this.#sides.length === 0) return [];
    const inUse = this.#hook === "clsact";
    this.#filtersLeft = inUse;
    const asked = readLinks().filter(({ ifindex }) => !inUse || !ifindexes.has(ifindex));
    return asked.map(({ ifindex }) => ifindex).filter((ifindex) => this.#detachFiltersOf(ifindex));
  }

  #detachFiltersOf(ifindex: number): boolean {
    const detached = this.#sides.map(({ program, point }) => detachFilter(program.name, ifindex, point));
    return detached.includes(true);
  }
}
