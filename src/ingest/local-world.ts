/** Whether the local etcd is the one that was followed: an etcd that was restored from a backup has its canaries, and looks complete. */
import { absence, confirms, type Listing, type Witness, witness } from "../follow/list.ts";
import { eventKey, type KeyValue, type KvClient, KvError, revisionOf, type WatchEvent } from "../kv/client.ts";

/** The newest things that it said are remembered. */
const MAX_FACTS = 8;

interface Fact {
  readonly key: string;
  readonly revision: number;
  /** Absent: deleted. */
  readonly kv?: KeyValue;
}

export class LocalWorld {
  #clusterId: bigint | undefined;
  /** Newest revision that was seen. */
  #revision = 0;
  /** By key, the newest last. */
  readonly #facts = new Map<string, Fact>();

  /** False for the first etcd of all. Rejects with a KvError when it cannot be asked. */
  async isOther(kv: KvClient, listing: Listing): Promise<boolean> {
    if (this.#clusterId === undefined) return false;
    if (listing.clusterId !== this.#clusterId || listing.revision < this.#revision) return true;
    for (const found of this.#listedNow(listing)) if (this.#contradicts(found)) return true;
    const facts = [...this.#facts.values()];
    const newest = [facts.findLast((fact) => fact.kv), facts.findLast((fact) => !fact.kv)];
    for (const fact of newest) if (fact && !(await stands(kv, witnessOf(fact)))) return true;
    return false;
  }

  /** @param other as told by `isOther`. */
  listed({ clusterId, revision, ranges }: Listing, other: boolean): void {
    this.#clusterId = clusterId;
    this.#revision = revision;
    const listed = new Set<string>();
    const newest: Fact[] = [];
    for (const kvs of ranges) {
      for (const kv of kvs) {
        if (this.#facts.has(kv.key)) listed.add(kv.key);
        if (isAmong(newest, kv.modRevision)) insert(newest, { key: kv.key, revision: kv.modRevision, kv });
      }
    }
    // A listing does not show what was deleted.
    const deletions = [...this.#facts.values()].filter(({ key, kv }) => !other && !kv && !listed.has(key));
    for (const fact of deletions) if (isAmong(newest, fact.revision)) insert(newest, fact);
    this.#facts.clear();
    for (const fact of newest) this.#remember(fact);
  }

  happened(events: readonly WatchEvent[]): void {
    for (const event of events.slice(-MAX_FACTS)) {
      const revision = revisionOf(event);
      this.progress(revision);
      this.#remember({ key: eventKey(event), revision, ...(event.type === "put" && { kv: event.kv }) });
    }
  }

  progress(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  #remember(fact: Fact): void {
    this.#facts.delete(fact.key);
    // A copy: the value may be a view into a whole answer.
    this.#facts.set(fact.key, fact.kv ? { ...fact, kv: { ...fact.kv, value: fact.kv.value.slice() } } : fact);
    const [oldest] = this.#facts.keys();
    if (this.#facts.size > MAX_FACTS && oldest !== undefined) this.#facts.delete(oldest);
  }

  *#listedNow({ ranges }: Listing): Generator<KeyValue> {
    for (const kvs of ranges) for (const kv of kvs) if (this.#facts.has(kv.key)) yield kv;
  }

  /** What was written since we looked contradicts nothing. */
  #contradicts({ key, modRevision, createRevision }: KeyValue): boolean {
    const fact = this.#facts.get(key);
    if (fact?.kv) return modRevision <= this.#revision && modRevision !== fact.revision;
    return fact !== undefined && createRevision <= this.#revision;
  }
}

/** Most of many thousands are not: nothing is made for them. */
function isAmong(newest: readonly Fact[], revision: number): boolean {
  return newest.length < MAX_FACTS || revision > (newest[0]?.revision ?? 0);
}

/** In order, the oldest first. */
function insert(newest: Fact[], fact: Fact): void {
  const at = newest.findLastIndex(({ revision }) => revision <= fact.revision);
  newest.splice(at + 1, 0, fact);
  if (newest.length > MAX_FACTS) newest.shift();
}

function witnessOf({ key, revision, kv }: Fact): Witness {
  return kv ? witness(revision, kv) : absence(revision, key);
}

/** What was compacted says nothing: that happens to every etcd, and an agent that waits for no reason keeps backends that are gone. */
async function stands(kv: KvClient, fact: Witness): Promise<boolean> {
  try {
    return await confirms(kv, fact);
  } catch (error) {
    if (error instanceof KvError && error.code === "compacted") return true;
    throw error;
  }
}
