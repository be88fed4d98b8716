/** From settings and the files they name to a connection to NATS. The doors are parameters. */
import type { BusClient, BusSecrets, ConnectBus } from "../bus/client.ts";
import type { Disk } from "../disk/door.ts";
import type { Emitter } from "../model/event.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";

export interface NatsSettings {
  readonly natsUrl?: string | undefined;
  readonly natsCaFile?: string | undefined;
  readonly natsCertFile?: string | undefined;
  readonly natsKeyFile?: string | undefined;
  readonly natsUser?: string | undefined;
  readonly natsPasswordFile?: string | undefined;
  readonly natsCredsFile?: string | undefined;
  readonly natsTimeoutMs: number;
  readonly natsPingIntervalMs: number;
}

export interface NatsDoors {
  readonly disk: Disk;
  readonly connect: ConnectBus;
}

/**
 * Undefined when no `--nats-url` is given. Throws a UserError that names the setting. Files are read once now, so that what is wrong is said at start,
 * and again for each connection.
 */
export async function openNats(
  doors: NatsDoors,
  settings: NatsSettings,
  { cluster, program, instance }: Emitter,
): Promise<BusClient | undefined> {
  checkTogether(settings);
  if (settings.natsUrl === undefined) return undefined;
  const { natsTimeoutMs: timeoutMs, natsPingIntervalMs: pingIntervalMs, natsUser } = settings;
  const secrets = (): Promise<BusSecrets> => readSecrets(doors.disk, settings);
  await secrets();
  const servers = settings.natsUrl.split(",");
  const name = `bulkhead ${cluster}/${program} ${instance}`;
  try {
    return doors.connect({ servers, name, timeoutMs, pingIntervalMs, secrets, ...(natsUser && { user: natsUser }) });
  } catch (error) {
    throw new UserError(`--nats-url ${messageOf(error)}`);
  }
}

function checkTogether(settings: NatsSettings): void {
  const { natsUrl, natsCaFile, natsCertFile, natsKeyFile, natsUser, natsPasswordFile, natsCredsFile } = settings;
  const refuse = (line: string): never => {
    throw new UserError(line);
  };
  const secret = natsCaFile ?? natsCertFile ?? natsKeyFile ?? natsUser ?? natsPasswordFile ?? natsCredsFile;
  if (natsUrl === undefined && secret !== undefined) refuse("--nats-url is missing, but how to reach it is said");
  if (!natsCertFile !== !natsKeyFile) refuse("--nats-cert-file and --nats-key-file belong together: give both or none");
  if (!natsUser !== !natsPasswordFile)
    refuse("--nats-user and --nats-password-file belong together: give both or none");
  if (natsUser && natsCredsFile) refuse("--nats-user and --nats-creds-file: give one of them");
  const certificate = natsCaFile ?? natsCertFile;
  if (certificate && !natsUrl?.startsWith("tls:")) refuse("--nats-url must be tls:// where certificates are given");
}

async function readSecrets(disk: Disk, settings: NatsSettings): Promise<BusSecrets> {
  const read = async (flag: string, path: string | undefined): Promise<Uint8Array | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await disk.readBytes(path);
    } catch (error) {
      throw new UserError(`${flag} ${messageOf(error)}`);
    }
  };
  const ca = await read("--nats-ca-file", settings.natsCaFile);
  const cert = await read("--nats-cert-file", settings.natsCertFile);
  const key = await read("--nats-key-file", settings.natsKeyFile);
  const credentials = await read("--nats-creds-file", settings.natsCredsFile);
  const password = await read("--nats-password-file", settings.natsPasswordFile);
  return {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(credentials && { credentials }),
    // The newline that every editor leaves is not part of it.
    ...(password && { password: new TextDecoder().decode(password).replace(/\r?\n$/, "") }),
  };
}
