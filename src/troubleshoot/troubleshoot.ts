/** The way from this machine to the etcds of a configuration directory, tried step by step. Reads only; needs no running program. */
import { connectAs } from "../access/etcd.ts";
import type { Disk } from "../disk/door.ts";
import type { ConnectEtcd } from "../kv/client.ts";
import { type Cluster, clusterNameFault } from "../model/cluster.ts";
import type { Findings } from "../model/troubleshoot.ts";
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/user-error.ts";
import { type EtcdConfig, isEtcdConfig, parseEtcdConfig } from "../wire/etcd-config.ts";
import { type Credentials, checkCertificates } from "./certificates.ts";
import { askEtcd, type SeenIds } from "./etcd.ts";
import { Fault, Steps } from "./steps.ts";
import { endpointOf, reachTcp, resolveHost, shakeTls } from "./wire.ts";

export interface TroubleshootOptions {
  readonly disk: Disk;
  readonly connect: ConnectEtcd;
  readonly clock: Clock;
  /** Of each step. */
  readonly timeoutMs: number;
  readonly own?: Cluster;
}

/** File name -> path of every cluster's file. A UserError when the directory cannot be read. */
export async function remoteFiles(
  disk: Disk,
  directory: string,
  own: string | undefined,
): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  try {
    const { files: found, unreadable } = await disk.list(directory);
    for (const { name, bytes } of found) {
      if (name !== own && isEtcdConfig(new TextDecoder().decode(bytes))) files.set(name, `${directory}/${name}`);
    }
    for (const { name } of unreadable)
      if (clusterNameFault(name) === undefined) files.set(name, `${directory}/${name}`);
    return files;
  } catch (error) {
    throw new UserError(
      `--config-dir ${error instanceof Error ? error.message : error}; name the directory of the remotes' files`,
    );
  }
}

/** @param cluster undefined: the local etcd, of which no cluster config is expected under a name that we know. */
export async function troubleshoot(
  name: string,
  path: string,
  cluster: string | undefined,
  seen: SeenIds,
  options: TroubleshootOptions,
): Promise<Findings> {
  const steps = new Steps();
  const { disk, clock } = options;
  const file = await steps.run(
    `file ${path}`,
    "make the file readable to this user",
    () => readConfig(disk, path, cluster),
    ({ config }) => config.endpoints.join(", "),
  );
  const later = "certificates, connection, etcd";
  if (!file) steps.notRun(later, "the file says how to get there");
  else {
    const credentials = await checkCertificates(file.config, disk, clock, steps);
    if (!credentials) steps.notRun("connection, etcd", "its certificates cannot be used");
    else if (!(await reachAny(file.config, credentials, steps, options)))
      steps.notRun("etcd", "no endpoint can be reached");
    else await ask(path, file.text, cluster, seen, steps, options);
  }
  return { remote: name, steps: steps.list };
}

async function readConfig(
  disk: Disk,
  path: string,
  cluster: string | undefined,
): Promise<{ readonly text: string; readonly config: EtcdConfig }> {
  const fault = cluster === undefined ? undefined : clusterNameFault(cluster);
  if (fault !== undefined)
    throw new Fault(`${cluster} is no cluster name: it ${fault}`, "name the file as the cluster is named");
  const text = await disk.readText(path);
  const judged = parseEtcdConfig(path, text);
  if (!judged.ok)
    throw new Fault(
      judged.rejection.detail,
      "write it as etcd client YAML: endpoints, trusted-ca-file, cert-file, key-file",
    );
  return { text, config: judged.value };
}

/** Tries every endpoint; whether one of them at least can be talked to. */
async function reachAny(
  config: EtcdConfig,
  credentials: Credentials,
  steps: Steps,
  options: TroubleshootOptions,
): Promise<boolean> {
  let reached = false;
  for (const endpoint of config.endpoints.map(endpointOf)) {
    for (const address of await resolveHost(endpoint, config, steps)) {
      if (!(await reachTcp(address, endpoint, options.timeoutMs, steps))) continue;
      if (!endpoint.secure) reached = true;
      else if (await shakeTls(address, endpoint, credentials, { ...options, steps })) reached = true;
    }
  }
  return reached;
}

async function ask(
  path: string,
  text: string,
  cluster: string | undefined,
  seen: SeenIds,
  steps: Steps,
  { disk, connect, timeoutMs, own }: TroubleshootOptions,
): Promise<void> {
  const timeouts = { timeoutMs, keepaliveMs: 10_000, keepaliveTimeoutMs: timeoutMs };
  const kv = await connectAs({ disk, connect }, path, text, timeouts);
  try {
    await askEtcd(kv, cluster, own, seen, steps);
  } finally {
    kv.close();
  }
}
