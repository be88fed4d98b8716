/** Makes a prefix of the local etcd equal to what it should hold, reading what it does hold: memory of earlier writes proves nothing. */
import { type KeyValue, type KvClient, keyAfter, prefixEnd } from "../kv/client.ts";
import { Pager } from "../kv/pager.ts";
import { type Clock, Slices } from "../runtime/clock.ts";
import type { Writer } from "./publisher.ts";
import type { Lane } from "./queue.ts";

export interface CompareOptions {
  /** Keys per page. */
  readonly pageSize: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface ReconcileOptions extends CompareOptions {
  /** Whole keys left as they are, whatever they hold. */
  readonly keep?: ReadonlySet<string>;
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

/** What a part of a prefix should hold. */
export interface Part {
  /** Whole keys, all in the part. */
  readonly desired: ReadonlyMap<string, Uint8Array>;
  /** Whole keys left as they are, whatever they hold. */
  readonly keep?: ReadonlySet<string> | undefined;
  /** Last key of the part, which begins behind the one before; absent: all that is left of the prefix. */
  readonly lastKey?: string | undefined;
}

/**
 * Compares what a prefix should hold with what it does, part by part in the order of the keys. The caller is their only writer, and queues below `prefix` only what
 * earlier parts differ in. Keys under a lease are to be written without one.
 */
export class Comparison {
  readonly #kv: KvClient;
  readonly #options: CompareOptions;
  readonly #end: string;
  #from: string;
  /** Writes on their way before it began may be applied before or after the pages are read: their keys are written whatever the pages say. */
  readonly #moving: Set<string>;

  constructor(publisher: Writer, kv: KvClient, prefix: string, options: CompareOptions) {
    this.#kv = kv;
    this.#options = options;
    this.#from = prefix;
    this.#end = prefixEnd(prefix);
    this.#moving = new Set(publisher.unacknowledged(prefix));
  }

  /** Rejects with a KvError or the signal's reason: then the same part may be asked for again. */
  async part({ desired, keep, lastKey }: Part): Promise<Difference> {
    const slices = new Slices(this.#options.clock);
    const puts = new Map<string, Uint8Array | undefined>();
    const extra = new Map<string, Uint8Array | undefined>();
    const kept = new Map<string, Uint8Array | undefined>();
    const unchanged = new Set<string>();
    const judge = (key: string, found: KeyValue | undefined): void => {
      const value = desired.get(key);
      if (keep?.has(key)) kept.set(key, found?.value);
      else if (value === undefined) extra.set(key, found?.value);
      else if (found && this.#isSame(found, value)) unchanged.add(key);
      else puts.set(key, found?.value);
    };
    const upTo = lastKey === undefined ? this.#end : keyAfter(lastKey);
    for await (const page of this.#pages(upTo)) {
      for (const found of page) {
        judge(found.key, found);
        if (slices.areOver) await slices.rest();
      }
    }
    const seen = (key: string): boolean => puts.has(key) || extra.has(key) || kept.has(key) || unchanged.has(key);
    for (const keys of [lastKey === undefined ? this.#moving : [], desired.keys()]) {
      for (const key of keys) {
        if (!seen(key)) judge(key, undefined);
        if (slices.areOver) await slices.rest();
      }
    }
    for (const key of this.#moving) if (seen(key)) this.#moving.delete(key);
    this.#from = upTo;
    return { puts, extra, kept, unchanged };
  }

  #isSame({ key, leaseId, value: found }: KeyValue, value: Uint8Array): boolean {
    return !this.#moving.has(key) && leaseId === 0n && sameBytes(found, value);
  }

  async *#pages(rangeEnd: string): AsyncGenerator<readonly KeyValue[]> {
    const { pageSize, signal } = this.#options;
    const pager = new Pager(this.#kv, pageSize, signal);
    let key = this.#from;
    for (;;) {
      const page = await pager.page({ key, rangeEnd });
      yield page.kvs;
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return;
      key = keyAfter(last.key);
    }
  }
}

/** Queues the difference. Resolves when all is queued, not when it is acknowledged. Rejects with a KvError or the signal's reason. */
export async function reconcile(
  publisher: Writer,
  kv: KvClient,
  prefix: string,
  desired: ReadonlyMap<string, Uint8Array>,
  options: ReconcileOptions,
): Promise<Reconciled> {
  const lane = options.lane ?? "bulk";
  const { puts, extra, unchanged } = await new Comparison(publisher, kv, prefix, options).part({
    desired,
    keep: options.keep,
  });
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

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0;
}
