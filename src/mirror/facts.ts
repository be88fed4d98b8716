/** The newest things that a remote's etcd said: an etcd that took its place, from a backup too, does not have all of them just so. */
import { absence, type Witness, witness } from "../follow/list.ts";
import { eventKey, type KeyValue, type WatchEvent } from "../kv/client.ts";

/** Beside the heartbeat. Each is one read when the connection is made anew. */
const MAX_FACTS = 4;
/** Of these, deletions that were known before a listing. */
const MAX_ABSENT = 2;

export class Facts {
  readonly #heartbeatKey: string;
  #heartbeat: KeyValue | undefined;
  /** Key -> its value, or that it was deleted; the newest last. */
  readonly #newest = new Map<string, KeyValue | undefined>();

  constructor(heartbeatKey: string) {
    this.#heartbeatKey = heartbeatKey;
  }

  /**
   * All of it was listed. `before` is what was known of the same etcd: a listing does not show what was deleted, and a backup from before that has all of
   * its newest keys.
   */
  listed(ranges: readonly (readonly KeyValue[])[], before: readonly Witness[] = []): void {
    const absent = before.filter((fact) => fact.modRevision === 0 && !isListed(ranges, fact.key));
    /** Oldest first. */
    const newest: KeyValue[] = [];
    for (const kvs of ranges) {
      for (const kv of kvs) {
        if (kv.key === this.#heartbeatKey) this.#heartbeat = kv;
        else if (newest.length < MAX_FACTS || kv.modRevision > (newest[0]?.modRevision ?? 0)) insert(newest, kv);
      }
    }
    const oldest = [...absent].sort((left, right) => left.revision - right.revision).slice(-MAX_ABSENT);
    for (const kv of newest.slice(oldest.length - MAX_FACTS)) this.#put(kv.key, kv);
    for (const { key } of oldest) this.#put(key, undefined);
  }

  happened(events: readonly WatchEvent[]): void {
    for (const event of events.slice(-MAX_FACTS)) {
      const kv = event.type === "put" ? event.kv : undefined;
      if (eventKey(event) === this.#heartbeatKey) this.#heartbeat = kv;
      else this.#put(eventKey(event), kv);
    }
  }

  #put(key: string, kv: KeyValue | undefined): void {
    this.#newest.delete(key);
    // A copy: the value may be a view into a whole answer.
    this.#newest.set(key, kv && { ...kv, value: kv.value.slice() });
    const [oldest] = this.#newest.keys();
    if (this.#newest.size > MAX_FACTS && oldest !== undefined) this.#newest.delete(oldest);
  }

  /** As they can be read at `revision`, up to which everything is known. */
  at(revision: number): readonly Witness[] {
    const known = [...this.#newest].map(([key, kv]) => (kv ? witness(revision, kv) : absence(revision, key)));
    return this.#heartbeat ? [witness(revision, this.#heartbeat), ...known] : known;
  }
}

function isListed(ranges: readonly (readonly KeyValue[])[], wanted: string): boolean {
  return ranges.some((kvs) => kvs.some(({ key }) => key === wanted));
}

/** One of many thousands, most of them newer than all before: no sort, no search from the oldest. */
function insert(newest: KeyValue[], kv: KeyValue): void {
  let at = newest.length;
  for (; at > 0 && (newest[at - 1]?.modRevision ?? 0) > kv.modRevision; at--);
  if (newest.length < MAX_FACTS) newest.splice(at, 0, kv);
  else {
    for (let index = 1; index < at; index++) newest[index - 1] = newest[index] as KeyValue;
    newest[at - 1] = kv;
  }
}
