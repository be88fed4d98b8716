/**
 * Canaries, and how far every followed range was delivered. A canary proves its source only from the joint revision on that includes it: before,
 * rows written ahead of it may still be on their way in another range.
 *
 * An etcd that was restored has canaries as well. There one counts only if it was written since we look, or later, by its writer's word, than the one that was
 * known: then whoever wrote it has compared everything since.
 */
export interface Canary {
  readonly key: string;
  readonly modRevision: number;
  /** When it was written, as its writer says. */
  readonly value: Uint8Array;
}

interface Known {
  readonly revision: number;
  /** NaN: its value is no time. */
  readonly writtenMs: number;
}

const decoder = new TextDecoder();

function knownOf({ modRevision, value }: Canary): Known {
  return { revision: modRevision, writtenMs: Date.parse(decoder.decode(value)) };
}

export class Canaries {
  readonly #known = new Map<string, Known>();
  #joint = 0;
  /** Of the etcd before: key -> when it was written. Absent: nothing is doubted. */
  #before: ReadonlyMap<string, number> | undefined;
  #doubtedFrom = 0;

  /**
   * What is to be known once a listing at `revision`, which begins with these, is whole: what it does not show is not there then.
   * @param other another etcd answers: what was known of the one before is doubted there.
   */
  listed(canaries: Iterable<Canary>, revision: number, other: boolean): Canaries {
    const next = new Canaries();
    next.#joint = revision;
    next.#before = other ? new Map([...(this.#before ?? []), ...this.#writtenMs()]) : this.#before;
    next.#doubtedFrom = other ? revision : this.#doubtedFrom;
    for (const canary of canaries) if (next.#counts(canary)) next.#known.set(canary.key, knownOf(canary));
    return next;
  }

  #writtenMs(): readonly (readonly [key: string, writtenMs: number])[] {
    return [...this.#known].map(([key, { writtenMs }]) => [key, writtenMs]);
  }

  put(canary: Canary): void {
    const { revision, writtenMs } = knownOf(canary);
    this.#known.set(canary.key, {
      revision: Math.min(revision, this.#known.get(canary.key)?.revision ?? revision),
      writtenMs,
    });
  }

  delete(key: string): void {
    this.#known.delete(key);
  }

  /** Every range delivered everything up to `revision`. */
  progress(revision: number): void {
    this.#joint = Math.max(this.#joint, revision);
  }

  proves(key: string): boolean {
    const known = this.#known.get(key);
    return known !== undefined && known.revision <= this.#joint;
  }

  believe(): void {
    this.#before = undefined;
  }

  #counts(canary: Canary): boolean {
    if (this.#before === undefined || canary.modRevision > this.#doubtedFrom) return true;
    const beforeMs = this.#before.get(canary.key);
    return beforeMs === undefined || knownOf(canary).writtenMs > beforeMs;
  }
}
