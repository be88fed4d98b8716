/** Takes back identities that nobody has any more: seen idle at two passes, far apart, while every source could be heard. */

import type { KvClient } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Publisher } from "../publish/publisher.ts";
import { type BackoffSettings, retry } from "../runtime/backoff.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import type { IdentityBook } from "./identities.ts";
import { IDENTITY_PART, partPrefix } from "./parts.ts";
import { readUsed } from "./stored.ts";

export interface CollectOptions {
  readonly kv: KvClient;
  readonly publisher: Publisher;
  readonly cluster: Cluster;
  readonly book: IdentityBook | undefined;
  /** How long nobody must have been seen with it. */
  readonly identityKeepMs: number;
  readonly pageSize: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff: BackoffSettings;
  readonly signal: AbortSignal;
}

/** Fewer than a mirror holds back as too many of one remote within a minute. */
const MAX_COLLECTED = 40;

/**
 * One pass, after everything that is known was written: an address in etcd stands for whoever has it, also where its object cannot be read at present.
 * Resolves to the keys that are gone. Rejects as the publisher does.
 *
 * @param heard whether every source could be read since the last pass: else what was idle so far may have been in use.
 */
export async function collectIdentities(options: CollectOptions, heard: boolean): Promise<ReadonlySet<string>> {
  const { kv, publisher, cluster, book, identityKeepMs, pageSize, clock, signal } = options;
  const used =
    heard && book ? await retry(options, () => readUsed(kv, cluster, { pageSize, clock, signal })) : undefined;
  if (book === undefined || used === undefined) {
    book?.wake();
    return new Set();
  }
  const gone = book.sweep(used, clock.nowMs(), identityKeepMs, MAX_COLLECTED);
  const keys = gone.map(([scope, id]) => partPrefix(IDENTITY_PART[scope], cluster.name) + id);
  for (const key of keys) publisher.delete(key, "bulk");
  await publisher.drained();
  return new Set(keys);
}
