/** What the etcd itself says: version, whether we may read, whether its writer lives, and whose it is. */
import { type KvClient, KvError, prefixEnd } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import { messageOf } from "../runtime/user-error.ts";
import { judgeClusterConfig } from "../wire/cluster-config.ts";
import { canaryKey, canaryPrefix, clusterConfigKey, HEARTBEAT_KEY } from "../wire/keys.ts";
import { RESOURCES } from "../wire/resources.ts";
import { Fault, type Steps } from "./steps.ts";

function mendOf(error: unknown): string {
  if (error instanceof KvError && error.code === "denied") {
    return "its user may not read that: give it Cilium's role `remote` (reads cilium/.heartbeat, cilium/state/, its cluster config and canaries)";
  }
  if (error instanceof KvError && error.code === "unauthenticated") {
    return "the etcd asks who we are: name cert-file and key-file, whose common name is a user of that etcd";
  }
  return "is it an etcd, and does its log say why it refuses?";
}

async function told<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    throw error instanceof Fault ? error : new Fault(messageOf(error), mendOf(error));
  }
}

/** Cluster ids that were found so far, by name: two of one id cannot be in one mesh. */
export type SeenIds = Map<string, number>;

export async function askEtcd(
  kv: KvClient,
  cluster: string | undefined,
  own: Cluster | undefined,
  seen: SeenIds,
  steps: Steps,
): Promise<void> {
  try {
    const { version } = await kv.status();
    steps.note("etcd", `version ${version}`);
  } catch (error) {
    steps.note("etcd", `its version is not told to us (${messageOf(error)}); that needs more rights than reading`);
  }
  const heartbeat = await steps.run(
    "read",
    "see above",
    () => told(() => kv.range({ key: HEARTBEAT_KEY })),
    ({ clusterId, revision }) => `allowed, etcd cluster ${clusterId.toString(16)}, revision ${revision}`,
  );
  if (!heartbeat) return steps.notRun("heartbeat, cluster config, canaries", "nothing can be read");
  if (heartbeat.kvs.length > 0)
    steps.note("heartbeat", "is there; whether it moves, `bulkhead status` of a running mirror says");
  else steps.note("heartbeat", "missing: nobody writes into this etcd now, or its exporter has just begun");
  if (cluster === undefined) return;
  const config = await steps.run(
    "cluster config",
    "see above",
    () => told(() => readConfig(kv, cluster, own, seen)),
    ({ id, cached }) => `id ${id}${cached ? ", shows its state in cache form" : ""}`,
  );
  if (!config) return steps.notRun("canaries", "without a cluster config nothing is mirrored");
  await steps.run(
    "canaries",
    "see above",
    () => told(() => readCanaries(kv, cluster, config)),
    (text) => text,
  );
}

async function readConfig(kv: KvClient, cluster: string, own: Cluster | undefined, seen: SeenIds) {
  const key = clusterConfigKey(cluster);
  const [found] = (await kv.range({ key })).kvs;
  if (!found)
    throw new Fault(
      `there is no ${key}`,
      `is ${cluster} its name (the file must be named so), and is its exporter running?`,
    );
  const judged = judgeClusterConfig(key, found.value);
  if (!judged.ok) throw new Fault(judged.rejection.detail, "its exporter must write another config");
  const { id } = judged.value;
  const holder = own?.id === id ? own.name : [...seen].find(([, other]) => other === id)?.[0];
  if (holder !== undefined)
    throw new Fault(`id ${id} is that of ${holder} too`, "give one of the two clusters another id");
  seen.set(cluster, id);
  return judged.value;
}

async function readCanaries(
  kv: KvClient,
  cluster: string,
  config: Awaited<ReturnType<typeof readConfig>>,
): Promise<string> {
  if (!config.syncedCanaries) return "it writes none: its listings are believed as they are";
  const prefix = canaryPrefix(cluster);
  const { kvs } = await kv.range({ key: prefix, rangeEnd: prefixEnd(prefix) });
  const there = new Set(kvs.map(({ key }) => key));
  const offered = RESOURCES.filter(({ offers }) => offers(config));
  const missing = offered.filter(
    (kind) => !there.has(canaryKey(cluster, config.cached ? kind.cacheCanary : kind.stateCanary)),
  );
  if (missing.length === 0) return `all there: ${offered.map(({ kind }) => kind).join(", ")}`;
  const names = missing.map(({ kind }) => kind).join(", ");
  throw new Fault(`missing: ${names}`, "its exporter has not written everything yet: wait, then look at its log");
}
