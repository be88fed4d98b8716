/**
 * The own etcd, as files say that may be replaced: new certificates are taken without a restart. Calls go to the newest client at once; watches of the one
 * before end when it is closed, and whoever follows goes on where it was.
 */
import { createHash } from "node:crypto";
import type {
  CallOptions,
  KvClient,
  RangeRequest,
  RangeResponse,
  ServerStatus,
  TxnRequest,
  TxnResponse,
  Watch,
  WatchRequest,
  WatchSink,
} from "../kv/client.ts";
import type { ProgramStatus } from "../model/status.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import {
  type AccessDoors,
  type Connection,
  type EtcdSettings,
  openLocalEtcd,
  readConnection,
  timeoutsOf,
} from "./etcd.ts";
import { checkPair, readPem } from "./pem.ts";

export interface FollowedDoors extends AccessDoors {
  readonly clock: Clock;
}

export interface FollowedSettings extends EtcdSettings {
  readonly certificatesIntervalMs: number;
}

function stampOf(connection: Connection): string {
  const { ca, cert, key, ...said } = connection;
  const hash = createHash("sha256").update(JSON.stringify(said));
  for (const bytes of [ca, cert, key]) hash.update(`${bytes?.length}`).update(bytes ?? "");
  return hash.digest("hex");
}

/** Files are replaced one after the other: what does not fit together is not all there yet. */
function checkFits({ etcdConfig }: EtcdSettings, { ca, cert, key }: Connection): void {
  if (ca) readPem(`the authority of ${etcdConfig}`, ca);
  const what = `the certificate of ${etcdConfig}`;
  if (cert && key) checkPair(what, readPem(what, cert)[0], key);
}

export class FollowedEtcd implements KvClient {
  readonly #doors: FollowedDoors;
  readonly #settings: FollowedSettings;
  #client: KvClient;
  #stamp: string;
  #fault: string | undefined;
  #looking = false;
  #closed = false;

  private constructor(doors: FollowedDoors, settings: FollowedSettings, client: KvClient, stamp: string) {
    this.#doors = doors;
    this.#settings = settings;
    this.#client = client;
    this.#stamp = stamp;
  }

  /** Follows its files until `signal` aborts. Rejects with a UserError that names the setting. */
  static async open(doors: FollowedDoors, settings: FollowedSettings, signal: AbortSignal): Promise<FollowedEtcd> {
    const client = await openLocalEtcd(doors, settings);
    const followed = new FollowedEtcd(doors, settings, client, stampOf(await readNow(doors, settings)));
    every(doors.clock, settings.certificatesIntervalMs, signal, () => void followed.look());
    return followed;
  }

  /** Why newer files are not taken, put into a status. */
  in<T extends Pick<ProgramStatus, "problems">>(status: T): T {
    return this.#fault === undefined ? status : { ...status, problems: [...status.problems, this.#fault] };
  }

  /** Takes what the files say now; does not reject: what cannot be used changes nothing. */
  async look(): Promise<void> {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    try {
      const connection = await readNow(this.#doors, this.#settings);
      if (stampOf(connection) !== this.#stamp) this.#swap(connection);
      this.#fault = undefined;
    } catch (error) {
      this.#fault = `--etcd-config cannot be read anew, the connection stays as it is: ${messageOf(error)}`;
    } finally {
      this.#looking = false;
    }
  }

  #swap(connection: Connection): void {
    const { clock, connect } = this.#doors;
    checkFits(this.#settings, connection);
    const before = this.#client;
    this.#client = connect({ ...connection, ...timeoutsOf(this.#settings) });
    this.#stamp = stampOf(connection);
    // By then every call of it was answered, or given up.
    clock.after(this.#settings.etcdTimeoutMs, () => before.close());
    if (this.#closed) this.#client.close();
  }

  range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse> {
    return this.#client.range(request, options);
  }

  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    return this.#client.txn(request, options);
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    return this.#client.watch(request, sink);
  }

  grantLease(ttlSeconds: number): Promise<{ readonly leaseId: bigint; readonly ttlSeconds: number }> {
    return this.#client.grantLease(ttlSeconds);
  }

  renewLease(leaseId: bigint): Promise<number> {
    return this.#client.renewLease(leaseId);
  }

  revokeLease(leaseId: bigint): Promise<void> {
    return this.#client.revokeLease(leaseId);
  }

  status(): Promise<ServerStatus> {
    return this.#client.status();
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }
}

async function readNow({ disk }: FollowedDoors, { etcdConfig }: FollowedSettings): Promise<Connection> {
  return await readConnection(disk, etcdConfig, await disk.readText(etcdConfig));
}
