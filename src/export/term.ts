/**
 * One term of leadership: what this cluster says, written into its own etcd and kept so. First a full comparison with what is there, for
 * memory proves nothing; then the canaries; then changes as they come, and the comparison again every now and then.
 */
import type { KvClient } from "../kv/client.ts";
import { prefixEnd } from "../kv/client.ts";
import type { Cluster } from "../model/cluster.ts";
import type { Publisher } from "../publish/publisher.ts";
import { reconcile } from "../publish/reconcile.ts";
import type { BackoffSettings } from "../runtime/backoff.ts";
import { retry } from "../runtime/backoff.ts";
import { type Clock, encodeTime, Slices, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { canaryPrefix, clusterConfigKey } from "../wire/keys.ts";
import type { AddressOwners } from "./addresses.ts";
import { canaryKeys, clusterConfig } from "./announcements.ts";
import { collectIdentities } from "./collect.ts";
import type { Compiled, Entries } from "./compile.ts";
import { changes, compile } from "./compile.ts";
import type { IdentityBook } from "./identities.ts";
import { Memo } from "./memo.ts";
import { isLasting, PARTS, type Part, partPrefix } from "./parts.ts";
import type { Snapshot, Snapshots } from "./snapshot.ts";

export interface TermOptions {
  readonly kv: KvClient;
  readonly publisher: Publisher;
  readonly cluster: Cluster;
  /** Whether sources say which services are exported by the MCS-API. */
  readonly serviceExports: boolean;
  readonly snapshots: Snapshots;
  /** Absent: the sources say all numbers. */
  readonly book: IdentityBook | undefined;
  /** Who holds which address according to etcd. */
  readonly owners: AddressOwners;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff: BackoffSettings;
  readonly signal: AbortSignal;
  /** Time between two comparisons with what etcd holds. */
  readonly auditIntervalMs: number;
  /** Keys per page of a listing. */
  readonly pageSize: number;
  /** How long an identity stays that nobody has. */
  readonly identityKeepMs: number;
  /** Whether every source says at present what it has. */
  readonly isHeard: () => boolean;
  readonly onCollected: (identities: number) => void;
  readonly onCompiled: (compiled: Compiled) => void;
  /** Everything of the first comparison, canaries included, is acknowledged. */
  readonly onSynced: () => void;
}

/** What etcd holds once all that is queued is acknowledged. */
type Published = ReadonlyMap<Part, Entries>;

/** Publishes until the signal aborts. Rejects when etcd refuses for good or the fence is lost. */
export async function publishTerm(options: TermOptions): Promise<void> {
  const { snapshots, clock, signal, cluster, book } = options;
  let { owners } = options;
  let published: Published | undefined;
  let audited: Snapshot | undefined;
  let nextAuditMs = 0;
  let vouched = false;
  const memo = new Memo();
  while (!signal.aborted) {
    const snapshot = snapshots.newest;
    if (!snapshot) return;
    const compiled = await compile({ cluster, world: snapshot.world, owners, book, memo }, new Slices(clock));
    owners = compiled.owners;
    options.onCompiled(compiled);
    const audits = audited === undefined || clock.nowMs() >= nextAuditMs || allowsMore(snapshot, audited);
    if (audits) {
      vouched = await audit(options, compiled, snapshot, vouched);
      audited = snapshot;
      nextAuditMs = clock.nowMs() + options.auditIntervalMs;
    } else await publishChanges(options, published ?? new Map(), compiled);
    published = withKept(compiled, published);
    if (audits) published = without(published, await collect(options, snapshot));
    await changeOrAudit(options, snapshot, nextAuditMs);
  }
}

/** Whether an audit could now prune, or add canaries, where the last one could not. */
function allowsMore(snapshot: Snapshot, audited: Snapshot): boolean {
  return (snapshot.complete && !audited.complete) || (snapshot.read && !audited.read);
}

/**
 * Compares everything with what etcd holds and writes what differs: the config first, canaries last, each once all before is acknowledged. Resolves to whether
 * the canaries were written in this term, after all was compared and what is too much was taken back.
 */
async function audit(
  options: TermOptions,
  compiled: Compiled,
  { read, complete }: Snapshot,
  vouched: boolean,
): Promise<boolean> {
  const { kv, publisher, cluster, clock, signal, pageSize, book } = options;
  await announceConfig(options);
  const bring = async (part: Part, prune: boolean): Promise<void> => {
    const entries = compiled.parts.get(part) ?? NO_ENTRIES;
    const how = { prune, keep: compiled.refused, pageSize, clock, signal };
    await retry(options, () => reconcile(publisher, kv, partPrefix(part, cluster.name), entries, how));
    await publisher.drained();
  };
  // Nothing is taken back while some manifest was never understood. A pod that becomes shared is so before it ceases to be local.
  for (const part of PARTS) await bring(part, complete && !isLasting(part, book) && part !== "local-ip");
  if (complete) await bring("local-ip", true);
  const vouching = complete && read && !vouched;
  if (await announceCanaries(options, read, vouching)) options.onSynced();
  return vouched || vouching;
}

const NO_ENTRIES: Entries = new Map();

async function announceConfig(options: TermOptions): Promise<void> {
  const { kv, publisher, cluster, serviceExports } = options;
  const key = clusterConfigKey(cluster.name);
  const value = clusterConfig(cluster, serviceExports);
  const { kvs } = await retry(options, () => kv.range({ key }));
  const [found] = kvs;
  if (found?.leaseId === 0n && Buffer.compare(found.value, value) === 0) return;
  publisher.put(key, value, "bulk");
  await publisher.drained();
}

/**
 * To most readers only its being there means something; agents whose etcd was restored look for one that was written since. None is added while the directory is empty or not all of it
 * can be read: into an etcd that was lost it would tell peers to withdraw what is merely not read yet. A refused document does not hold
 * canaries back, or one bad manifest would keep a whole new cluster out of the mesh. Resolves to whether all of them stand.
 */
async function announceCanaries(options: TermOptions, read: boolean, again: boolean): Promise<boolean> {
  const { kv, publisher, cluster, clock } = options;
  const prefix = canaryPrefix(cluster.name);
  const { kvs } = await retry(options, () => kv.range({ key: prefix, rangeEnd: prefixEnd(prefix) }));
  const lasting = new Set(kvs.filter(({ leaseId }) => leaseId === 0n).map(({ key }) => key));
  const missing = canaryKeys(cluster).filter((key) => !lasting.has(key));
  if (missing.length > 0 && !read) return false;
  for (const key of again ? canaryKeys(cluster) : missing) publisher.put(key, encodeTime(clock.wallMs()), "bulk");
  await publisher.drained();
  return true;
}

/**
 * Puts before deletions, owners before what they own and gone after it: a part is acknowledged before the next one is queued. So a pod that
 * changes between shared and local is known throughout.
 */
async function publishChanges(options: TermOptions, published: Published, compiled: Compiled): Promise<void> {
  const { publisher, clock, book } = options;
  const slices = new Slices(clock);
  const deletions: string[][] = [];
  for (const part of PARTS) {
    const after = compiled.parts.get(part) ?? NO_ENTRIES;
    const gone: string[] = [];
    for (const { key, value } of changes(published.get(part) ?? NO_ENTRIES, after, compiled.refused)) {
      if (value) publisher.put(key, value, "live");
      else if (!isLasting(part, book)) gone.push(key);
      await slices.rest();
    }
    deletions.unshift(gone);
    await publisher.drained();
  }
  for (const gone of deletions) {
    for (const key of gone) {
      publisher.delete(key, "live");
      await slices.rest();
    }
    await publisher.drained();
  }
}

/** `compiled` and, of refused keys, what was published before: to be deleted when the object goes. */
function withKept(compiled: Compiled, published: Published | undefined): Published {
  if (!published || compiled.refused.size === 0) return compiled.parts;
  return new Map(
    [...compiled.parts].map(([part, entries]) => {
      const kept = [...(published.get(part) ?? NO_ENTRIES)].filter(([key]) => compiled.refused.has(key));
      return [part, new Map([...kept, ...entries])];
    }),
  );
}

async function collect(options: TermOptions, { read, complete }: Snapshot): Promise<ReadonlySet<string>> {
  const keys = await collectIdentities(options, read && complete && options.isHeard());
  if (keys.size > 0) options.onCollected(keys.size);
  return keys;
}

function without(published: Published, keys: ReadonlySet<string>): Published {
  if (keys.size === 0) return published;
  const rest = (entries: Entries): Entries => new Map([...entries].filter(([key]) => !keys.has(key)));
  return new Map([...published].map(([part, entries]) => [part, rest(entries)]));
}

/** Resolves when the source says something new, when the next comparison is due, or when the signal aborts. */
async function changeOrAudit(
  { snapshots, clock, signal }: TermOptions,
  seen: Snapshot,
  auditMs: number,
): Promise<void> {
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const delayMs = Math.max(0, auditMs - clock.nowMs());
  await Promise.race([snapshots.after(seen, either), sleep(clock, delayMs, either)]);
  done.abort();
}
