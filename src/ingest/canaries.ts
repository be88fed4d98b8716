/**
 * Canaries, and how far every followed range was delivered. A canary proves its source only from the joint revision on that includes it: before,
 * rows written ahead of it may still be on their way in another range.
 */
export class Canaries {
  readonly #revisions = new Map<string, number>();
  #joint = 0;

  /** A complete listing at `revision`: what it does not show is not there. */
  listed(canaries: Iterable<{ readonly key: string; readonly modRevision: number }>, revision: number): void {
    this.#revisions.clear();
    for (const { key, modRevision } of canaries) this.#revisions.set(key, modRevision);
    this.#joint = revision;
  }

  put(key: string, revision: number): void {
    this.#revisions.set(key, Math.min(revision, this.#revisions.get(key) ?? revision));
  }

  delete(key: string): void {
    this.#revisions.delete(key);
  }

  /** Every range delivered everything up to `revision`. */
  progress(revision: number): void {
    this.#joint = Math.max(this.#joint, revision);
  }

  proves(key: string): boolean {
    const revision = this.#revisions.get(key);
    return revision !== undefined && revision <= this.#joint;
  }
}
