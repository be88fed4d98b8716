/** One agent: tables, compilers, ingest and datapath, over doors that are given. Whoever gives other doors has the same agent. */

import { DatapathCounters } from "../../datapath/counters.ts";
import { Datapath, pollCounters } from "../../datapath/datapath.ts";
import { Ingest } from "../../ingest/ingest.ts";
import type { Kernel, KernelMap, LoadedObject } from "../../kernel/door.ts";
import type { KvClient } from "../../kv/client.ts";
import { BACKEND_MAP } from "../../maps/backend-map.ts";
import { IPCACHE_MAP } from "../../maps/ipcache-map.ts";
import { LAYOUT_VERSION } from "../../maps/layout.ts";
import { METRICS_MAP } from "../../maps/metrics-map.ts";
import { IPCACHE_OBJECT, type ObjectLayout, SOCK_LB_OBJECT } from "../../maps/objects.ts";
import { SERVICE_MAP } from "../../maps/service-map.ts";
import type { AgentStatus } from "../../model/status.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import type { Random } from "../../runtime/random.ts";
import type { Readiness } from "../../serve/serve.ts";
import { AgentTables } from "../../tables/agent-tables.ts";
import { AgentCompilers } from "./compilers.ts";
import type { AgentSettings } from "./settings.ts";

export interface AgentDoors {
  readonly kernel: Kernel;
  readonly kv: KvClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Longest wait before the maps are tried again: new changes wait behind it. */
const RECONCILE_CAP_MS = 1_000;

export class Agent {
  readonly #settings: AgentSettings;
  readonly #doors: AgentDoors;
  readonly #objects: readonly LoadedObject[];
  readonly #compilers: AgentCompilers;
  readonly #ingest: Ingest;
  readonly #datapath: Datapath;
  readonly #startMs: number;

  private constructor(
    settings: AgentSettings,
    doors: AgentDoors,
    objects: readonly LoadedObject[],
    signal: AbortSignal,
  ) {
    this.#settings = settings;
    this.#doors = doors;
    this.#objects = objects;
    this.#startMs = doors.clock.nowMs();
    const tables = new AgentTables({ name: settings.cluster, id: settings.clusterId });
    this.#compilers = new AgentCompilers(tables);
    const backoff = { baseMs: settings.backoffBaseMs, capMs: settings.backoffCapMs };
    this.#datapath = new Datapath({
      ...doors,
      ...settings,
      signal,
      backoff: { ...backoff, capMs: Math.min(backoff.capMs, RECONCILE_CAP_MS) },
      maps: this.#maps(),
      compilers: this.#compilers,
      attach: () => this.#attach(),
    });
    this.#ingest = new Ingest({
      ...doors,
      ...settings,
      signal,
      backoff,
      tables,
      changed: () => this.#datapath.changed(),
    });
  }

  /** Loads the objects and takes over the pinned maps. Rejects with a KernelError; then nothing stays open. */
  static async start(settings: AgentSettings, doors: AgentDoors, signal: AbortSignal): Promise<Agent> {
    const objects: LoadedObject[] = [];
    try {
      for (const layout of [SOCK_LB_OBJECT, IPCACHE_OBJECT]) objects.push(await load(layout, settings, doors.kernel));
      const agent = new Agent(settings, doors, objects, signal);
      await agent.#datapath.adopt();
      return agent;
    } catch (error) {
      for (const object of objects) object.close();
      throw error;
    }
  }

  /** Resolves when the signal aborts. Pins stay: services keep working without the agent. */
  async run(signal: AbortSignal): Promise<void> {
    const map = this.#maps().get(METRICS_MAP.name);
    if (map !== undefined) {
      const options = { ...this.#doors, signal, intervalMs: this.#settings.countersIntervalMs };
      pollCounters(new DatapathCounters(map, this.#doors.metrics), options);
    }
    try {
      await Promise.all([this.#ingest.run(), this.#datapath.run()]);
    } finally {
      for (const object of this.#objects) object.close();
    }
  }

  ready(): Readiness {
    const { adopted, attached, agrees, agreed } = this.#datapath.status();
    const { connected, listed, synced } = this.#ingest.status();
    if (!listed && adopted > 0)
      return { ready: true, detail: "serving what the maps held; the local etcd has not answered yet" };
    if (!listed) return { ready: false, detail: "the local etcd has not answered yet" };
    if (!attached) return { ready: false, detail: "the own cluster's services are not complete in the local etcd yet" };
    if (!agreed) return { ready: false, detail: "the maps do not agree with the tables yet" };
    if (!connected) return { ready: true, detail: "serving what is known; the local etcd does not answer" };
    if (!agrees) return { ready: true, detail: "some changes are not in the maps yet" };
    return { ready: true, detail: synced ? "synced" : "some clusters are not synced yet" };
  }

  status(): AgentStatus {
    const { cluster, node } = this.#settings;
    const datapath = this.#datapath.status();
    const { connected, synced, ageMs, problems } = this.#ingest.status();
    const { maps, adopted, written, removed } = datapath;
    return {
      program: "agent",
      cluster,
      node,
      pid: process.pid,
      uptimeMs: this.#doors.clock.nowMs() - this.#startMs,
      connected,
      synced,
      ...(ageMs !== undefined && { ageMs }),
      maps,
      adopted,
      written,
      removed,
      services: this.#compilers.services(),
      problems: [...problems, ...datapath.problems, ...this.#capacityProblems(), ...this.#compilers.problems()],
    };
  }

  #capacityProblems(): readonly string[] {
    const asked = capacitiesOf(this.#settings);
    return [...this.#maps().values()]
      .filter(({ name, maxEntries }) => (asked[name] ?? maxEntries) !== maxEntries)
      .map(({ name, maxEntries }) => {
        return `map ${name}: pinned with room for ${maxEntries} entries, not for ${asked[name]} as asked; docs/MAPS.md says how to change it`;
      });
  }

  #maps(): ReadonlyMap<string, KernelMap> {
    return new Map(this.#objects.flatMap(({ maps }) => [...maps]));
  }

  async #attach() {
    const outcomes = [];
    for (const object of this.#objects) outcomes.push(await object.attachCgroup(this.#settings.cgroup));
    return Object.assign({}, ...outcomes);
  }
}

function capacitiesOf({ servicesMax, backendsMax, ipcacheMax }: AgentSettings): Readonly<Record<string, number>> {
  return { [SERVICE_MAP.name]: servicesMax, [BACKEND_MAP.name]: backendsMax, [IPCACHE_MAP.name]: ipcacheMax };
}

function load(layout: ObjectLayout, settings: AgentSettings, kernel: Kernel): Promise<LoadedObject> {
  return kernel.load({
    objectPath: `${settings.objects}/${layout.file}`,
    pinDirectory: settings.bpfDir,
    layoutVersion: LAYOUT_VERSION,
    layouts: layout.maps,
    enums: layout.enums,
    maxEntries: capacitiesOf(settings),
  });
}
