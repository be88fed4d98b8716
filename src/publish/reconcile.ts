/** Makes a prefix of the local etcd equal to what it should hold, reading what it does hold: memory of earlier writes proves nothing. */
import { type KeyValue, type KvClient, prefixEnd } from "../kv/client.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import type { Writer } from "./publisher.ts";
import type { Lane } from "./queue.ts";

export interface ReconcileOptions {
  /** Whether keys that are not desired are removed: only when the desired state is known to be complete. */
  readonly prune: boolean;
  /** Whole keys left as they are, whatever they hold. */
  readonly keep?: ReadonlySet<string>;
  /** Keys per page. */
  readonly pageSize: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Default: bulk. */
  readonly lane?: Lane;
}

export interface Reconciled {
  readonly written: number;
  readonly removed: number;
  readonly unchanged: number;
  /** The keys below the prefix once everything queued is acknowledged (the caller's own to change), and how many they are. */
  readonly keys: Set<string>;
  readonly local: number;
}

/**
 * Queues the difference between `desired` (whole keys, all below `prefix`) and the local keys below `prefix`. The caller is their only
 * writer and queues nothing else below `prefix` meanwhile. Keys under a lease are rewritten without one.
 * Resolves when all is queued, not when it is acknowledged. Rejects with a KvError or the signal's reason.
 */
export async function reconcile(
  publisher: Writer,
  kv: KvClient,
  prefix: string,
  desired: ReadonlyMap<string, Uint8Array>,
  options: ReconcileOptions,
): Promise<Reconciled> {
  // Writes still on their way may be applied before or after the pages are read: their keys are written whatever the pages say.
  const moving = publisher.unacknowledged(prefix);
  const lane = options.lane ?? "bulk";
  const slices = new Slices(options.clock);
  const counts = { written: 0, removed: 0, unchanged: 0 };
  const seen = new Set<string>();
  const keys = new Set<string>();
  const judge = (key: string, found: KeyValue | undefined): void => {
    seen.add(key);
    const value = desired.get(key);
    const kept = options.keep?.has(key) || (value === undefined && !options.prune);
    if (kept || value !== undefined) keys.add(key);
    if (kept) return;
    if (value === undefined) {
      publisher.delete(key, lane);
      counts.removed++;
    } else if (found && !moving.has(key) && found.leaseId === 0n && sameBytes(found.value, value)) counts.unchanged++;
    else {
      publisher.put(key, value, lane);
      counts.written++;
    }
  };
  for await (const page of pages(kv, prefix, options)) {
    for (const found of page) {
      judge(found.key, found);
      await slices.rest();
    }
  }
  for (const key of [...moving, ...desired.keys()]) {
    if (!seen.has(key)) judge(key, undefined);
    await slices.rest();
  }
  return { ...counts, keys, local: keys.size };
}

async function* pages(
  kv: KvClient,
  prefix: string,
  { pageSize, signal }: ReconcileOptions,
): AsyncGenerator<readonly KeyValue[]> {
  const rangeEnd = prefixEnd(prefix);
  let key = prefix;
  for (;;) {
    signal.throwIfAborted();
    const page = await kv.range({ key, rangeEnd, limit: pageSize });
    yield page.kvs;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return;
    key = `${last.key}\0`;
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0;
}
