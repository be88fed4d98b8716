/**
 * Says at the object what is wrong with it, as an Event of Kubernetes, which `kubectl describe` shows. Seldom, never twice at once, and
 * whatever comes of it changes nothing else: the full list is that of `bulkhead exports`.
 */
import { type KubeApi, KubeError } from "../kube/door.ts";
import { Backoff } from "../runtime/backoff.ts";
import { type Clock, encodeTime, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Counter, Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import { messageOf } from "../runtime/user-error.ts";
import { subjectOf } from "../wire/kube.ts";
import { type KubeObjectRef, kubeEvent } from "../wire/kube-event.ts";

export interface KubeEventsOptions {
  readonly api: KubeApi;
  /** Of this process: `reportingInstance`. */
  readonly instance: string;
  /** The object that is there under this key. */
  readonly find: (plural: string, key: string) => KubeObjectRef | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
}

const COMPONENT = "bulkhead-exporter";
/** An object that changes all the time is not told of each time. */
const OBJECT_REST_MS = 300_000;
/** API servers forget events after an hour. */
const REPEAT_MS = 3_000_000;
/** Events of a round, and the rest after it. */
const ROUND = 10;
const ROUND_REST_MS = 10_000;
const CREATE_TIMEOUT_MS = 10_000;
const BACKOFF = { baseMs: 10_000, capMs: 600_000 };

interface Told {
  readonly message: string;
  readonly atMs: number;
}

export class KubeEvents {
  readonly #options: KubeEventsOptions;
  readonly #backoff: Backoff;
  readonly #count: Counter;
  #problems: readonly string[] = [];
  /** By `plural/key`. */
  readonly #told = new Map<string, Told>();
  #fault: string | undefined;
  #wake = (): void => undefined;

  constructor(options: KubeEventsOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random, BACKOFF);
    const help = "Events that were made at objects of the API server, by what came of it.";
    this.#count = options.metrics.counter("bulkhead_kube_events_total", help, ["result"]);
  }

  /** Why nothing can be said, if so. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** All that is wrong at present, one line each, the most important first. */
  tell(problems: readonly string[]): void {
    this.#problems = problems;
    this.#wake();
  }

  /** Resolves when the signal aborts; never rejects. */
  async run(): Promise<void> {
    const { clock, signal } = this.#options;
    while (!signal.aborted) {
      const restMs = await this.#round();
      const woken = new AbortController();
      if (restMs === 0) this.#wake = () => woken.abort();
      await sleep(clock, restMs || ROUND_REST_MS, AbortSignal.any([signal, woken.signal]));
    }
  }

  /** Resolves to the rest after it; 0: until there is something to say. */
  async #round(): Promise<number> {
    try {
      const due = [...this.#due()].slice(0, ROUND);
      for (const [subject, { about, message }] of due) {
        await this.#say(about, message);
        this.#told.set(subject, { message, atMs: this.#options.clock.nowMs() });
      }
      this.#note(undefined);
      this.#backoff.reset();
      return due.length > 0 ? ROUND_REST_MS : 0;
    } catch (error) {
      if (!this.#options.signal.aborted) this.#note(messageOf(error));
      return this.#backoff.nextMs();
    }
  }

  /** By object, what is to be said now: the first problem of each. */
  #due(): ReadonlyMap<string, { readonly about: KubeObjectRef; readonly message: string }> {
    const nowMs = this.#options.clock.nowMs();
    const subjects = new Set<string>();
    const due = new Map<string, { readonly about: KubeObjectRef; readonly message: string }>();
    for (const problem of this.#problems) {
      const found = subjectOf(problem);
      if (found === undefined) continue;
      const { plural, key, message } = found;
      const subject = `${plural}/${key}`;
      if (subjects.has(subject)) continue;
      subjects.add(subject);
      const about = this.#options.find(plural, key);
      if (about !== undefined && this.#isDue(this.#told.get(subject), message, nowMs))
        due.set(subject, { about, message });
    }
    for (const subject of this.#told.keys()) if (!subjects.has(subject)) this.#forget(subject, nowMs);
    return due;
  }

  #isDue(told: Told | undefined, message: string, nowMs: number): boolean {
    return told === undefined || nowMs - told.atMs >= (told.message === message ? REPEAT_MS : OBJECT_REST_MS);
  }

  /** What was mended a moment ago may break again. */
  #forget(subject: string, nowMs: number): void {
    const told = this.#told.get(subject);
    if (told !== undefined && nowMs - told.atMs >= OBJECT_REST_MS) this.#told.delete(subject);
  }

  async #say(about: KubeObjectRef, message: string): Promise<void> {
    const { api, instance, clock, signal } = this.#options;
    const at = new TextDecoder().decode(encodeTime(clock.wallMs()));
    const { path, body } = kubeEvent({ about, message, at, component: COMPONENT, instance });
    const late = new AbortController();
    const timer = clock.after(CREATE_TIMEOUT_MS, () => late.abort());
    try {
      await api.create(path, body, { signal: AbortSignal.any([signal, late.signal]), heard: () => undefined });
      this.#count.add(1, { result: "made" });
    } catch (error) {
      const exists = error instanceof KubeError && error.code === "exists";
      this.#count.add(1, { result: exists ? "exists" : "failed" });
      if (!exists) throw error;
    } finally {
      timer.cancel();
    }
  }

  #note(fault: string | undefined): void {
    if (fault !== undefined && this.#fault === undefined)
      this.#options.log.warn({ problem: fault }, "no events are made");
    this.#fault = fault;
  }
}
