/** What the etcd itself says: version, whether we may read, whether its writer lives, and whose it is. */
import { type KvClient, KvError, type KvErrorCode, prefixEnd, type RangeResponse } from "../kv/client.ts";
import type { ClusterConfig } from "../model/resource.ts";
import { messageOf } from "../runtime/user-error.ts";
import { judgeClusterConfig } from "../wire/cluster-config.ts";
import { canaryKey, canaryPrefix, clusterConfigKey, HEARTBEAT_KEY } from "../wire/keys.ts";
import { quote } from "../wire/refusal.ts";
import { RESOURCES, type Resource } from "../wire/resources.ts";
import type { Door } from "./connect.ts";
import { Fault, type Patience, type Steps, within } from "./steps.ts";

const DENIED =
  "its user may not read that: at a remote it needs Cilium's role `remote` (cilium/.heartbeat, cilium/state/, its cluster config and canaries; `bulkhead etcd init --peer` there gives it), at home one that may write too";
const UNAUTHENTICATED =
  "the etcd asks who we are: name cert-file and key-file, of a certificate whose common name is a user of that etcd";
const SILENT = "it takes connections and does not answer: is it stuck, without a leader, or no etcd at all?";
const DOWN = "is it an etcd, has it a leader, and should the endpoint be https://? Its log says more";

const MENDS: Readonly<Partial<Record<KvErrorCode, string>>> = {
  denied: DENIED,
  unauthenticated: UNAUTHENTICATED,
  deadline: SILENT,
};

/** With the kind of failure in front: denied, unauthenticated and unavailable are mended by different people. */
function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error;
  if (!(error instanceof KvError)) return new Fault(messageOf(error), DOWN);
  return new Fault(`${error.code}: ${messageOf(error)}`, MENDS[error.code] ?? DOWN);
}

async function told<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    throw faultOf(error);
  }
}

/** Reading the heartbeat is the proof that we are let in; the version needs other rights, and is told when they are there. */
export async function greet(kv: KvClient, { label }: Door, steps: Steps): Promise<RangeResponse | undefined> {
  const ask = async () => {
    const heartbeat = await kv.range({ key: HEARTBEAT_KEY });
    const version = await kv.status().then(
      (status) => `version ${status.version}`,
      (error: unknown) => `version not told (${messageOf(error)})`,
    );
    return { heartbeat, version };
  };
  const answer = await steps.run(
    `etcd ${label}`,
    DOWN,
    () => told(ask),
    ({ version, heartbeat: { clusterId, revision } }) =>
      `lets us read, ${version}, etcd cluster ${clusterId.toString(16)}, revision ${revision}`,
  );
  return answer?.heartbeat;
}

const NO_WRITER = "is its exporter running? It writes the heartbeat, which vanishes when nobody does";

/** @param waitMs how long to wait until it moves; absent: its presence is enough. */
export async function checkHeartbeat(
  kv: KvClient,
  found: RangeResponse,
  { clock, waitMs }: Pick<Patience, "clock"> & { readonly waitMs: number | undefined },
  steps: Steps,
): Promise<void> {
  const [heartbeat] = found.kvs;
  if (!heartbeat) return steps.failed("heartbeat", "missing: nobody writes into this etcd", NO_WRITER);
  const there = `there, written at ${quote(new TextDecoder().decode(heartbeat.value))} by its writer's clock`;
  if (waitMs === undefined) return steps.ok("heartbeat", `${there}; --watch-heartbeat waits until it moves`);
  const startMs = clock.nowMs();
  const wait = () =>
    within(
      { clock, timeoutMs: waitMs },
      NO_WRITER,
      told(() => nextBeat(kv, found.revision)),
    );
  const seen = (): string => `${there}, and again after ${Math.round((clock.nowMs() - startMs) / 1000)} s`;
  await steps.run("heartbeat", NO_WRITER, wait, seen);
}

function nextBeat(kv: KvClient, revision: number): Promise<void> {
  return new Promise((resolve, reject) => {
    kv.watch(
      { key: HEARTBEAT_KEY, startRevision: revision + 1 },
      {
        created: () => undefined,
        progress: () => undefined,
        events: (events) => {
          if (events.some(({ type }) => type === "put")) resolve();
        },
        ended: ({ cause, detail }) => reject(new Fault(`the watch ended, ${cause}: ${detail}`, DOWN)),
      },
    );
  });
}

/** Resolves to the cluster's config, undefined when there is none to use. */
export function checkConfig(kv: KvClient, cluster: string, steps: Steps): Promise<ClusterConfig | undefined> {
  const key = clusterConfigKey(cluster);
  const read = async (): Promise<ClusterConfig> => {
    const [found] = (await kv.range({ key })).kvs;
    if (!found) {
      const mend = `is ${cluster} its name (the file must be named so), and is its exporter running?`;
      throw new Fault(`there is no ${key}`, mend);
    }
    const judged = judgeClusterConfig(key, found.value);
    if (judged.ok) return judged.value;
    throw new Fault(judged.rejection.detail, "its exporter must write another config");
  };
  return steps.run("cluster config", DOWN, () => told(read), configText);
}

function configText(config: ClusterConfig): string {
  const can = [
    config.syncedCanaries ? "canaries" : "no canaries",
    ...(config.cached ? ["state in cache form"] : []),
    ...(config.serviceExportsEnabled === undefined ? [] : [`service exports ${config.serviceExportsEnabled}`]),
    ...(config.endpointSlicesExportMode === "" ? [] : [config.endpointSlicesExportMode]),
  ];
  return `id ${config.id}: ${can.join(", ")}`;
}

function offered(config: ClusterConfig): readonly Resource[] {
  return RESOURCES.filter(({ offers }) => offers(config));
}

const kindsText = (kinds: readonly Resource[]): string => kinds.map(({ kind }) => kind).join(", ");

export async function checkCanaries(kv: KvClient, cluster: string, config: ClusterConfig, steps: Steps): Promise<void> {
  if (!config.syncedCanaries) return steps.note("canaries", "it writes none: its listings are believed as they are");
  const read = async (): Promise<string> => {
    const prefix = canaryPrefix(cluster);
    const { kvs } = await kv.range({ key: prefix, rangeEnd: prefixEnd(prefix), keysOnly: true });
    const there = new Set(kvs.map(({ key }) => key));
    const canary = (one: Resource): string => canaryKey(cluster, config.cached ? one.cacheCanary : one.stateCanary);
    const missing = offered(config).filter((one) => !there.has(canary(one)));
    if (missing.length === 0) return `all there: ${kindsText(offered(config))}`;
    const mend = "its exporter has not written everything yet: wait, then look at its log";
    throw new Fault(`missing: ${kindsText(missing)}`, mend);
  };
  await steps.run(
    "canaries",
    DOWN,
    () => told(read),
    (text) => text,
  );
}

/** The right to read the state itself is another one than that to read the keys above. */
export async function checkState(kv: KvClient, cluster: string, config: ClusterConfig, steps: Steps): Promise<void> {
  const count = async (one: Resource): Promise<string> => {
    const prefix = config.cached ? one.cachePrefix(cluster) : one.statePrefix(cluster);
    const range = await kv.range({ key: prefix, rangeEnd: prefixEnd(prefix), countOnly: true });
    return `${range.count} ${one.kind}`;
  };
  const read = () => Promise.all(offered(config).map(count));
  await steps.run(
    "state",
    DOWN,
    () => told(read),
    (counts) => counts.join(", "),
  );
}
