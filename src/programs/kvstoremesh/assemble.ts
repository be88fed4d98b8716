/** Puts the mirror together: doors in, a running program out. */
import { hostname } from "node:os";
import { timeoutsOf } from "../../access/etcd.ts";
import { Expiry } from "../../access/expiry.ts";
import { FollowedEtcd } from "../../access/followed-etcd.ts";
import { openNats } from "../../access/nats.ts";
import type { ConnectBus } from "../../bus/client.ts";
import type { Disk } from "../../disk/door.ts";
import type { Seen } from "../../events/observer.ts";
import { EVENTS_PATH } from "../../events/read.ts";
import { Telling } from "../../events/telling.ts";
import type { ConnectEtcd } from "../../kv/client.ts";
import { type MeasuredCall, MeasuredKv } from "../../kv/measured.ts";
import { CILIUM_PREFIX } from "../../mirror/gauges.ts";
import { Mirror } from "../../mirror/mirror.ts";
import type { NewBreaker } from "../../mirror/remote.ts";
import type { Readiness } from "../../model/status.ts";
import { collectInThread, PAGE_PATH, PageFeed } from "../../page/feed.ts";
import { pageFiles } from "../../page/files.ts";
import type { BackoffSettings } from "../../runtime/backoff.ts";
import { Breaker } from "../../runtime/breaker.ts";
import type { Clock } from "../../runtime/clock.ts";
import { watchLag } from "../../runtime/lag.ts";
import { createLogger } from "../../runtime/log.ts";
import { DURATION_BUCKETS, Metrics } from "../../runtime/metrics.ts";
import type { Random } from "../../runtime/random.ts";
import { messageOf, UserError } from "../../runtime/user-error.ts";
import { type ServeOptions, serve } from "../../serve/serve.ts";
import { ADMIN_DOCS, adminActions, adminAnswers } from "./admin.ts";
import { API_DOCS, apiAnswers, pageDocs } from "./api.ts";
import { type MirrorSettings, NO_API } from "./settings.ts";

export interface Doors {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly connect: ConnectEtcd;
  readonly connectBus: ConnectBus;
}

/** Resolves when `signal` aborts. Rejects with a UserError when a setting does not hold. */
export async function assemble(settings: MirrorSettings, doors: Doors, signal: AbortSignal): Promise<void> {
  const { clock, random, disk, connect } = doors;
  const log = createLogger({ program: "kvstoremesh", cluster: settings.cluster, level: settings.logLevel });
  const metrics = new Metrics();
  await checkDirectory(settings, disk);
  const emitter = { cluster: settings.cluster, program: "kvstoremesh", instance: hostname() };
  const bus = await openNats({ disk, connect: doors.connectBus }, settings, emitter);
  const telling = new Telling({ bus, emitter, settings, clock, random, log, metrics });
  const observe = callObserver(metrics);
  const own = await FollowedEtcd.open(doors, settings, signal);
  const local = new MeasuredKv(own, clock, observe);
  const otherEtcds = (): Promise<readonly string[]> => remoteFiles(settings, disk);
  const expiry = await Expiry.start({ disk, clock, metrics, signal, settings, otherEtcds });
  const backoff = { baseMs: settings.backoffBaseMs, capMs: settings.retryCapMs };
  const mirror = new Mirror({
    own: { name: settings.cluster, id: settings.clusterId },
    ownCidrs: settings.ownCidrs ?? [],
    local,
    connect: (options) => new MeasuredKv(connect(options), clock, observe),
    disk,
    configDirectory: settings.configDir,
    configIntervalMs: settings.configIntervalMs,
    leaseTtlSeconds: settings.leaseTtlSeconds,
    gradesIntervalMs: settings.gradesIntervalMs,
    newBreaker: newBreakerOf(settings, doors),
    limits: { ...settings, backoff, redial: breakerBackoff(settings) },
    timeouts: timeoutsOf(settings),
    clock,
    random,
    log,
    metrics,
    signal,
  });
  const status = () => expiry.in(own.in(mirror.status()));
  const served = await serve({
    status: () => ({ ...status(), ...telling.status(), pid: process.pid }),
    ready: () => readiness(mirror, local, settings),
    metrics,
    adminSocket: `${settings.runDir}/${settings.cluster}/kvstoremesh.sock`,
    listen: settings.listen,
    answers: adminAnswers(mirror),
    streams: new Map([[EVENTS_PATH, (query, asking) => telling.lines(query, asking)]]),
    actions: adminActions(mirror),
    ...openDoor(settings, mirror, clock, metrics),
  });
  metrics.collectProcess();
  watchLag(clock, metrics, signal);
  telling.start(() => seen(mirror, status().problems), signal);
  await mirror.run();
  local.close();
  await served.close();
}

async function remoteFiles({ configDir }: MirrorSettings, disk: Disk): Promise<readonly string[]> {
  const { files } = await disk.list(configDir);
  return files.map(({ name }) => `${configDir}/${name}`);
}

/** The API and the page, unless neither is wanted, and what is said of all routes. */
function openDoor(
  settings: MirrorSettings,
  mirror: Mirror,
  clock: Clock,
  metrics: Metrics,
): Pick<ServeOptions, "api" | "docs"> {
  const {
    apiListen: listen,
    runDir,
    cluster,
    pageIntervalMs: intervalMs,
    pageMaxSubscribers: maxSubscribers,
  } = settings;
  const docs = [...API_DOCS, ...ADMIN_DOCS];
  const start = collectInThread({ runDir, cluster, intervalMs });
  const feed = new PageFeed({ start, maxSubscribers, againAfterMs: intervalMs, clock, metrics });
  if (listen === NO_API) return { docs: new Map(docs) };
  const files = pageFiles();
  const feeds = new Map([[PAGE_PATH, (asking: AbortSignal) => feed.subscribe(asking)]]);
  return {
    api: { listen, answers: apiAnswers(mirror), files, feeds },
    docs: new Map([...docs, ...pageDocs(files)]),
  };
}

/** What becomes events. A line about a remote is not a problem of the program: remotes have kinds of events of their own. */
function seen(mirror: Mirror, problems: readonly string[]): Seen {
  const { leader, remotes } = mirror.status();
  const own = problems.filter((line) => !line.startsWith("remote "));
  return { leader, remotes, rejections: mirror.firstRejections(), problems: own };
}

/** Of the local etcd and of remotes alike. */
function callObserver(metrics: Metrics): (call: MeasuredCall) => void {
  const durations = metrics.histogram(
    `${CILIUM_PREFIX}kvstore_operations_duration_seconds`,
    "Calls to etcds, the own one and those of remotes.",
    DURATION_BUCKETS,
    ["scope", "kind", "action", "outcome"],
  );
  return ({ durationMs, ...labels }) => durations.observe(durationMs / 1000, labels);
}

/** What the mirror says of itself, and that nobody can do anything without the local etcd. */
function readiness(mirror: Mirror, { silence }: MeasuredKv, { unreadyAfterMs }: MirrorSettings): Readiness {
  const readiness = mirror.ready();
  if (!readiness.ready || silence === undefined || silence.ms < unreadyAfterMs) return readiness;
  return {
    ready: false,
    detail: `the local etcd has not answered for ${Math.round(silence.ms / 1000)} s: ${silence.line}`,
  };
}

function breakerBackoff({ backoffBaseMs, backoffCapMs }: MirrorSettings): BackoffSettings {
  return { baseMs: backoffBaseMs, capMs: backoffCapMs };
}

function newBreakerOf(settings: MirrorSettings, { clock, random }: Doors): NewBreaker {
  const backoff = breakerBackoff(settings);
  const failureThreshold = settings.breakerFailures;
  return (name, action) => new Breaker({ name, clock, random, failureThreshold, backoff }, action);
}

async function checkDirectory({ configDir }: MirrorSettings, disk: Disk): Promise<void> {
  try {
    await disk.list(configDir);
  } catch (error) {
    throw new UserError(`--config-dir ${messageOf(error)}; make the directory, or name another`);
  }
}
