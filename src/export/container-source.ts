/**
 * The Docker source: containers that carry a label. Events only say that it is time to look; what counts is the whole list, read again on
 * every event, after every lost stream of events, and now and then. An engine that does not answer, or not with a list, says nothing: what
 * it said last stays. Stopped containers still stand for their services; one that was removed is gone.
 */
import type { DockerEngine } from "../docker/door.ts";
import type { Judged } from "../model/resource.ts";
import { Backoff, type BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { type Container, judgeContainers } from "../wire/container.ts";
import { type ContainerPlace, containerManifests, type GivenAddresses } from "../wire/container-manifests.ts";
import type { ServiceAddresses } from "../wire/service-addresses.ts";
import type { SourceState } from "./sources.ts";

export interface ContainerSourceOptions {
  readonly engine: DockerEngine;
  /** `name=value`. */
  readonly label: string;
  readonly place: ContainerPlace;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** Time between two lists when no event was heard. */
  readonly intervalMs: number;
  /** Longest wait for a list. */
  readonly timeoutMs: number;
  readonly backoff: BackoffSettings;
  /** Told what the engine says, when that changed; the next list waits for it. */
  readonly report: (state: SourceState) => Promise<void>;
}

/** Rest between two lists: a container that starts makes three events. */
const SETTLE_MS = 20;
/** Services that are gone and whose addresses are remembered. */
const MAX_AWAY = 1_000;

export class ContainerSource {
  readonly #options: ContainerSourceOptions;
  #fault: string | undefined;
  #told: Uint8Array | undefined;
  /** Of services that are gone too: one that is made anew has its address again. */
  #addresses: GivenAddresses = new Map();
  #moved: ReadonlySet<string> = new Set();
  #dirty = true;
  #rest = new AbortController();

  constructor(options: ContainerSourceOptions) {
    this.#options = options;
  }

  /** Why the engine says nothing at present, if so. */
  get faults(): readonly string[] {
    return this.#fault === undefined ? [] : [this.#fault];
  }

  /** Reads until the signal aborts. */
  async run(): Promise<void> {
    await Promise.all([this.#follow(), this.#readOnAndOn()]);
  }

  /** Hears events. When they break off something may be missed, so it is time to look in any case. */
  async #follow(): Promise<void> {
    const { engine, clock, random, signal, backoff: settings } = this.#options;
    const backoff = new Backoff(random, settings);
    while (!signal.aborted) {
      try {
        await engine.watch(() => {
          backoff.reset();
          this.#look();
        }, signal);
      } catch {
        // The list that follows says what is wrong.
        this.#look();
        await sleep(clock, backoff.nextMs(), signal);
      }
    }
  }

  #look(): void {
    this.#dirty = true;
    this.#rest.abort();
  }

  async #readOnAndOn(): Promise<void> {
    const { clock, random, signal, intervalMs, backoff: settings } = this.#options;
    const backoff = new Backoff(random, settings);
    while (!signal.aborted) {
      this.#dirty = false;
      const answered = await this.#read();
      if (answered) backoff.reset();
      await sleep(clock, answered ? SETTLE_MS : backoff.nextMs(), signal);
      if (!answered || this.#dirty) continue;
      this.#rest = new AbortController();
      await sleep(clock, intervalMs, AbortSignal.any([signal, this.#rest.signal]));
    }
  }

  /** Whether the engine answered with a list. */
  async #read(): Promise<boolean> {
    const { log, signal } = this.#options;
    try {
      const bytes = await this.#list();
      const judged = judgeContainers(bytes);
      if (!judged.ok) throw new Error(judged.rejection.detail);
      if (this.#fault !== undefined) log.info({}, "the Docker engine answers again");
      this.#fault = undefined;
      if (this.#told === undefined || Buffer.compare(this.#told, bytes) !== 0) await this.#tell(judged.value);
      this.#told = bytes;
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      const fault = `Docker engine: ${messageOf(error)}; what it said last stays until it answers`;
      if (this.#fault !== fault) log.warn({ problem: fault }, "containers not listed");
      this.#fault = fault;
      return false;
    }
  }

  async #list(): Promise<Uint8Array> {
    const { engine, label, clock, signal, timeoutMs } = this.#options;
    const late = new AbortController();
    const timer = clock.after(timeoutMs, () => late.abort());
    try {
      return await engine.list(label, AbortSignal.any([signal, late.signal]));
    } catch (error) {
      throw late.signal.aborted ? new Error(`no answer within ${timeoutMs} ms`) : error;
    } finally {
      timer.cancel();
    }
  }

  /** A refused container withdraws nothing but itself: its labels are as old as it is, and there is no better version of them. */
  async #tell(judged: readonly Judged<Container>[]): Promise<void> {
    const { place, report } = this.#options;
    const containers = judged.flatMap((one) => (one.ok ? [one.value] : []));
    const refused = judged.flatMap((one) => (one.ok ? [] : [`docker:${one.rejection.key}: ${one.rejection.detail}`]));
    const { objects, problems, addresses } = containerManifests(containers, place, this.#addresses);
    this.#note(addresses);
    await report({ objects: [objects], read: true, complete: true, problems: [...refused, ...problems] });
  }

  #note({ given, moved, refused }: ServiceAddresses): void {
    const { metrics, log } = this.#options;
    const held = new Set(given.values());
    const away = [...this.#addresses].filter(([service, address]) => !given.has(service) && !held.has(address));
    this.#addresses = new Map([...away.slice(-MAX_AWAY), ...given]);
    for (const line of moved) if (!this.#moved.has(line)) log.info({ line }, "two names of services, one address");
    this.#moved = new Set(moved);
    const help = "Services of containers that ask for no address, by what they were given.";
    const count = metrics.gauge("bulkhead_export_container_services", help, ["address"]);
    count.set(given.size - moved.length, { address: "of-name" });
    count.set(moved.length, { address: "moved" });
    count.set(refused.length, { address: "refused" });
  }
}
