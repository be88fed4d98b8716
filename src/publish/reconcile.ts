/** Makes a prefix of the local etcd equal to what it should hold, reading what it does hold: memory of earlier writes proves nothing. */
import { type KeyValue, type KvClient, prefixEnd } from "../kv/client.ts";
import { Pager } from "../kv/pager.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import type { Writer } from "./publisher.ts";
import type { Lane } from "./queue.ts";

export interface CompareOptions {
  /** Whole keys left as they are, whatever they hold. */
  readonly keep?: ReadonlySet<string>;
  /** Keys per page. */
  readonly pageSize: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface ReconcileOptions extends CompareOptions {
  /** Whether keys that are not desired are removed: only when the desired state is known to be complete. */
  readonly prune: boolean;
  /** Default: bulk. */
  readonly lane?: Lane;
}

/** What has to be written below a prefix. */
export interface Difference {
  /** Desired key -> the value there now; undefined: none, or one that is about to change. */
  readonly puts: ReadonlyMap<string, Uint8Array | undefined>;
  /** Key that is not desired -> the value there now, likewise. */
  readonly extra: ReadonlyMap<string, Uint8Array | undefined>;
  /** Key that is left as it is by wish -> the value there, likewise. */
  readonly kept: ReadonlyMap<string, Uint8Array | undefined>;
  /** Keys that are right. */
  readonly unchanged: ReadonlySet<string>;
}

export interface Reconciled {
  readonly written: number;
  readonly removed: number;
  readonly unchanged: number;
}

/**
 * Compares `desired` (whole keys, all below `prefix`) with the local keys below `prefix`. The caller is their only writer and queues nothing
 * below `prefix` meanwhile. Keys under a lease are to be written without one. Rejects with a KvError or the signal's reason.
 */
export async function compare(
  publisher: Writer,
  kv: KvClient,
  prefix: string,
  desired: ReadonlyMap<string, Uint8Array>,
  options: CompareOptions,
): Promise<Difference> {
  // Writes still on their way may be applied before or after the pages are read: their keys are written whatever the pages say.
  const moving = publisher.unacknowledged(prefix);
  const slices = new Slices(options.clock);
  const puts = new Map<string, Uint8Array | undefined>();
  const extra = new Map<string, Uint8Array | undefined>();
  const kept = new Map<string, Uint8Array | undefined>();
  const unchanged = new Set<string>();
  const judge = (key: string, found: KeyValue | undefined): void => {
    const value = desired.get(key);
    if (options.keep?.has(key)) kept.set(key, found?.value);
    else if (value === undefined) extra.set(key, found?.value);
    else if (found && !moving.has(key) && found.leaseId === 0n && sameBytes(found.value, value)) unchanged.add(key);
    else puts.set(key, found?.value);
  };
  for await (const page of pages(kv, prefix, options)) {
    for (const found of page) {
      judge(found.key, found);
      await slices.rest();
    }
  }
  const seen = (key: string): boolean => puts.has(key) || extra.has(key) || kept.has(key) || unchanged.has(key);
  for (const keys of [moving, desired.keys()]) {
    for (const key of keys) {
      if (!seen(key)) judge(key, undefined);
      await slices.rest();
    }
  }
  return { puts, extra, kept, unchanged };
}

/** Queues the difference. Resolves when all is queued, not when it is acknowledged. Rejects as `compare` does. */
export async function reconcile(
  publisher: Writer,
  kv: KvClient,
  prefix: string,
  desired: ReadonlyMap<string, Uint8Array>,
  options: ReconcileOptions,
): Promise<Reconciled> {
  const lane = options.lane ?? "bulk";
  const { puts, extra, unchanged } = await compare(publisher, kv, prefix, desired, options);
  const slices = new Slices(options.clock);
  for (const key of puts.keys()) {
    publisher.put(key, desired.get(key) as Uint8Array, lane);
    await slices.rest();
  }
  const removed = options.prune ? [...extra.keys()] : [];
  for (const key of removed) {
    publisher.delete(key, lane);
    await slices.rest();
  }
  return { written: puts.size, removed: removed.length, unchanged: unchanged.size };
}

async function* pages(
  kv: KvClient,
  prefix: string,
  { pageSize, signal }: CompareOptions,
): AsyncGenerator<readonly KeyValue[]> {
  const pager = new Pager(kv, pageSize, signal);
  const rangeEnd = prefixEnd(prefix);
  let key = prefix;
  for (;;) {
    const page = await pager.page({ key, rangeEnd });
    yield page.kvs;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return;
    key = `${last.key}\0`;
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0;
}
