/**
 * A watch can lose events without a word. So the index is compared with the remote's keys now and then: at one pinned revision at which all
 * watches stood, page by page, leaving out what changed since. Values are not read: a key's mod_revision says enough.
 */
import { type KvClient, KvError, keyAfter, prefixEnd } from "../kv/client.ts";
import { type Clock, sleep } from "../runtime/clock.ts";

export interface AuditedRange {
  /** Prefix at the remote. */
  readonly prefix: string;
  /** mod_revision that we know of the key with this suffix; 0 or undefined: the remote should not have it. */
  readonly knownRevision: (suffix: string) => number | undefined;
  /** How many keys the remote should have at the revision of the audit. */
  readonly expected: number;
  /** Whether the key changed since the audit began. */
  readonly touched: (suffix: string) => boolean;
}

export interface AuditOptions {
  readonly pageSize: number;
  /** Between two pages: an audit is in no hurry. */
  readonly pauseMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Resolves to the first difference in words, to `same`, or to `aborted` when the signal aborts or the revision was compacted meanwhile. Rejects with a
 * KvError when the remote cannot be read.
 */
export async function audit(
  kv: KvClient,
  revision: number,
  ranges: readonly AuditedRange[],
  options: AuditOptions,
): Promise<string> {
  try {
    for (const range of ranges) {
      const difference = await auditRange(kv, revision, range, options);
      if (difference !== undefined) return difference;
    }
    return "same";
  } catch (error) {
    if (options.signal.aborted || (error instanceof KvError && error.code === "compacted")) return "aborted";
    throw error;
  }
}

async function auditRange(
  kv: KvClient,
  revision: number,
  { prefix, knownRevision, expected, touched }: AuditedRange,
  { pageSize, pauseMs, clock, signal }: AuditOptions,
): Promise<string | undefined> {
  let seen = 0;
  let key = prefix;
  for (;;) {
    const page = await kv.range({ key, rangeEnd: prefixEnd(prefix), limit: pageSize, keysOnly: true, revision });
    for (const found of page.kvs) {
      const suffix = found.key.slice(prefix.length);
      seen++;
      if (touched(suffix) || knownRevision(suffix) === found.modRevision) continue;
      return `${found.key} changed at revision ${found.modRevision}, which was never heard`;
    }
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) break;
    key = keyAfter(last.key);
    await sleep(clock, pauseMs, signal);
    signal.throwIfAborted();
  }
  return seen === expected
    ? undefined
    : `${prefix} has ${seen} keys where ${expected} are known: a deletion was never heard`;
}
