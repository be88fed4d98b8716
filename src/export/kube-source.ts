/**
 * The Kubernetes source: every kind is followed on its own, and what all say together is told once each was listed whole. A kind that
 * cannot be listed or watched says nothing: what it said last stays.
 */
import { Reflector } from "../follow/reflector.ts";
import type { KubeApi } from "../kube/door.ts";
import type { SourceKindStatus } from "../model/status.ts";
import type { BackoffSettings } from "../runtime/backoff.ts";
import { type Clock, Slices, sleep } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Random } from "../runtime/random.ts";
import type { KubeObjectRef } from "../wire/kube-event.ts";
import type { KubeKind } from "../wire/kube-kinds.ts";
import { type Manifest, serviceExport } from "../wire/manifest.ts";
import { KubeEvents } from "./kube-events.ts";
import type { SourceState } from "./sources.ts";
import { namespacedName } from "./world.ts";

export interface KubeSettings {
  readonly api: KubeApi;
  readonly kinds: readonly KubeKind[];
  /** Whose numbers: our own, by labels, or those that objects of `kinds` give. */
  readonly identities: "own" | "given";
  readonly pageSize: number;
  readonly progressTimeoutMs: number;
  readonly watchSeconds: number;
  /** `global`: services that other clusters take part in; the others are left to whoever serves them now, such as kube-proxy. */
  readonly services: "global" | "all";
  /** Rest between two reports: changes of that time are told together. */
  readonly settleMs: number;
  /** Whose events to make at objects that somebody should mend: the name of this process; absent: none. */
  readonly eventsAs?: string | undefined;
}

export interface KubeSourceOptions extends KubeSettings {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  readonly backoff: BackoffSettings;
  /** Told what the API server says, when that changed; the next report waits for it. */
  readonly report: (state: SourceState) => Promise<void>;
}

/** Keys of what came before, in the order of the kinds. */
interface Seen {
  readonly namespaces: ReadonlySet<string>;
  readonly exports: ReadonlySet<string>;
}

export class KubeSource {
  readonly #options: KubeSourceOptions;
  readonly #reflectors: readonly Reflector[];
  readonly #events: KubeEvents | undefined;
  #dirty = false;
  #wake = (): void => undefined;

  constructor(options: KubeSourceOptions) {
    const { log } = options;
    this.#options = options;
    this.#reflectors = options.kinds.map((kind) => {
      const changed = (): void => this.#changed();
      const faulted = (fault: string | undefined): void => {
        if (fault === undefined) log.info({ kind: kind.plural }, "the API server answers again");
        else log.warn({ problem: fault }, "not followed");
      };
      return new Reflector({ ...options, kind, changed, faulted });
    });
    const { eventsAs: instance } = options;
    const find = (plural: string, key: string): KubeObjectRef | undefined => this.#find(plural, key);
    if (instance !== undefined) this.#events = new KubeEvents({ ...options, instance, find });
  }

  /** Why something is not up to date, one line each. */
  get faults(): readonly string[] {
    return this.#reflectors.flatMap(({ fault }) => (fault === undefined ? [] : [`Kubernetes: ${fault}`]));
  }

  /** What it could not do, and does not need for the rest. */
  get notes(): readonly string[] {
    const fault = this.#events?.fault;
    const mend = 'let it "create events", or set --kube-events none';
    return fault === undefined ? [] : [`Kubernetes: no events are made: ${fault}; ${mend}`];
  }

  /** All that is wrong at present with what is published, for its users to see; told by who leads. */
  tell(problems: readonly string[]): void {
    this.#events?.tell(problems);
  }

  status(): readonly SourceKindStatus[] {
    return this.#reflectors.map(({ kind, objects, listed, ageMs, fault }) => {
      const refused = [...objects.values()].filter(({ refusal }) => refusal !== undefined).length;
      return { kind: kind.kind, objects: objects.size, refused, listed, ageMs, fault: fault ?? "" };
    });
  }

  /** Follows until the signal aborts. */
  async run(): Promise<void> {
    const reflectors = this.#reflectors.map((reflector) => reflector.run());
    await Promise.all([...reflectors, this.#tellOnAndOn(), this.#events?.run()]);
  }

  #find(plural: string, key: string): KubeObjectRef | undefined {
    const reflector = this.#reflectors.find(({ kind }) => kind.plural === plural);
    const object = reflector?.objects.get(key);
    if (reflector === undefined || object === undefined) return undefined;
    const { apiVersion, kind } = reflector.kind;
    const cut = key.indexOf("/");
    return { apiVersion, kind, namespace: key.slice(0, Math.max(0, cut)), name: key.slice(cut + 1), uid: object.uid };
  }

  #changed(): void {
    this.#dirty = true;
    this.#wake();
  }

  async #tellOnAndOn(): Promise<void> {
    const { clock, signal, settleMs } = this.#options;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      if (!this.#dirty || !this.#reflectors.every(({ listed }) => listed)) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      this.#dirty = false;
      const startMs = clock.nowMs();
      await this.#tell();
      // What takes long is told less often.
      await sleep(clock, Math.max(settleMs, clock.nowMs() - startMs), signal);
    }
  }

  async #tell(): Promise<void> {
    const { clock, report } = this.#options;
    const slices = new Slices(clock);
    const seen = { namespaces: new Set<string>(), exports: new Set<string>() };
    const groups: Manifest[][] = [];
    const problems: string[] = [];
    let complete = true;
    for (const reflector of this.#reflectors) {
      const group: Manifest[] = [];
      for (const object of reflector.objects.values()) {
        if (object.refusal !== undefined) problems.push(object.refusal);
        if (object.manifest?.kind === "Namespace") seen.namespaces.add(object.key);
        if (object.manifest?.kind === "ServiceExport") seen.exports.add(object.key);
        // Of a namespace that cannot be read nobody knows what is to be shared.
        if (object.manifest?.kind === "Refused" && object.manifest.what === "Namespace") complete = false;
        if (object.manifest !== undefined) group.push(...this.#counted(object.manifest, seen));
        await slices.rest();
      }
      groups.push(group);
    }
    this.#count();
    await report({ objects: groups, read: true, complete, problems });
  }

  #counted(manifest: Manifest, seen: Seen): readonly Manifest[] {
    const { kind } = manifest;
    // A pod may be heard of before its namespace: it waits, for the namespace's labels are part of its identity.
    if (kind === "Pod" || kind === "Pods") return seen.namespaces.has(manifest.namespace) ? [manifest] : [];
    if (kind !== "Service" || this.#options.services === "all" || serviceExport(manifest).global) return [manifest];
    return seen.exports.has(namespacedName(manifest)) ? [{ ...manifest, unserved: true }] : [];
  }

  #count(): void {
    const help = "Objects of the API server, by kind: taken over, or refused in their newest version.";
    const gauge = this.#options.metrics.gauge("bulkhead_kube_objects", help, ["kind", "state"]);
    for (const { kind, objects, refused } of this.status()) {
      gauge.set(objects - refused, { kind, state: "accepted" });
      gauge.set(refused, { kind, state: "refused" });
    }
  }
}
