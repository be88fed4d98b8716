/** Which devices run the programs: attaches new ones, keeps what failed for another try, and lets go of devices that are gone for good. */
import { type AttachOutcome, KernelError } from "../kernel/door.ts";
import type { EndpointDevice } from "../model/endpoint.ts";
import { messageOf } from "../runtime/user-error.ts";

export interface DevicePrograms {
  /** Rejects with a KernelError; errno 19 when the device is gone. */
  attachDevice(device: EndpointDevice): Promise<Readonly<Record<string, AttachOutcome>>>;
  detachOthers(ifindexes: ReadonlySet<number>): Promise<number>;
}

const ENODEV = 19;

export class Attachments {
  readonly #programs: DevicePrograms;
  /** Devices that run them, by ifindex, as they were then. */
  readonly #attached = new Map<number, EndpointDevice>();
  readonly #faults = new Map<number, { readonly device: string; readonly fault: string }>();
  /** Devices read since `forget` was last called: what is in none of these readings is gone, not just quiet. */
  #seen = new Set<number>();

  constructor(programs: DevicePrograms) {
    this.#programs = programs;
  }

  get size(): number {
    return this.#attached.size;
  }

  /** Some device could not be attached. */
  get failing(): boolean {
    return this.#faults.size > 0;
  }

  seen(devices: readonly EndpointDevice[]): void {
    const present = new Set(devices.map(({ ifindex }) => ifindex));
    for (const ifindex of present) this.#seen.add(ifindex);
    for (const known of [this.#attached, this.#faults]) {
      for (const ifindex of known.keys()) if (!present.has(ifindex)) known.delete(ifindex);
    }
  }

  /** Attaches devices that are new or changed, or all: what is attached already stays as it is. Returns devices that were without programs. */
  async attach(devices: readonly EndpointDevice[], all: boolean): Promise<readonly EndpointDevice[]> {
    const fresh: EndpointDevice[] = [];
    for (const device of devices) {
      if (!all && same(this.#attached.get(device.ifindex), device)) continue;
      const outcomes = await this.#attach(device);
      if (Object.values(outcomes).includes("created")) fresh.push(device);
    }
    return fresh;
  }

  /** Takes programs and pins off devices that no reading has shown since this was last called. */
  async forget(): Promise<number> {
    const seen = this.#seen;
    this.#seen = new Set(this.#attached.keys());
    return await this.#programs.detachOthers(seen);
  }

  problems(): readonly string[] {
    return [...this.#faults.values()].map(
      ({ device, fault }) =>
        `device ${device}: policy is not enforced on it, its programs cannot be attached: ${fault}`,
    );
  }

  async #attach(device: EndpointDevice): Promise<Readonly<Record<string, AttachOutcome>>> {
    const { ifindex, name } = device;
    try {
      const outcomes = await this.#programs.attachDevice(device);
      this.#attached.set(ifindex, device);
      this.#faults.delete(ifindex);
      return outcomes;
    } catch (error) {
      this.#attached.delete(ifindex);
      if (!(error instanceof KernelError && error.errno === ENODEV)) {
        this.#faults.set(ifindex, { device: name, fault: messageOf(error) });
      }
      return {};
    }
  }
}

function same(left: EndpointDevice | undefined, right: EndpointDevice): boolean {
  return left?.name === right.name && left.addresses.join() === right.addresses.join();
}
