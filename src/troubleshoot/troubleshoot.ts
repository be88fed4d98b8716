/** The way from this machine to the etcds of a configuration directory, tried step by step. Reads only; needs no running program. */
import { readRemoteFile } from "../access/remote-files.ts";
import type { Disk } from "../disk/door.ts";
import type { ConnectEtcd, KvClient, RangeResponse } from "../kv/client.ts";
import { clusterNameFault } from "../model/cluster.ts";
import type { Findings } from "../model/troubleshoot.ts";
import type { Clock } from "../runtime/clock.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { type EtcdConfig, parseEtcdConfig } from "../wire/etcd-config.ts";
import { type Credentials, checkCertificates } from "./certificates.ts";
import { type Door, type Endpoint, endpointOf, reachTcp, resolveDoors } from "./connect.ts";
import { checkCanaries, checkConfig, checkHeartbeat, checkState, greet } from "./etcd.ts";
import { type Identified, judgeIds, judgeOwnId } from "./ids.ts";
import { Fault, Steps } from "./steps.ts";
import { shakeTls } from "./tls.ts";

export interface TroubleshootOptions {
  readonly disk: Disk;
  readonly connect: ConnectEtcd;
  readonly clock: Clock;
  /** Of each step. */
  readonly timeoutMs: number;
  /** How long to wait until a heartbeat moves; absent: not at all. */
  readonly heartbeatWaitMs?: number;
  /** The own cluster's name and id, as far as they are known: no remote may have its id. */
  readonly own?: { readonly name?: string; readonly id?: number };
}

/** What to look at. */
export interface Places {
  /** File of the local etcd. */
  readonly local?: string;
  /** Cluster -> path of its file. */
  readonly remotes: ReadonlyMap<string, string>;
}

interface Answer {
  readonly kv: KvClient;
  readonly heartbeat: RangeResponse;
}

const CONTENT = ["heartbeat", "cluster config", "canaries", "state"];

/** File name -> path of every remote's file, also of those that cannot be used. A UserError when the directory cannot be read. */
export async function remoteFiles(
  disk: Disk,
  directory: string,
  own: string | undefined,
): Promise<ReadonlyMap<string, string>> {
  try {
    const { files, unreadable } = await disk.list(directory);
    const path = (name: string): string => `${directory.replace(/\/+$/, "")}/${name}`;
    const remotes = files.filter(({ name, bytes }) => readRemoteFile(own ?? "", name, name, bytes).kind !== "ignored");
    const unread = unreadable.filter(({ name }) => name !== own && clusterNameFault(name) === undefined);
    const names = [...remotes, ...unread].map(({ name }) => name).sort();
    return new Map(names.map((name) => [name, path(name)]));
  } catch (error) {
    throw new UserError(`--config-dir ${messageOf(error)}; name the directory of the remotes' files`);
  }
}

/** Looks at all places at the same time; findings in their order, `local` first. */
export async function troubleshoot(
  { local, remotes }: Places,
  options: TroubleshootOptions,
): Promise<readonly Findings[]> {
  const { own } = options;
  const [atHome, found] = await Promise.all([
    local === undefined ? undefined : lookAt("local", local, own?.name, options),
    Promise.all([...remotes].map(([name, path]) => lookAt(name, path, name, options))),
  ]);
  if (atHome) judgeOwnId(atHome, own?.id);
  judgeIds(found, { name: own?.name ?? "the own cluster", id: own?.id ?? atHome?.id });
  return [...(atHome ? [atHome] : []), ...found].map(({ name, steps }) => ({ remote: name, steps: steps.list }));
}

/** @param cluster whose etcd it should be; undefined: of the local etcd, when nobody said whose it is. */
async function lookAt(
  name: string,
  path: string,
  cluster: string | undefined,
  options: TroubleshootOptions,
): Promise<Identified> {
  const steps = new Steps();
  const config = await steps.run(
    `file ${path}`,
    "make the file readable to this user",
    () => readConfig(options.disk, path, cluster),
    ({ endpoints, ignored }) =>
      `${endpoints.join(", ")}${ignored.length === 0 ? "" : `; without effect: ${ignored.join(", ")}`}`,
  );
  if (!config) {
    steps.notRun(["certificates", "connection", "etcd", ...CONTENT], "the file does not say how to get there");
    return { name, id: undefined, steps };
  }
  const answers = await knock(config, steps, options);
  try {
    const id = await readContent(answers, cluster, steps, options);
    return { name, id, steps };
  } finally {
    for (const { kv } of answers) kv.close();
  }
}

async function readConfig(disk: Disk, path: string, cluster: string | undefined): Promise<EtcdConfig> {
  const fault = cluster === undefined ? undefined : clusterNameFault(cluster);
  if (fault !== undefined) {
    throw new Fault(`${cluster} is no cluster's name: it ${fault}`, "name the file as the cluster is named");
  }
  const judged = parseEtcdConfig(path, await disk.readText(path));
  if (judged.ok) return judged.value;
  const mend = "write it as etcd client YAML: endpoints, trusted-ca-file, cert-file, key-file";
  throw new Fault(judged.rejection.detail, mend);
}

/** Tries every address of every endpoint, and asks each etcd that is there. The clients are the caller's to close. */
async function knock(config: EtcdConfig, steps: Steps, options: TroubleshootOptions): Promise<readonly Answer[]> {
  const credentials = await checkCertificates(config, options.disk, options.clock, steps);
  const tried = config.endpoints.map(endpointOf).map(async (endpoint) => {
    const own = new Steps();
    return { own, answers: await knockAt(endpoint, config, credentials, own, options) };
  });
  const all = await Promise.all(tried);
  for (const { own } of all) steps.append(own);
  return all.flatMap(({ answers }) => answers);
}

async function knockAt(
  endpoint: Endpoint,
  config: EtcdConfig,
  credentials: Credentials | undefined,
  steps: Steps,
  options: TroubleshootOptions,
): Promise<readonly Answer[]> {
  const doors = await resolveDoors(endpoint, config, options, steps);
  const layers = endpoint.secure ? ["TLS", "etcd"] : ["etcd"];
  if (doors.length === 0) {
    steps.notRun(
      ["TCP", ...layers].map((layer) => `${layer} ${endpoint.host}:${endpoint.port}`),
      "its name has no address",
    );
  }
  const answers: Answer[] = [];
  for (const door of doors) {
    const later = layers.map((layer) => `${layer} ${door.label}`);
    if (!(await reachTcp(door, options, steps))) steps.notRun(later, "there is no connection");
    else if (!credentials) steps.notRun(later, "the certificates cannot be used");
    else if (endpoint.secure && !(await shakeTls(door, credentials, options, steps))) {
      steps.notRun(later.slice(1), "TLS failed");
    } else answers.push(...(await ask(door, credentials, steps, options)));
  }
  return answers;
}

/** The etcd behind one door. A client of its own, so that an answer is this one's and no other member's. */
async function ask(
  door: Door,
  credentials: Credentials,
  steps: Steps,
  { connect, timeoutMs }: TroubleshootOptions,
): Promise<readonly Answer[]> {
  const { endpoint, address } = door;
  const kv = connect({
    endpoints: [endpoint.url],
    ...(endpoint.host !== address && { hostAliases: [{ hostname: endpoint.host, ips: [address] }] }),
    ...credentials,
    timeoutMs,
    keepaliveMs: 10_000,
    keepaliveTimeoutMs: timeoutMs,
  });
  const heartbeat = await greet(kv, door, steps);
  if (heartbeat) return [{ kv, heartbeat }];
  kv.close();
  return [];
}

/** Once for every etcd: the members of one hold the same. Resolves to the cluster's id, of the first one. */
async function readContent(
  answers: readonly Answer[],
  cluster: string | undefined,
  steps: Steps,
  options: TroubleshootOptions,
): Promise<number | undefined> {
  const etcds = [...new Map(answers.toReversed().map((one) => [one.heartbeat.clusterId, one])).values()].reverse();
  if (etcds.length === 0) steps.notRun(CONTENT, "no etcd lets us read");
  if (etcds.length > 1) {
    const ids = etcds.map(({ heartbeat }) => heartbeat.clusterId.toString(16)).join(", ");
    steps.note(
      "etcd clusters",
      `${ids}: its endpoints are ${etcds.length} etcds apart from each other, looked at in this order`,
    );
  }
  const ids: (number | undefined)[] = [];
  for (const answer of etcds) ids.push(await readOne(answer, cluster, steps, options));
  return ids.find((id) => id !== undefined);
}

async function readOne(
  { kv, heartbeat }: Answer,
  cluster: string | undefined,
  steps: Steps,
  { clock, heartbeatWaitMs }: TroubleshootOptions,
): Promise<number | undefined> {
  await checkHeartbeat(kv, heartbeat, { clock, waitMs: heartbeatWaitMs }, steps);
  if (cluster === undefined) {
    steps.notRun(CONTENT.slice(1), "--cluster does not say whose etcd it is");
    return undefined;
  }
  const config = await checkConfig(kv, cluster, steps);
  if (!config) {
    steps.notRun(CONTENT.slice(2), "without a cluster config nothing is mirrored");
    return undefined;
  }
  await checkCanaries(kv, cluster, config, steps);
  await checkState(kv, cluster, config, steps);
  return config.id;
}
