/** What stands between a simulated process and an etcd: a wire that can be cut for good (the process is dead) or be late. */
import { type KvClient, KvError, type TxnRequest, type TxnResponse } from "../../src/kv/client.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import type { Random } from "../../src/runtime/random.ts";

/** Changes a client into a bad one: the mutants of test/sim/mutants.ts. */
export type Warp = (client: KvClient) => KvClient;

export const sameClient: Warp = (client) => client;

/** A client that passes everything on; override what differs. */
export function passing(client: KvClient): KvClient {
  return {
    range: (...args) => client.range(...args),
    txn: (...args) => client.txn(...args),
    watch: (...args) => client.watch(...args),
    grantLease: (...args) => client.grantLease(...args),
    renewLease: (...args) => client.renewLease(...args),
    revokeLease: (...args) => client.revokeLease(...args),
    status: () => client.status(),
    close: () => client.close(),
  };
}

export interface LateOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Share of transactions that arrive only after their sender gave up. */
  readonly share: () => number;
  readonly timeoutMs: number;
  readonly onLate: () => void;
}

const LATEST_MS = 4_000;

/** Some transactions stay in the network for longer than anyone waits, and are applied all the same: L13. */
export function lateTxns(client: KvClient, { clock, random, share, timeoutMs, onLate }: LateOptions): KvClient {
  const late = (request: TxnRequest): Promise<TxnResponse> => {
    onLate();
    const arrivesMs = timeoutMs + random.next() * LATEST_MS;
    clock.after(arrivesMs, () => void client.txn(request).catch(() => undefined));
    return new Promise((_resolve, reject) => {
      clock.after(timeoutMs, () => reject(new KvError("deadline", `no answer in ${timeoutMs} ms`)));
    });
  };
  const txn: KvClient["txn"] = (request, options) =>
    random.next() < share() ? late(request) : client.txn(request, options);
  return { ...passing(client), txn };
}
