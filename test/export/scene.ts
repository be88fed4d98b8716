/** An exporter over a memory disk and a memory etcd on a virtual clock. */
import assert from "node:assert/strict";
import type { DiskErrorCode } from "../../src/disk/door.ts";
import { faultyDisk } from "../../src/disk/faulty.ts";
import { type MemoryDisk, memoryDisk } from "../../src/disk/memory.ts";
import type { DockerEngine } from "../../src/docker/door.ts";
import { MemoryDocker } from "../../src/docker/memory.ts";
import { Exporter, type ExporterSettings } from "../../src/export/exporter.ts";
import type { KubeApi } from "../../src/kube/door.ts";
import type { KeyValue, KvClient } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { parseCidr } from "../../src/model/address.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { drainCanary } from "../../src/wire/keys.ts";
import { CILIUM_KINDS, CILIUM_SLICED_KINDS, NATIVE_KINDS } from "../../src/wire/kube-kinds.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

export const OSAKA = { name: "osaka", id: 7 };

const UNSTEADY: ReadonlySet<string> = new Set(["cilium/.heartbeat", drainCanary(OSAKA.name)]);

const SETTINGS: ExporterSettings = {
  cluster: OSAKA,
  manifests: "/m",
  manifestIntervalMs: 1_000,
  leaseTtlSeconds: 6,
  heartbeatIntervalMs: 10_000,
  heartbeatLeaseTtlSeconds: 30,
  auditIntervalMs: 300_000,
  identityKeepMs: 1_800_000,
  pageSize: 3,
  maxTxnsInFlight: 16,
  backoff: { baseMs: 100, capMs: 2_000 },
};

const KINDS = {
  native: { kinds: NATIVE_KINDS, identities: "own" },
  cilium: { kinds: CILIUM_KINDS, identities: "given" },
  "cilium-slices": { kinds: CILIUM_SLICED_KINDS, identities: "given" },
} as const;

export interface Running {
  readonly exporter: Exporter;
  /** Winds down in order, as after SIGTERM. */
  stop(): Promise<void>;
  /** As after SIGKILL: its calls fail and nothing is revoked; its lease runs out by itself. */
  kill(): Promise<void>;
}

export class Scene {
  readonly clock = new VirtualClock();
  readonly etcd = new MemoryEtcd({ clock: this.clock });
  readonly disk: MemoryDisk;
  readonly docker = new MemoryDocker();
  readonly diskFaults = new Map<string, DiskErrorCode>();
  readonly metrics = new Metrics();
  readonly #running = new Set<Running>();

  constructor(files: Readonly<Record<string, string>> = {}) {
    this.disk = memoryDisk(files);
  }

  start(settings: Partial<ExporterSettings> = {}): Running {
    const stop = new AbortController();
    const kv = this.etcd.client();
    const exporter = new Exporter({
      settings: { ...SETTINGS, ...settings },
      kv,
      disk: faultyDisk(this.disk, (_operation, path) => this.diskFaults.get(path)),
      clock: this.clock,
      random: seededRandom(7),
      log: silentLogger,
      metrics: this.metrics,
      signal: stop.signal,
      pid: 1,
    });
    const done = exporter.run();
    const end = async (): Promise<void> => {
      stop.abort();
      await this.clock.settle(done);
      kv.close();
      this.#running.delete(running);
    };
    const running: Running = {
      exporter,
      stop: end,
      kill: async () => {
        kv.close();
        await end();
      },
    };
    this.#running.add(running);
    return running;
  }

  /** Starts and waits until everything is published. */
  async synced(settings: Partial<ExporterSettings> = {}): Promise<Running> {
    const running = this.start(settings);
    await this.clock.advance(1_000);
    assert.equal(running.exporter.status().synced, true, "synced");
    return running;
  }

  /** Settings under which containers of the label are pods of osk-w1. */
  containers(engine: DockerEngine = this.docker): Partial<ExporterSettings> {
    const place = { node: "osk-w1", serviceCidr: parseCidr("10.140.0.0/16") };
    const label = "bulkhead.cluster=osaka";
    return { containers: { engine, label, place, intervalMs: 30_000, timeoutMs: 5_000 } };
  }

  /** Settings under which an API server says it all. */
  kubernetes(
    api: KubeApi,
    services: "global" | "all" = "all",
    mode: keyof typeof KINDS = "native",
  ): Partial<ExporterSettings> {
    const limits = { pageSize: 3, progressTimeoutMs: 180_000, watchSeconds: 300, settleMs: 200 };
    return { manifests: undefined, kubernetes: { api, ...KINDS[mode], services, ...limits } };
  }

  async end(): Promise<void> {
    for (const running of [...this.#running]) await running.stop();
  }

  client(): KvClient {
    return this.etcd.client();
  }

  /** All keys but leader locks, in order. */
  async keys(): Promise<ReadonlyMap<string, KeyValue>> {
    const { kvs } = await this.clock.settle(this.client().range({ key: "\0", rangeEnd: "\xff" }));
    return new Map(kvs.filter(({ key }) => !key.includes("/locks/")).map((found) => [found.key, found]));
  }

  async text(key: string): Promise<string | undefined> {
    const found = (await this.keys()).get(key);
    return found && new TextDecoder().decode(found.value);
  }

  /** Revision of the last change of each key but the heartbeat, and the canary of drains, which each term writes anew. */
  async revisions(): Promise<ReadonlyMap<string, number>> {
    const keys = [...(await this.keys()).values()].filter(({ key }) => !UNSTEADY.has(key));
    return new Map(keys.map(({ key, modRevision }) => [key, modRevision]));
  }
}

const NAMESPACE = `
apiVersion: v1
kind: Namespace
metadata: {name: billing, labels: {team: fin}}
`;

const NODE = `
apiVersion: v1
kind: Node
metadata: {name: osk-w1, labels: {kubernetes.io/hostname: osk-w1}}
spec: {podCIDRs: [10.77.3.0/24]}
status: {addresses: [{type: Hostname, address: osk-w1}, {type: InternalIP, address: 192.0.2.14}]}
`;

const SERVICE = `
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: billing, annotations: {service.cilium.io/global: "true"}, labels: {team: fin}}
spec:
  clusterIP: 10.140.9.3
  selector: {app: ledger}
  ports: [{name: http, port: 80, targetPort: web}]
`;

export interface PodWishes {
  readonly labels?: string;
  readonly ip?: string;
  readonly status?: string;
  readonly namespace?: string;
}

export function podText(
  name: string,
  { labels = "app: ledger", ip = "10.77.3.81", status = "", namespace = "billing" }: PodWishes = {},
): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {${labels}}}
spec:
  nodeName: osk-w1
  containers: [{name: main, image: none, command: [sleep], ports: [{name: web, containerPort: 8080}]}]
status: {podIPs: [{ip: "${ip}"}], hostIP: 192.0.2.14, ${status}}
`;
}

export function joined(...documents: readonly string[]): string {
  return documents.join("---");
}

/** One node, one namespace, one global service, one pod behind it. */
export const BILLING: Readonly<Record<string, string>> = {
  "/m/00-base.yaml": joined(NAMESPACE, NODE),
  "/m/10-ledger.yaml": joined(SERVICE, podText("ledger-0")),
};
export const LEDGER_SERVICE = SERVICE;
