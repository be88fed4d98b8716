/**
 * Closes what workloads of this node have connected by UDP to backends that are gone: nothing else would tell them, and they would go on sending there.
 * A socket is ours when the programs remember which service it asked for (`reverse_nat`). It runs beside the writing of maps, which never waits for it.
 */
import type { ConnectedSocket, KernelMap, NodeSockets } from "../kernel/door.ts";
import { KernelError } from "../kernel/door.ts";
import { encodeReverseNatKey } from "../maps/reverse-nat-map.ts";
import { type Clock, Slices, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { TablesView } from "../tables/tables-view.ts";
import { DepartedBackends, type PlaceKey, placeKey, udpPlace } from "./departed-backends.ts";
import { joined, type ValueWatcher } from "./mirrored-map.ts";

/** Least time between two looks. */
const INTERVAL_MS = 1_000;
const BACKENDS_TOLD = 5;
/** In one look; the others are closed in the next. */
const MOST_CLOSED = 1_000;

export interface SocketCloserOptions {
  readonly sockets: NodeSockets;
  readonly reverseNat: KernelMap;
  readonly view: TablesView;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export class SocketCloser {
  readonly #options: SocketCloserOptions;
  readonly #departed: DepartedBackends;
  /** Backends that are gone and may still have sockets. */
  readonly #gone = new Set<PlaceKey>();
  #wake: (() => void) | undefined;
  #due = false;
  #fault: string | undefined;

  constructor(options: SocketCloserOptions) {
    this.#options = options;
    this.#departed = new DepartedBackends(options.view);
  }

  /** Watches `backends`. */
  readonly watcher: ValueWatcher = {
    writing: (value) => {
      if (this.#departed.size + this.#gone.size === 0) return;
      const place = udpPlace(value);
      if (place === undefined) return;
      this.#departed.delete(place.key);
      this.#gone.delete(place.key);
    },
    removed: (value) => {
      const place = udpPlace(value);
      if (place !== undefined) this.#departed.add(place);
    },
  };

  /** The tables may say more of what was removed: look soon. */
  changed(): void {
    this.#due = true;
    this.#wake?.();
  }

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    while (!signal.aborted) {
      await this.#woken(signal);
      if (!signal.aborted) await this.#look();
      await sleep(this.#options.clock, INTERVAL_MS, signal);
    }
  }

  problems(): readonly string[] {
    if (this.#fault === undefined) return [];
    return [`UDP sockets connected to backends that are gone are not all closed: ${this.#fault}`];
  }

  #woken(signal: AbortSignal): Promise<void> {
    if (this.#due || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  async #look(): Promise<void> {
    this.#due = false;
    const slices = new Slices(this.#options.clock);
    for (const gone of this.#departed.takeGone()) {
      if (gone !== undefined) this.#gone.add(gone);
      await slices.rest();
    }
    if (this.#gone.size === 0) return;
    this.#fault = undefined;
    const closed = await this.#closeAll(slices).catch((error: unknown) => this.#failed(error));
    if (closed >= MOST_CLOSED) this.#due = true;
    else this.#gone.clear();
  }

  /** How many; no more than MOST_CLOSED. What cannot be closed in one namespace does not keep it from the others. */
  async #closeAll(slices: Slices): Promise<number> {
    const { sockets, reverseNat } = this.#options;
    const { paths, unreached } = sockets.namespaces();
    const closed: Uint8Array[] = [];
    const chosen = (socket: ConnectedSocket): boolean =>
      this.#gone.has(placeKey(socket.address, socket.port)) &&
      reverseNat.lookup(encodeReverseNatKey(socket)) !== undefined;
    for (const path of paths) {
      if (closed.length === MOST_CLOSED) break;
      try {
        closed.push(...sockets.closeUdp(path, MOST_CLOSED - closed.length, chosen).map(encodeReverseNatKey));
      } catch (error) {
        this.#failed(error);
      }
      await slices.rest();
    }
    // A socket that was closed so has no peer any more, by which the programs would find its entry.
    if (closed.length > 0) await reverseNat.remove(joined(closed), closed.length);
    this.#measure(closed.length, paths.length, unreached);
    return closed.length;
  }

  #failed(error: unknown): number {
    if (!(error instanceof KernelError)) throw error;
    this.#fault = error.message;
    this.#options.log.warn({ fault: error.message }, "sockets of backends that are gone stay open");
    return 0;
  }

  #measure(closed: number, reached: number, unreached: number): void {
    const { log, metrics } = this.#options;
    const help = "Connected UDP sockets closed, their backends being gone.";
    metrics.counter("bulkhead_udp_sockets_closed_total", help).add(closed);
    const places = metrics.gauge("bulkhead_socket_namespaces", "Network namespaces, when last looked into.", ["state"]);
    places.set(reached, { state: "reached" });
    places.set(unreached, { state: "unreached" });
    if (closed > 0) log.info({ closed, backends: [...this.#gone].slice(0, BACKENDS_TOLD) }, "sockets closed");
  }
}
