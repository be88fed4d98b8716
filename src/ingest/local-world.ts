/** Whether the local etcd is the one that was followed: an etcd that was restored from a backup has its canaries, and looks complete. */
import { Facts, witnessOfFact } from "../follow/facts.ts";
import { absence, confirms, type Listing, type Witness } from "../follow/list.ts";
import type { Deletion } from "../follow/listing-file.ts";
import type { Known } from "../follow/listing-store.ts";
import { type KeyValue, type KvClient, KvError, revisionOf, type WatchEvent } from "../kv/client.ts";

const MAX_FACTS = 8;

export class LocalWorld {
  #clusterId: bigint | undefined;
  /** Newest revision that was seen. */
  #revision = 0;
  readonly #facts = new Facts(MAX_FACTS);

  /** False for the first etcd of all. Rejects with a KvError when it cannot be asked. */
  async isOther(kv: KvClient, listing: Listing): Promise<boolean> {
    if (this.#clusterId === undefined) return false;
    if (listing.clusterId !== this.#clusterId || listing.revision < this.#revision) return true;
    for (const kvs of listing.ranges) for (const found of kvs) if (this.#contradicts(found)) return true;
    const facts = this.#facts.all();
    const newest = [facts.findLast((fact) => fact.kv), facts.findLast((fact) => !fact.kv)];
    for (const fact of newest) if (fact && !(await stands(kv, witnessOfFact(fact)))) return true;
    return false;
  }

  /** @param other as told by `isOther`. */
  listed({ clusterId, revision, ranges }: Listing, other: boolean): void {
    this.#facts.listed(ranges, other ? [] : this.#facts.all().map(witnessOfFact));
    this.#clusterId = clusterId;
    this.#revision = revision;
  }

  /** What was known of an etcd before this process began. */
  recall({ listing, deletions }: Known): void {
    const gone = deletions.map(({ key, modRevision }) => absence(modRevision, key));
    this.#facts.listed(listing.ranges, gone);
    this.#clusterId = listing.clusterId;
    this.#revision = listing.revision;
  }

  /** Facts as they can be read at a revision up to which everything is known. */
  witnesses(revision: number): readonly Witness[] {
    return this.#facts.at(revision);
  }

  /** The newest ones. */
  deletions(): readonly Deletion[] {
    const gone = this.#facts.all().filter(({ kv }) => kv === undefined);
    return gone.map(({ key, revision }) => ({ type: "delete", key, modRevision: revision }));
  }

  happened(events: readonly WatchEvent[]): void {
    this.#facts.happened(events);
    for (const event of events) this.progress(revisionOf(event));
  }

  progress(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /** What was written since we looked contradicts nothing. */
  #contradicts({ key, modRevision, createRevision }: KeyValue): boolean {
    const fact = this.#facts.get(key);
    if (fact?.kv) return modRevision <= this.#revision && modRevision !== fact.revision;
    return fact !== undefined && createRevision <= this.#revision;
  }
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
