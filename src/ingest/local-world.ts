/** Whether the local etcd is the one that was followed: an etcd that was restored from a backup has its canaries, and looks complete. */
import { type Fact, Facts, witnessOfFact } from "../follow/facts.ts";
import { absence, confirms, type Witness } from "../follow/list.ts";
import type { Deletion } from "../follow/listing-file.ts";
import type { Known } from "../follow/listing-store.ts";
import { type Header, type KeyValue, type KvClient, KvError, revisionOf, type WatchEvent } from "../kv/client.ts";

const MAX_FACTS = 8;

/** `unknown`: nothing contradicts what is known, and what could confirm it was compacted. */
export type Likeness = "same" | "other" | "unknown";

export class LocalWorld {
  #clusterId: bigint | undefined;
  /** Newest revision that was seen. */
  #revision = 0;
  readonly #facts = new Facts(MAX_FACTS);

  /** Whether a listing is of the same etcd; the first of all is. Rejects with a KvError when it cannot be asked. */
  async compare(kv: KvClient, { clusterId, revision }: Header): Promise<Likeness> {
    if (this.#clusterId === undefined) return "same";
    if (clusterId !== this.#clusterId || revision < this.#revision) return "other";
    const facts = this.#facts.all();
    const found = await Promise.all(facts.map(({ key }) => kv.range({ key, revision })));
    for (const { kvs } of found) for (const one of kvs) if (this.#contradicts(one)) return "other";
    const [newestPut, newestDeletion] = [facts.findLast((fact) => fact.kv), facts.findLast((fact) => !fact.kv)];
    const put = newestPut && (await stands(kv, newestPut));
    const deletion = newestDeletion && (await stands(kv, newestDeletion));
    // A key that stood just so proves all that was before it; one that is not there proves little.
    return deletion === "other" ? deletion : (put ?? deletion ?? "same");
  }

  /** A listing begins; what was known stays until it is whole. @param other it is of another etcd, or may be. */
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

async function stands(kv: KvClient, fact: Fact): Promise<Likeness> {
  try {
    return (await confirms(kv, witnessOfFact(fact))) ? "same" : "other";
  } catch (error) {
    if (error instanceof KvError && error.code === "compacted") return "unknown";
    throw error;
  }
}
