/**
 * Moves traffic away from this cluster, or back: steps the weight in the drain marker until it is where it was ordered to be. The marker is what is
 * remembered: who leads next goes on from it.
 */
import type { KvClient } from "../kv/client.ts";
import { type Drain, type DrainStatus, drainStatuses, FULL_WEIGHT, NO_DRAIN, type Ramp } from "../model/drain.ts";
import type { Publisher } from "../publish/publisher.ts";
import { type BackoffSettings, retry } from "../runtime/backoff.ts";
import { type Clock, encodeTime, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { UserError } from "../runtime/user-error.ts";
import { encodeDrain, judgeDrain, MAX_DRAINED_SERVICES } from "../wire/drain.ts";
import { drainCanary, drainKey } from "../wire/keys.ts";
import { hasArrived, rampTo, SHORTEST_STEP_MS, stepped } from "./ramp.ts";

export interface DrainOrder {
  /** `namespace/name`; empty: the whole cluster. */
  readonly services: readonly string[];
  /** Of FULL_WEIGHT, which means that it returns. */
  readonly target: number;
  readonly overMs: number;
}

interface DrainerOptions {
  /** The own one. */
  readonly cluster: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

interface DrainTerm {
  readonly kv: KvClient;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff: BackoffSettings;
  readonly signal: AbortSignal;
}

/** While nothing moves. */
const LONGEST_SLEEP_MS = 60_000;

/** The name of the whole cluster among those of services. */
const ALL = "";

interface Moving {
  readonly ramp: Ramp;
  /** When its next step is due. */
  readonly dueMs: number;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

export class Drainer {
  readonly #options: DrainerOptions;
  /** By service, ALL for the cluster. Nothing of full weight that has arrived. */
  #moving = new Map<string, Moving>();
  #leads = false;
  #refusal: string | undefined;
  /** Who waits for the marker to be written. */
  #waiters: Waiter[] = [];
  #wake: () => void = () => {};

  constructor(options: DrainerOptions) {
    this.#options = options;
    this.#measure();
  }

  /** Of a term's leader; of another what it knew last. */
  status(): readonly DrainStatus[] {
    return drainStatuses(this.#options.cluster, this.#drain());
  }

  problems(): readonly string[] {
    return this.#refusal === undefined ? [] : [this.#refusal];
  }

  /**
   * Resolves once the marker says so. @param known services that there are. Throws a UserError when the order makes no sense or cannot be taken.
   */
  async order(order: DrainOrder, known: ReadonlySet<string>): Promise<void> {
    if (!this.#leads) throw new UserError("it does not lead: ask the exporter that does, or wait until it is elected");
    const { cluster, clock, log } = this.#options;
    const names = order.services.length === 0 ? [ALL] : [...new Set(order.services)];
    const isReturn = order.target === FULL_WEIGHT;
    for (const name of names) {
      const isDrained = this.#moving.has(name);
      if (isReturn && !isDrained) throw new UserError(`${name === ALL ? cluster : name} is not drained`);
      if (!isDrained && name !== ALL && !known.has(name)) throw new UserError(`${cluster} has no service ${name}`);
    }
    const services = new Set([...this.#moving.keys(), ...names].filter((name) => name !== ALL));
    if (services.size > MAX_DRAINED_SERVICES) {
      throw new UserError(`at most ${MAX_DRAINED_SERVICES} services are drained by name: drain the cluster`);
    }
    for (const name of names) {
      const from = this.#moving.get(name)?.ramp.weight ?? FULL_WEIGHT;
      const ramp = rampTo(from, order.target, order.overMs);
      this.#moving.set(name, { ramp, dueMs: clock.nowMs() + ramp.stepMs });
    }
    log.info({ ...order, from: this.status() }, "an operator moves traffic");
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#wake();
    });
  }

  /** Steps for the length of a term. Rejects when the right to write is lost. */
  async run(term: DrainTerm): Promise<void> {
    const { clock, signal } = term;
    await this.#begin(term);
    this.#leads = true;
    try {
      while (!signal.aborted) {
        await this.#somethingDue(signal);
        if (!this.#advance() && this.#waiters.length === 0) continue;
        await this.#write(term.publisher);
        await sleep(clock, SHORTEST_STEP_MS, signal);
      }
    } finally {
      this.#leads = false;
      const lost = new UserError("it ceased to lead before that was written: look what stands, and order it again");
      for (const { reject } of this.#waiters) reject(lost);
      this.#waiters = [];
    }
  }

  /**
   * Takes over what is written. An etcd without marker and canary was never told: perhaps it was wiped, and what this process knows counts.
   */
  async #begin({ kv, publisher, ...retrying }: DrainTerm): Promise<void> {
    const { cluster, clock, log } = this.#options;
    const [key, canary] = [drainKey(cluster), drainCanary(cluster)];
    const [marker, proof] = await retry(retrying, () =>
      Promise.all([key, canary].map(async (one) => (await kv.range({ key: one })).kvs[0])),
    );
    const judged = marker && judgeDrain(key, marker.value);
    this.#refusal = judged?.ok === false ? `${key}: refused: ${judged.rejection.detail}; delete it` : undefined;
    const isLost = marker === undefined && proof === undefined && this.#moving.size > 0;
    if (isLost) await this.#write(publisher);
    else this.#take(judged?.ok ? judged.value : NO_DRAIN);
    // Anew each term, as every canary (decision 0026).
    publisher.put(canary, encodeTime(clock.wallMs()), "live");
    if (this.#moving.size > 0) log.info({ drains: this.status() }, "goes on with what was drained");
  }

  #take({ all, services }: Drain): void {
    const ramps = [...(all ? [[ALL, all] as const] : []), ...services];
    const nowMs = this.#options.clock.nowMs();
    this.#moving = new Map(ramps.map(([name, ramp]) => [name, { ramp, dueMs: nowMs + ramp.stepMs }]));
    this.#measure();
  }

  /** Steps what is due; what has come back is forgotten. Returns whether anything changed. */
  #advance(): boolean {
    const nowMs = this.#options.clock.nowMs();
    let hasChanged = false;
    for (const [name, moving] of this.#moving) {
      let { ramp, dueMs } = moving;
      for (; !hasArrived(ramp) && dueMs <= nowMs; dueMs += ramp.stepMs) ramp = stepped(ramp);
      if (ramp === moving.ramp) continue;
      hasChanged = true;
      this.#moving.set(name, { ramp, dueMs });
    }
    return hasChanged;
  }

  /** Resolves when a step is due, an order came, or the signal aborts. */
  async #somethingDue(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    if (this.#waiters.length > 0) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const due = [...this.#moving.values()].filter(({ ramp }) => !hasArrived(ramp)).map(({ dueMs }) => dueMs);
    const either = AbortSignal.any([signal, woken.signal]);
    await sleep(clock, Math.min(LONGEST_SLEEP_MS, ...due.map((dueMs) => Math.max(0, dueMs - clock.nowMs()))), either);
  }

  async #write(publisher: Publisher): Promise<void> {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const [name, { ramp }] of this.#moving) {
      if (ramp.weight === FULL_WEIGHT && ramp.target === FULL_WEIGHT) this.#moving.delete(name);
    }
    const key = drainKey(this.#options.cluster);
    if (this.#moving.size > 0) publisher.put(key, encodeDrain(this.#drain()), "live");
    else publisher.delete(key, "live");
    this.#refusal = undefined;
    this.#measure();
    try {
      await publisher.drained();
      for (const { resolve } of waiters) resolve();
    } catch (error) {
      this.#waiters.push(...waiters);
      throw error;
    }
  }

  #drain(): Drain {
    const all = this.#moving.get(ALL)?.ramp;
    const services = [...this.#moving].flatMap(([name, { ramp }]) => (name === ALL ? [] : [[name, ramp] as const]));
    return { ...(all && { all }), services: new Map(services) };
  }

  #measure(): void {
    const weight = this.#options.metrics.gauge(
      "bulkhead_export_weight",
      "Of 100, what part of their usual share of new connections this cluster's backends get.",
    );
    weight.set(this.#moving.get(ALL)?.ramp.weight ?? FULL_WEIGHT);
    const services = this.#options.metrics.gauge(
      "bulkhead_export_service_weight",
      "The same of services that are drained by name.",
      ["service"],
    );
    services.clear();
    for (const [service, { ramp }] of this.#moving) if (service !== ALL) services.set(ramp.weight, { service });
  }
}
