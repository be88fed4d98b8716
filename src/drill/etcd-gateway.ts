/** The two things that drills ask of an etcd, which a client file says how to reach: with the certificates that it names. */
import { readConnection } from "../access/etcd.ts";
import type { Disk } from "../disk/door.ts";
import type { ConnectOptions } from "../kv/client.ts";
import { connectEtcd } from "../kv/etcd.ts";
import { setNoSpace } from "../kv/etcd-alarm.ts";
import { messageOf } from "../runtime/user-error.ts";

/** Everything rejects with one line that names the file. */
export interface EtcdGateway {
  hasKey(file: string, key: string): Promise<boolean>;
  /** Raises or clears the alarm that an etcd raises when its quota is used up: no writes until it is cleared. Nothing is filled. */
  noSpace(file: string, raise: boolean): Promise<void>;
}

const TIMES = { timeoutMs: 5_000, keepaliveMs: 10_000, keepaliveTimeoutMs: 5_000 };

/** Files are read anew each time: certificates may have been renewed. */
export class FileGateway implements EtcdGateway {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  hasKey(file: string, key: string): Promise<boolean> {
    return this.#ask(file, async (options) => {
      const kv = connectEtcd(options);
      try {
        return (await kv.range({ key, countOnly: true })).count > 0;
      } finally {
        kv.close();
      }
    });
  }

  noSpace(file: string, raise: boolean): Promise<void> {
    return this.#ask(file, (options) => setNoSpace(options, raise));
  }

  async #ask<T>(file: string, ask: (options: ConnectOptions) => Promise<T>): Promise<T> {
    try {
      return await ask({ ...TIMES, ...(await readConnection(this.#disk, file, await this.#disk.readText(file))) });
    } catch (error) {
      throw new Error(`etcd of ${file}: ${messageOf(error)}`);
    }
  }
}
