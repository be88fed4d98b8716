/** The exporter over its doors: manifests on disk, the local etcd, an admin socket, probes. */
import { hostname } from "node:os";
import { join } from "node:path";
import { Expiry } from "../../access/expiry.ts";
import { FollowedEtcd } from "../../access/followed-etcd.ts";
import { openNats } from "../../access/nats.ts";
import type { ConnectBus } from "../../bus/client.ts";
import type { Disk } from "../../disk/door.ts";
import type { ConnectDocker } from "../../docker/door.ts";
import { EVENTS_PATH } from "../../events/read.ts";
import { Telling } from "../../events/telling.ts";
import { type ContainerSettings, Exporter } from "../../export/exporter.ts";
import type { KubeSettings } from "../../export/kube-source.ts";
import type { ConnectKube } from "../../kube/door.ts";
import type { ConnectEtcd } from "../../kv/client.ts";
import { parseCidr } from "../../model/address.ts";
import { DRAIN_PATH } from "../../model/status.ts";
import type { Clock } from "../../runtime/clock.ts";
import { watchLag } from "../../runtime/lag.ts";
import { createLogger } from "../../runtime/log.ts";
import { Metrics } from "../../runtime/metrics.ts";
import type { Random } from "../../runtime/random.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { serve } from "../../serve/serve.ts";
import { CILIUM_KINDS, CILIUM_SLICED_KINDS, homeByDefault, NATIVE_KINDS } from "../../wire/kube-kinds.ts";
import { drainAction } from "./admin.ts";
import { checkTogether, type ExporterSettings } from "./settings.ts";

export interface ExporterDoors {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly connect: ConnectEtcd;
  readonly docker: ConnectDocker;
  readonly connectKube: ConnectKube;
  readonly connectBus: ConnectBus;
}

/** Runs until the signal aborts. Bad input is a UserError before anything was changed. */
export async function runExporter(
  settings: ExporterSettings,
  doors: ExporterDoors,
  signal: AbortSignal,
): Promise<void> {
  const { clock, random, disk, connect } = doors;
  checkTogether(settings);
  await checkManifests(disk, settings);
  const kubernetes = await kubernetesOf(settings, doors.connectKube);
  const emitter = { cluster: settings.cluster, program: "exporter", instance: hostname() };
  const bus = await openNats({ disk, connect: doors.connectBus }, settings, emitter);
  const kv = await FollowedEtcd.open({ disk, connect, clock }, settings, signal);
  const metrics = new Metrics();
  const expiry = await Expiry.start({ disk, clock, metrics, signal, settings });
  const log = createLogger({ program: "exporter", cluster: settings.cluster, level: settings.logLevel });
  const cluster = { name: settings.cluster, id: settings.clusterId };
  const backoff = { baseMs: settings.backoffBaseMs, capMs: settings.backoffCapMs };
  const options = { ...settings, cluster, backoff, containers: containersOf(settings, doors.docker), kubernetes };
  const exporter = new Exporter({ settings: options, kv, disk, clock, random, log, metrics, signal, pid: process.pid });
  const telling = new Telling({ bus, emitter, settings, clock, random, log, metrics });
  const status = () => expiry.in(kv.in(exporter.status()));
  try {
    const served = await serve({
      status: () => ({ ...status(), ...telling.status() }),
      ready: () => exporter.ready(),
      metrics,
      adminSocket: join(settings.runDir, settings.cluster, "exporter.sock"),
      listen: settings.listen,
      actions: new Map([[DRAIN_PATH, drainAction(exporter)]]),
      streams: new Map([[EVENTS_PATH, (query, asking) => telling.lines(query, asking)]]),
    });
    metrics.collectProcess();
    watchLag(clock, metrics, signal);
    telling.start(status, signal);
    await exporter.run().finally(() => served.close());
  } finally {
    kv.close();
  }
}

async function checkManifests(disk: Disk, { manifests }: ExporterSettings): Promise<void> {
  if (manifests === undefined) return;
  await disk.list(manifests).catch((error: unknown) => {
    throw new UserError(`--manifests ${messageOf(error)}; name a directory that can be read`);
  });
}

const CILIUM_ENDPOINTS = { single: CILIUM_KINDS, slices: CILIUM_SLICED_KINDS } as const;

async function kubernetesOf(settings: ExporterSettings, connect: ConnectKube): Promise<KubeSettings | undefined> {
  const { kubeMode, kubeConfig: config, kubeContext: context } = settings;
  if (kubeMode === undefined) return undefined;
  const api = await connect({ config, context }).catch((error: unknown) => {
    const flag = config === undefined ? "--kube-mode" : "--kube-config";
    throw new UserError(`${flag} ${messageOf(error)}; name a kubeconfig file, or run in a pod with a service account`);
  });
  const kinds = kubeMode === "cilium" ? CILIUM_ENDPOINTS[settings.kubeCiliumEndpoints] : NATIVE_KINDS;
  return {
    api,
    kinds: settings.kubeNamespaces === "local" ? homeByDefault(kinds) : kinds,
    identities: kubeMode === "cilium" ? "given" : "own",
    services: settings.kubeServices,
    pageSize: settings.kubePageSize,
    progressTimeoutMs: settings.kubeProgressTimeoutMs,
    watchSeconds: settings.kubeWatchSeconds,
    settleMs: settings.kubeSettleMs,
    eventsAs: settings.kubeEvents === "warnings" ? hostname() : undefined,
  };
}

function containersOf(settings: ExporterSettings, docker: ConnectDocker): ContainerSettings | undefined {
  const { cluster, dockerSocket, dockerNode, dockerLabel, dockerServiceCidr } = settings;
  if (dockerSocket === undefined || dockerNode === undefined) return undefined;
  return {
    engine: docker(dockerSocket),
    label: dockerLabel ?? `bulkhead.cluster=${cluster}`,
    place: {
      node: dockerNode,
      serviceCidr: dockerServiceCidr === undefined ? undefined : parseCidr(dockerServiceCidr),
    },
    intervalMs: settings.dockerIntervalMs,
    timeoutMs: settings.dockerTimeoutMs,
  };
}
