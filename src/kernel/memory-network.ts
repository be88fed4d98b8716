/** A network in memory: a test says what is there. */
import type { EndpointDevice } from "../model/endpoint.ts";
import type { Network, NetworkState } from "./door.ts";

export class MemoryNetwork implements Network {
  #state: NetworkState = { devices: [], ownAddresses: [] };
  #changed = false;

  set(state: Partial<NetworkState>): void {
    this.#state = { ...this.#state, ...state };
    this.#changed = true;
  }

  /** Adds a device, or puts it in the place of the one with its index. */
  putDevice(device: EndpointDevice): void {
    const others = this.#state.devices.filter(({ ifindex }) => ifindex !== device.ifindex);
    this.set({ devices: [...others, device] });
  }

  removeDevice(ifindex: number): void {
    this.set({ devices: this.#state.devices.filter((device) => device.ifindex !== ifindex) });
  }

  read(): NetworkState {
    return this.#state;
  }

  changed(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  close(): void {}
}
