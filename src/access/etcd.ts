/** From an etcd config file and the certificates it names to a connection. The doors are parameters. */
import type { Disk } from "../disk/door.ts";
import type { ConnectEtcd, ConnectOptions, KvClient } from "../kv/client.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { type EtcdConfig, parseEtcdConfig } from "../wire/etcd-config.ts";

/** The file, or what it names, cannot be used: one line for the person who wrote it. */
export class AccessError extends Error {
  override readonly name = "AccessError";
  /** Someone may mend the file while we run. */
  readonly retryable = true;
}

export type Timeouts = Pick<ConnectOptions, "timeoutMs" | "keepaliveMs" | "keepaliveTimeoutMs">;

export interface AccessDoors {
  readonly disk: Disk;
  readonly connect: ConnectEtcd;
}

export interface EtcdSettings {
  readonly etcdConfig: string;
  readonly etcdTimeoutMs: number;
  readonly etcdKeepaliveMs: number;
  readonly etcdKeepaliveTimeoutMs: number;
}

/** The timeouts among the settings that every program has. */
export function timeoutsOf(settings: EtcdSettings): Timeouts {
  return {
    timeoutMs: settings.etcdTimeoutMs,
    keepaliveMs: settings.etcdKeepaliveMs,
    keepaliveTimeoutMs: settings.etcdKeepaliveTimeoutMs,
  };
}

/** Connects to the own cluster's etcd as `--etcd-config` says. Throws a UserError that names the setting. */
export async function openLocalEtcd(doors: AccessDoors, settings: EtcdSettings): Promise<KvClient> {
  try {
    const text = await doors.disk.readText(settings.etcdConfig);
    return await connectAs(doors, settings.etcdConfig, text, timeoutsOf(settings));
  } catch (error) {
    throw new UserError(`--etcd-config ${messageOf(error)}`);
  }
}

export type Connection = Omit<ConnectOptions, keyof Timeouts>;

/** What the text of a config file says, and the files that it names. Rejects with an AccessError or a DiskError. */
export async function readConnection(disk: Disk, file: string, text: string): Promise<Connection> {
  const judged = parseEtcdConfig(file, text);
  if (!judged.ok) throw new AccessError(judged.rejection.detail);
  return await credentials(disk, judged.value);
}

/** Connects as the text of a config file says. Rejects with an AccessError. */
export async function connectAs(doors: AccessDoors, file: string, text: string, timeouts: Timeouts): Promise<KvClient> {
  try {
    return doors.connect({ ...timeouts, ...(await readConnection(doors.disk, file, text)) });
  } catch (error) {
    if (error instanceof AccessError) throw error;
    throw new AccessError(`${file}: ${messageOf(error)}`);
  }
}

async function credentials(disk: Disk, config: EtcdConfig): Promise<Connection> {
  const read = (path: string | undefined) => (path === undefined ? undefined : disk.readBytes(path));
  const [ca, cert, key] = await Promise.all([read(config.caFile), read(config.certFile), read(config.keyFile)]);
  return {
    endpoints: config.endpoints,
    hostAliases: config.hostAliases,
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  };
}
