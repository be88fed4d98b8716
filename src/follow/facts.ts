/** The newest things that an etcd said: an etcd that took its place, from a backup too, does not have all of them just so. */
import { eventKey, type KeyValue, revisionOf, type WatchEvent } from "../kv/client.ts";
import { absence, type Witness, witness } from "./list.ts";

export interface Fact {
  readonly key: string;
  /** When it was written or deleted. */
  readonly revision: number;
  /** Absent: deleted. */
  readonly kv?: KeyValue;
}

export class Facts {
  readonly #max: number;
  readonly #apartKey: string | undefined;
  #apart: KeyValue | undefined;
  /** By key, the newest last. */
  readonly #newest = new Map<string, Fact>();
  /** While it is listed: what was known to be deleted and was not seen since, by key; and the newest that was seen, oldest first. */
  readonly #absent = new Map<string, Witness>();
  #seen: KeyValue[] = [];

  /** @param apartKey is remembered beside the `max` newest, for as long as it stands. */
  constructor(max: number, apartKey?: string) {
    this.#max = max;
    this.#apartKey = apartKey;
  }

  /** All of it was listed, and is at hand. */
  listed(ranges: readonly (readonly KeyValue[])[], before: readonly Witness[] = []): void {
    this.beginListing(before);
    for (const kvs of ranges) this.saw(kvs);
    this.endListing();
  }

  /**
   * It is about to be listed, page by page. `before` is what was known of the same etcd: a listing does not show what was deleted, and a backup from before that has all of its
   * newest keys. So of those deletions the newest stay, half of the facts at most.
   */
  beginListing(before: readonly Witness[]): void {
    this.#absent.clear();
    for (const fact of before) if (fact.modRevision === 0) this.#absent.set(fact.key, fact);
    this.#seen = [];
    this.#apart = undefined;
  }

  /** A page of the listing. */
  saw(kvs: readonly KeyValue[]): void {
    const seen = this.#seen;
    for (const kv of kvs) {
      this.#absent.delete(kv.key);
      if (kv.key === this.#apartKey) this.#apart = copy(kv);
      else if (seen.length < this.#max || kv.modRevision > (seen[0]?.modRevision ?? 0)) insert(seen, kv, this.#max);
    }
    this.#seen = seen.map(copy);
  }

  /** The newest of a listing that is not at its end yet. */
  get listedSoFar(): KeyValue | undefined {
    return this.#seen.at(-1);
  }

  /** That was all. */
  endListing(): void {
    const deletions = [...this.#absent.values()].sort((left, right) => left.revision - right.revision);
    const kept = deletions.slice(-Math.floor(this.#max / 2));
    this.#newest.clear();
    for (const kv of this.#seen.slice(kept.length - this.#max))
      this.#put({ key: kv.key, revision: kv.modRevision, kv });
    for (const { key, revision } of kept) this.#put({ key, revision });
    this.#seen = [];
  }

  happened(events: readonly WatchEvent[]): void {
    for (const event of events) if (eventKey(event) === this.#apartKey) this.#apart = saidBy(event);
    for (const event of events.filter((one) => eventKey(one) !== this.#apartKey).slice(-this.#max)) {
      const kv = event.type === "put" ? event.kv : undefined;
      this.#put({ key: eventKey(event), revision: revisionOf(event), ...(kv && { kv }) });
    }
  }

  #put(fact: Fact): void {
    this.#newest.delete(fact.key);
    this.#newest.set(fact.key, fact.kv ? { ...fact, kv: copy(fact.kv) } : fact);
    const [oldest] = this.#newest.keys();
    if (this.#newest.size > this.#max && oldest !== undefined) this.#newest.delete(oldest);
  }

  get(key: string): Fact | undefined {
    return this.#newest.get(key);
  }

  /** The newest last. */
  all(): readonly Fact[] {
    return [...this.#newest.values()];
  }

  /** As they can be read at `revision`, up to which everything is known. */
  at(revision: number): readonly Witness[] {
    const known = this.all().map(({ key, kv }) => (kv ? witness(revision, kv) : absence(revision, key)));
    return this.#apart ? [witness(revision, this.#apart), ...known] : known;
  }
}

/** As it can be read when it was new. */
export function witnessOfFact({ key, revision, kv }: Fact): Witness {
  return kv ? witness(revision, kv) : absence(revision, key);
}

/** The value may be a view into a whole answer. */
function copy(kv: KeyValue): KeyValue {
  return { ...kv, value: kv.value.slice() };
}

function saidBy(event: WatchEvent): KeyValue | undefined {
  return event.type === "put" ? copy(event.kv) : undefined;
}

/** One of many thousands, most of them newer than all before: no sort, no search from the oldest. */
function insert(newest: KeyValue[], kv: KeyValue, max: number): void {
  let at = newest.length;
  for (; at > 0 && (newest[at - 1]?.modRevision ?? 0) > kv.modRevision; at--);
  if (newest.length < max) newest.splice(at, 0, kv);
  else {
    for (let index = 1; index < at; index++) newest[index - 1] = newest[index] as KeyValue;
    newest[at - 1] = kv;
  }
}
