/** One node's agent: ingest to tables, compilers, datapath and endpoints. Every door is a parameter. */

import { DatapathCounters } from "../../datapath/counters.ts";
import { Datapath, pollCounters } from "../../datapath/datapath.ts";
import { enforces, heldBySnapshot } from "../../datapath/restore.ts";
import { SnapshotStore } from "../../datapath/snapshot-store.ts";
import { SocketCloser } from "../../datapath/socket-closer.ts";
import { VerdictCounters } from "../../datapath/verdict-counters.ts";
import type { Disk } from "../../disk/door.ts";
import { Endpoints } from "../../endpoints/endpoints.ts";
import { Flows } from "../../flows/flows.ts";
import { Ingest } from "../../ingest/ingest.ts";
import { readPeerDetails } from "../../ingest/peers.ts";
import type { Kernel, Network, NodeSockets } from "../../kernel/door.ts";
import type { KvClient } from "../../kv/client.ts";
import { sameClusters } from "../../lb/select.ts";
import { BACKEND_MAP } from "../../maps/backend-map.ts";
import { CONNECTION_MAP } from "../../maps/connection-map.ts";
import { decodeEndpointValue, ENDPOINT_FLAGS, ENDPOINT_MAP } from "../../maps/endpoint-map.ts";
import { EVENT_RING } from "../../maps/flow-map.ts";
import { encodeIpcacheKey, IPCACHE_MAP } from "../../maps/ipcache-map.ts";
import { METRICS_MAP } from "../../maps/metrics-map.ts";
import { REVERSE_NAT_MAP } from "../../maps/reverse-nat-map.ts";
import { VERDICT_COUNTER_MAP } from "../../maps/verdict-counter-map.ts";
import { parseAddress } from "../../model/address.ts";
import { type ExplainAnswer, parseExplainQuery } from "../../model/explain.ts";
import type { HealthStatus } from "../../model/health.ts";
import type { AgentStatus, MapsAnswer, PeersAnswer, Readiness, SnapshotStatus } from "../../model/status.ts";
import { ConnectionCounts } from "../../probe/connections.ts";
import type { Dialer } from "../../probe/dialer.ts";
import { demotionsOf, Probes } from "../../probe/probes.ts";
import { duration } from "../../report/text.ts";
import { type Clock, every } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import type { Random } from "../../runtime/random.ts";
import { UserError } from "../../runtime/user-error.ts";
import { AgentTables } from "../../tables/agent-tables.ts";
import { compareMaps } from "./compare-maps.ts";
import { AgentCompilers } from "./compilers.ts";
import { Explainer } from "./explain.ts";
import { measureHealth } from "./health-gauges.ts";
import { compiledMaps, kernelMaps } from "./judgement.ts";
import { AgentNames } from "./names.ts";
import { AgentObjects } from "./objects.ts";
import { measurePeers } from "./peer-gauges.ts";
import { measurePolicies } from "./policy-gauges.ts";
import type { AgentSettings } from "./settings.ts";
import { measureWeights } from "./weight-gauges.ts";

export interface AgentDoors {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly sockets: NodeSockets;
  readonly kv: KvClient;
  readonly disk: Disk;
  readonly dialer: Dialer;
  readonly clock: Clock;
  /** Wall clock milliseconds at which the kernel's boot clock stood at 0. */
  readonly bootWallMs: () => number;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Longest wait before the maps are tried again: new changes wait behind it. So with devices: what is not attached is not enforced. */
const RECONCILE_CAP_MS = 1_000;

export class Agent {
  readonly #settings: AgentSettings;
  readonly #doors: AgentDoors;
  readonly #objects: AgentObjects;
  readonly #compilers: AgentCompilers;
  readonly #ingest: Ingest;
  readonly #datapath: Datapath;
  readonly #closer: SocketCloser;
  readonly #endpoints: Endpoints;
  readonly #probes: Probes;
  readonly #names: AgentNames;
  readonly #tables: AgentTables;
  /** Whether what the kernel reports can be named. */
  #named = false;
  readonly #flows: Flows;
  readonly #explainer: Explainer;
  readonly #counters: DatapathCounters;
  readonly #verdicts: VerdictCounters;
  readonly #connections: ConnectionCounts;
  readonly #startMs: number;
  readonly #snapshots: SnapshotStore;
  /** Wall clock time of the snapshot that this agent began with, and whether policies are enforced by it. */
  #restored: { readonly takenAtMs: number; readonly enforces: boolean } | undefined;

  private constructor(settings: AgentSettings, doors: AgentDoors, objects: AgentObjects, signal: AbortSignal) {
    const { cluster, node } = settings;
    this.#settings = settings;
    this.#doors = doors;
    this.#objects = objects;
    this.#startMs = doors.clock.nowMs();
    const tables = new AgentTables({ name: cluster, id: settings.clusterId });
    this.#tables = tables;
    const compilers = new AgentCompilers(tables, {
      ...settings,
      defaultLocalCluster: settings.policyDefaultLocalCluster,
      loadBalancing: { algorithm: settings.lbAlgorithm, tableSize: settings.maglevTableSize },
    });
    this.#compilers = compilers;
    this.#names = new AgentNames(tables, compilers.policy);
    this.#counters = new DatapathCounters(objects.map(METRICS_MAP), doors.metrics);
    this.#verdicts = new VerdictCounters(objects.map(VERDICT_COUNTER_MAP), doors.metrics);
    const backoff = { baseMs: settings.backoffBaseMs, capMs: settings.backoffCapMs };
    const quick = { ...backoff, capMs: Math.min(backoff.capMs, RECONCILE_CAP_MS) };
    const parts = { ...doors, ...settings, signal };
    this.#snapshots = new SnapshotStore({ ...doors, cluster, node, directory: settings.snapshotDir });
    this.#closer = new SocketCloser({ ...doors, reverseNat: objects.map(REVERSE_NAT_MAP), view: tables });
    this.#datapath = new Datapath({
      ...parts,
      watchers: new Map([[BACKEND_MAP.name, this.#closer.watcher]]),
      snapshots: this.#snapshots,
      backoff: quick,
      maps: objects.maps,
      families: objects.families,
      compilers,
      attach: () => objects.attachCgroup(),
      reconciled: () => this.#reconciled(),
    });
    const written = {
      ...{ disk: doors.disk, directory: settings.snapshotDir, cluster, node },
      ...{ saveIntervalMs: settings.snapshotIntervalMs, auditMs: settings.resumeAuditMs },
    };
    this.#ingest = new Ingest({ ...parts, backoff, tables, written, changed: () => this.#changed() });
    this.#endpoints = new Endpoints({
      ...parts,
      backoff: quick,
      programs: objects,
      found: ({ devices, ownAddresses }) => {
        const known = new Set([...ownAddresses, ...(settings.nodeAddresses ?? [])]);
        tables.setNetwork({ devices, ownAddresses: [...known].sort() });
        this.#datapath.changed();
      },
    });
    const nameOf = (id: number): string => tables.clusterName(id) ?? `cluster id ${id}`;
    this.#connections = new ConnectionCounts(objects.map(CONNECTION_MAP), doors.metrics, nameOf);
    const connections = () => this.#connections.read();
    this.#probes = new Probes({ ...parts, view: tables, connections, probed: () => this.#probed() });
    const onUnknown = (address: string): void => this.#recheck(address);
    const named = (): boolean => this.#named;
    this.#flows = new Flows({ ...parts, ring: objects.ring(EVENT_RING), names: this.#names, named, onUnknown });
    this.#explainer = new Explainer({
      cluster,
      node,
      view: tables,
      policy: compilers.policy,
      names: this.#names,
      compiled: compiledMaps(compilers.desired, compilers.desiredFamilies),
      kernel: kernelMaps(objects.maps, objects.families),
    });
  }

  /** Loads the objects and takes over the pinned maps. Rejects with a KernelError; then nothing stays open. */
  static async start(settings: AgentSettings, doors: AgentDoors, signal: AbortSignal): Promise<Agent> {
    const objects = await AgentObjects.load(settings, doors.kernel);
    try {
      const agent = new Agent(settings, doors, objects, signal);
      await agent.#adopt();
      if (await agent.#knowsEndpoints()) agent.#endpoints.open();
      await agent.#endpoints.look();
      return agent;
    } catch (error) {
      objects.close();
      throw error;
    }
  }

  /** Resolves when the signal aborts. Pins stay: services and policies keep working without the agent. */
  async run(signal: AbortSignal): Promise<void> {
    const { countersIntervalMs } = this.#settings;
    const options = { ...this.#doors, signal, intervalMs: countersIntervalMs };
    pollCounters(this.#counters, options);
    pollCounters(this.#verdicts, options);
    pollCounters(this.#connections, options);
    every(this.#doors.clock, countersIntervalMs, signal, () => this.#measure());
    this.#flows.start(signal);
    try {
      const parts = [this.#ingest, this.#datapath, this.#endpoints].map((part) => part.run());
      await Promise.all([...parts, this.#probes.run(signal), this.#closer.run(signal)]);
    } finally {
      this.#objects.close();
      await this.#snapshots.settled();
    }
  }

  /** What the kernel holds; after a boot, what the snapshot says. */
  async #adopt(): Promise<void> {
    const saved = await this.#snapshots.load(this.#objects.layouts);
    const { log } = this.#doors;
    for (const refusal of this.#snapshots.refusals) log.warn({ refusal }, "a snapshot is not used");
    const snapshot = this.#objects.isAttached() ? undefined : saved;
    const { devices } = this.#doors.network.read();
    const held = snapshot && heldBySnapshot(snapshot, devices);
    if (!(await this.#datapath.adopt(held)) || snapshot === undefined || held === undefined) return;
    this.#restored = { takenAtMs: snapshot.takenAtMs, enforces: enforces(held) };
    log.info(this.#snapshotStatus(), "maps are rebuilt from a snapshot");
  }

  ready(): Readiness {
    const { adopted, attached, agrees, agreed } = this.#datapath.status();
    const { connected, listed, synced } = this.#ingest.status();
    if (!listed && this.#restored) return { ready: attached && agreed, detail: this.#restoredText() };
    if (!listed && adopted > 0)
      return { ready: true, detail: "stale: serving what the maps held; the local etcd has not answered yet" };
    if (!listed) return { ready: false, detail: "the local etcd has not answered yet" };
    if (!attached) return { ready: false, detail: "the own cluster's services are not complete in the local etcd yet" };
    if (!agreed) return { ready: false, detail: "the maps do not agree with the tables yet" };
    if (!connected) return { ready: true, detail: "stale: serving what is known; the local etcd does not answer" };
    if (!agrees) return { ready: true, detail: "some changes are not in the maps yet" };
    return { ready: true, detail: synced ? "synced" : "some clusters are not synced yet" };
  }

  status(): AgentStatus {
    const { cluster, node } = this.#settings;
    const datapath = this.#datapath.status();
    const { connected, synced, ageMs, first } = this.#ingest.status();
    const { maps, adopted, written, removed } = datapath;
    const drains = this.#tables.drains();
    return {
      program: "agent",
      cluster,
      node,
      pid: process.pid,
      uptimeMs: this.#doors.clock.nowMs() - this.#startMs,
      readiness: this.ready(),
      connected,
      synced,
      ...(ageMs !== undefined && { ageMs }),
      snapshot: this.#snapshotStatus(),
      ...(first && { firstView: first }),
      peers: this.#ingest.peers(),
      health: this.health(),
      maps,
      adopted,
      written,
      removed,
      services: this.#compilers.services(),
      ...(drains.length > 0 && { drains }),
      endpoints: this.#compilers.policy.endpointStatus(),
      policies: this.#compilers.policy.policyStatus(),
      drops: this.#verdicts.drops(),
      audited: this.#verdicts.audited(),
      flowsLost: this.#counters.total("events-lost"),
      problems: this.problems(),
    };
  }

  /** For a person to mend, a line each. */
  problems(): readonly string[] {
    return [
      ...this.#ingest.status().problems,
      ...this.#datapath.status().problems,
      ...this.#closer.problems(),
      ...this.#endpoints.status().problems,
      ...this.#overlooked(),
      ...this.#objects.problems(),
      ...this.#snapshots.problems(),
      ...this.#compilers.problems(),
    ];
  }

  /** What this node makes of each remote now. */
  health(): HealthStatus {
    return this.#probes.status(this.#ingest.peers());
  }

  /** Devices of the own cluster's pods that are not looked at, a line each. */
  #overlooked(): readonly string[] {
    return this.#endpoints.status().unmatched.flatMap(({ name, addresses }) => {
      const owners = addresses.map((address) => this.#names.owner(address));
      const owner = owners.find((one) => one?.cluster === this.#settings.cluster && one.pod !== "");
      if (owner === undefined) return [];
      return [
        `device ${name} of ${owner.pod}: --endpoint-devices or --endpoint-cidrs leaves it out, so no policy is enforced there; add it`,
      ];
    });
  }

  /** Answers EXPLAIN_PATH. Throws a UserError when the query is not one. */
  explain(query: ReadonlyMap<string, string>): Promise<ExplainAnswer> {
    const question = parseExplainQuery(query, this.#settings.cluster);
    if (question === undefined) {
      throw new UserError(
        "from and to must be pods (namespace/pod, cluster/namespace/pod) or addresses, port like 80/TCP",
      );
    }
    return this.#explainer.explain(question);
  }

  /** Answers PEERS_PATH, out of the local etcd. */
  async peers(): Promise<PeersAnswer> {
    const { cluster, node } = this.#settings;
    return { cluster, node, peers: this.#ingest.peers(), ...(await readPeerDetails(this.#doors.kv)) };
  }

  /** Answers MAPS_PATH. */
  async maps(): Promise<MapsAnswer> {
    const { cluster, node } = this.#settings;
    const { maps, families } = this.#objects;
    const { desired, desiredFamilies } = this.#compilers;
    return { cluster, node, maps: await compareMaps({ maps, families, desired, desiredFamilies }) };
  }

  /** What FLOWS_PATH streams. */
  flows(query: ReadonlyMap<string, string>, signal: AbortSignal): AsyncIterable<unknown> {
    return this.#flows.stream(query, signal);
  }

  /**
   * Whether an agent before this one knew this node's endpoints, so that devices may be attached at once. Entries that only deny prove nothing:
   * they are written for devices that are not attached yet, and an agent that never got further must not cut them off when it starts again.
   */
  async #knowsEndpoints(): Promise<boolean> {
    const map = this.#objects.map(ENDPOINT_MAP);
    const { count, values } = await map.dump();
    return Array.from({ length: count }, (_, index) => {
      return decodeEndpointValue(values.subarray(index * map.valueSize, (index + 1) * map.valueSize));
    }).some(({ flags }) => (flags & ENDPOINT_FLAGS.denied) === 0);
  }

  #snapshotStatus(): SnapshotStatus {
    const { ageMs, refusals } = this.#snapshots;
    const restored = this.#restored;
    return {
      ...(ageMs !== undefined && { ageMs }),
      ...(restored && { restoredAgeMs: Math.max(0, this.#doors.clock.wallMs() - restored.takenAtMs) }),
      refused: refusals,
    };
  }

  #restoredText(): string {
    const { restoredAgeMs = 0 } = this.#snapshotStatus();
    return `stale: serving from snapshot of ${duration(restoredAgeMs)}; the local etcd has not answered yet`;
  }

  /** What the etcd says of a new pod, and its device: both are wanted in the same compile. */
  #changed(): void {
    this.#endpoints.hurry();
    this.#datapath.changed();
  }

  #reconciled(): void {
    const { started } = this.#compilers.policy;
    this.#named ||= started;
    if (started || this.#restored?.enforces) this.#endpoints.open();
    this.#closer.changed();
  }

  /** Which remotes are demoted follows the rounds of probes; the words for it follow what the mirror says meanwhile too. */
  #probed(): void {
    const before = this.#compilers.demotions;
    const demotions = demotionsOf(this.health());
    this.#compilers.demotions = demotions;
    if (!sameClusters(before, demotions)) this.#datapath.changed();
  }

  /** The kernel met an address whose identity it does not know: perhaps its entry is gone, perhaps the watch lost something. */
  #recheck(address: string): void {
    const bytes = parseAddress(address);
    if (bytes !== undefined) this.#datapath.recheck(IPCACHE_MAP.name, encodeIpcacheKey({ address: bytes }));
    this.#ingest.recheck();
  }

  #measure(): void {
    measurePolicies(this.#doors.metrics, this.#compilers.policy);
    measurePeers(this.#doors.metrics, this.#ingest.peers());
    measureHealth(this.#doors.metrics, this.health());
    const { ageMs } = this.#snapshots;
    const age = this.#doors.metrics.gauge("bulkhead_snapshot_age_seconds", "Since the last snapshot was taken.");
    if (ageMs !== undefined) age.set(ageMs / 1000);
    measureWeights(this.#doors.metrics, this.#tables);
  }
}
