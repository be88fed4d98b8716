/**
 * Finds this node's workloads and attaches the programs to their devices.
 *
 * A device that runs the programs and has no entry in `endpoints` is cut off. So the programs go to devices only once the kernel holds entries:
 * taken over at start, or written by the first complete compile (`open`). From then on it is the other way round: a new device is attached before
 * anything else, and works once its workload is known.
 */
import type { Network, NetworkState } from "../kernel/door.ts";
import type { EndpointDevice } from "../model/endpoint.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { Attachments, type DevicePrograms } from "./attachments.ts";
import { addressRanges, devicePatterns } from "./device-patterns.ts";

export interface EndpointsOptions {
  readonly network: Network;
  readonly programs: DevicePrograms;
  /** Device names with `*`, separated by commas. */
  readonly endpointDevices: string;
  /** CIDRs; a device counts once it has an address in one of them. Absent: all do. */
  readonly endpointCidrs?: readonly string[] | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** How often to look whether something changed. */
  readonly networkIntervalMs: number;
  /** How often to read and attach everything again: somebody else may have detached some. */
  readonly driftIntervalMs: number;
  readonly backoff: BackoffSettings;
  /** Told of the workloads' devices and of the node's own addresses, when they changed. */
  readonly found: (state: NetworkState) => void;
}

export interface EndpointsStatus {
  readonly devices: number;
  readonly attached: number;
  /** Veths that `endpointDevices` or `endpointCidrs` leave out: nothing is enforced there. */
  readonly unmatched: readonly EndpointDevice[];
  readonly problems: readonly string[];
}

export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #isWorkload: (device: EndpointDevice) => boolean;
  readonly #attachments: Attachments;
  readonly #backoff: Backoff;
  #state: NetworkState | undefined;
  /** Devices that were in the reading before, and not in the last. */
  #missing: readonly EndpointDevice[] = [];
  #unmatched: readonly EndpointDevice[] = [];
  #open = false;
  #fault: string | undefined;
  /** Read and attach everything at the next look. */
  #due = true;
  #nextDriftMs: number;
  #retryAtMs: number | undefined;
  #wake: () => void = () => undefined;

  constructor(options: EndpointsOptions) {
    this.#options = options;
    const named = devicePatterns(options.endpointDevices);
    const placed = addressRanges(options.endpointCidrs);
    this.#isWorkload = ({ name, addresses }) => named(name) && placed(addresses);
    this.#attachments = new Attachments(options.programs);
    this.#backoff = new Backoff(options.random, options.backoff);
    this.#nextDriftMs = options.clock.nowMs() + options.driftIntervalMs;
  }

  /** The kernel holds entries for the devices: from now on they are attached. */
  open(): void {
    if (this.#open) return;
    this.#open = true;
    this.#due = true;
  }

  /** Resolves when the signal aborts; the programs stay where they are. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    signal.addEventListener("abort", () => this.hurry(), { once: true });
    while (!signal.aborted) {
      await this.look();
      if (!signal.aborted) await this.#rest();
    }
  }

  /** Looks at once: something else changed that may have to do with a device. */
  hurry(): void {
    this.#wake();
  }

  /** Until it is time, or there is a hurry: that may be a thousand times a second. */
  #rest(): Promise<void> {
    const { clock, networkIntervalMs } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(networkIntervalMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** One look; never rejects. */
  async look(): Promise<void> {
    const { network, clock, driftIntervalMs } = this.#options;
    const now = clock.nowMs();
    const drift = now >= this.#nextDriftMs;
    const all = drift || this.#due || (this.#retryAtMs !== undefined && now >= this.#retryAtMs);
    try {
      if (!network.changed() && !all && this.#missing.length === 0) return;
      this.#due = false;
      if (drift) this.#nextDriftMs = now + driftIntervalMs;
      await this.#take(this.#read(), all);
      if (drift) await this.#forget();
      this.#fault = undefined;
    } catch (error) {
      this.#fault = messageOf(error);
    }
    this.#planRetry(now);
    this.#measure();
  }

  status(): EndpointsStatus {
    const devices = this.#state?.devices.length ?? 0;
    const problems = [...this.#attachments.problems()];
    if (this.#fault !== undefined) problems.push(`network devices: ${this.#fault}; what is attached stays`);
    if (!this.#open && devices > 0) {
      problems.push(
        `${devices} devices: policy is not enforced yet: the own cluster's policies, identities and addresses are not complete in the local etcd`,
      );
    }
    return { devices, attached: this.#attachments.size, unmatched: this.#unmatched, problems };
  }

  /** A device counts as gone when two readings in a row lack it. */
  #read(): NetworkState {
    const { devices, ownAddresses } = this.#options.network.read();
    const workloads = devices.filter((device) => this.#isWorkload(device));
    this.#unmatched = devices.filter((device) => !this.#isWorkload(device));
    const present = new Set(workloads.map(({ ifindex }) => ifindex));
    const gone = new Set(this.#missing.map(({ ifindex }) => ifindex));
    this.#missing = (this.#state?.devices ?? []).filter(({ ifindex }) => !present.has(ifindex) && !gone.has(ifindex));
    const known = [...workloads, ...this.#missing];
    return { devices: known.sort((left, right) => left.ifindex - right.ifindex), ownAddresses };
  }

  async #take(state: NetworkState, all: boolean): Promise<void> {
    const before = this.#state;
    this.#state = state;
    // One that a reading lacked may come back as another device of the same index and name.
    const present = state.devices.filter((device) => !this.#missing.includes(device));
    this.#attachments.seen(present);
    if (this.#open) {
      const fresh = await this.#attachments.attach(present, all);
      const names = fresh.map(({ name }) => name);
      if (names.length > 0) this.#options.log.info({ devices: names }, "programs attached to devices");
    }
    if (JSON.stringify(before) !== JSON.stringify(state)) this.#options.found(state);
  }

  async #forget(): Promise<void> {
    if (!this.#open) return;
    const detached = await this.#attachments.forget();
    if (detached > 0) this.#options.log.info({ detached }, "devices that are gone were forgotten");
  }

  #planRetry(now: number): void {
    if (this.#fault === undefined && !this.#attachments.failing) {
      this.#retryAtMs = undefined;
      this.#backoff.reset();
      return;
    }
    if (this.#retryAtMs !== undefined && this.#retryAtMs > now) return;
    const delayMs = this.#backoff.nextMs();
    this.#retryAtMs = now + delayMs;
    this.#options.log.warn({ problems: this.status().problems, delayMs }, "devices do not all run the programs");
  }

  #measure(): void {
    const { metrics } = this.#options;
    const { devices, attached } = this.status();
    const gauge = metrics.gauge("bulkhead_endpoint_devices", "Workloads' devices on this node.", ["state"]);
    gauge.set(attached, { state: "attached" });
    gauge.set(devices - attached, { state: "not-attached" });
  }
}
