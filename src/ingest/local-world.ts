/** Whether the local etcd is the one that was followed: an etcd that was restored from a backup has its canaries, and looks complete. */
import { Facts, witnessOfFact } from "../follow/facts.ts";
import { absence, confirms, type Witness } from "../follow/list.ts";
import type { Deletion } from "../follow/listing-file.ts";
import type { Known } from "../follow/listing-store.ts";
import { type Header, type KeyValue, type KvClient, KvError, revisionOf, type WatchEvent } from "../kv/client.ts";

const MAX_FACTS = 8;

export class LocalWorld {
  #clusterId: bigint | undefined;
  /** Newest revision that was seen. */
  #revision = 0;
  readonly #facts = new Facts(MAX_FACTS);

  /** Whether a listing is of another etcd; false for the first of all. Rejects with a KvError when it cannot be asked. */
  async isOther(kv: KvClient, { clusterId, revision }: Header): Promise<boolean> {
    if (this.#clusterId === undefined) return false;
    if (clusterId !== this.#clusterId || revision < this.#revision) return true;
    const facts = this.#facts.all();
    const found = await Promise.all(facts.map(({ key }) => kv.range({ key, revision })));
    for (const { kvs } of found) for (const one of kvs) if (this.#contradicts(one)) return true;
    const newest = [facts.findLast((fact) => fact.kv), facts.findLast((fact) => !fact.kv)];
    for (const fact of newest) if (fact && !(await stands(kv, witnessOfFact(fact)))) return true;
    return false;
  }

  /** A listing begins; what was known stays until it is whole. @param other as told by `isOther`. */
  beginListing(other: boolean): void {
    this.#facts.beginListing(other ? [] : this.#facts.all().map(witnessOfFact));
  }

  /** Some of it. */
  saw(kvs: readonly KeyValue[]): void {
    this.#facts.saw(kvs);
  }

  /** That was all. */
  endListing({ clusterId, revision }: Header): void {
    this.#facts.endListing();
    this.#clusterId = clusterId;
    this.#revision = revision;
  }

  /** What was known of an etcd before this process began. */
  recall({ clusterId, revision, newest, deletions }: Known): void {
    const gone = deletions.map(({ key, modRevision }) => absence(modRevision, key));
    this.#facts.listed([newest], gone);
    this.#clusterId = clusterId;
    this.#revision = revision;
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
