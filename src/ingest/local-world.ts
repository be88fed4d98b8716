/** Whether the local etcd is the one that was followed: an etcd that was restored from a backup has its canaries, and looks complete. */
import { absence, confirms, type Listing, type Witness, witness } from "../follow/list.ts";
import { type KeyValue, type KvClient, KvError, revisionOf, type WatchEvent } from "../kv/client.ts";

export class LocalWorld {
  #clusterId: bigint | undefined;
  /** Newest revision that was seen. */
  #revision = 0;
  #newest: KeyValue | undefined;
  /** A backup from before it still has the key. */
  #deletion: Extract<WatchEvent, { readonly type: "delete" }> | undefined;

  /** False for the first etcd of all. Rejects with a KvError when it cannot be asked. */
  async isOther(kv: KvClient, { clusterId, revision }: Listing): Promise<boolean> {
    if (this.#clusterId === undefined) return false;
    if (clusterId !== this.#clusterId || revision < this.#revision) return true;
    for (const fact of this.#facts()) if (!(await stands(kv, fact))) return true;
    return false;
  }

  listed({ clusterId, revision, ranges }: Listing): void {
    this.#clusterId = clusterId;
    this.#revision = revision;
    this.#newest = undefined;
    this.#deletion = undefined;
    for (const kvs of ranges) for (const kv of kvs) this.#keep(kv);
    this.#own();
  }

  happened(events: readonly WatchEvent[]): void {
    for (const event of events) {
      this.progress(revisionOf(event));
      if (event.type === "put") this.#keep(event.kv);
      else if (event.modRevision > (this.#deletion?.modRevision ?? 0)) this.#deletion = event;
    }
    this.#own();
  }

  progress(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  #keep(kv: KeyValue): void {
    if (kv.modRevision > (this.#newest?.modRevision ?? 0)) this.#newest = kv;
  }

  /** A copy: the value may be a view into a whole answer. */
  #own(): void {
    this.#newest &&= { ...this.#newest, value: this.#newest.value.slice() };
  }

  *#facts(): Generator<Witness> {
    if (this.#newest) yield witness(this.#newest.modRevision, this.#newest);
    if (this.#deletion) yield absence(this.#deletion.modRevision, this.#deletion.key);
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
