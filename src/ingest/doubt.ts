/**
 * Sources that are doubted since the local etcd was restored, or replaced: what was known of them stays as it was until their writer vouched for what the etcd
 * says now, or for a time, where the writer does not do so.
 */
export class Doubt {
  readonly #confirmMs: number;
  readonly #sources = new Set<string>();
  #sinceMs = 0;

  /** @param confirmMs for how long at most. */
  constructor(confirmMs: number) {
    this.#confirmMs = confirmMs;
  }

  get sources(): ReadonlySet<string> {
    return this.#sources;
  }

  begin(sources: Iterable<string>, nowMs: number): void {
    for (const source of sources) this.#sources.add(source);
    this.#sinceMs = nowMs;
  }

  /** Of these sources what is listed counts. Whether none is left. */
  vouched(sources: Iterable<string>): boolean {
    for (const source of sources) this.#sources.delete(source);
    return this.#sources.size === 0;
  }

  /** Whether it lasts too long. */
  isOver(nowMs: number): boolean {
    return this.#sources.size > 0 && nowMs - this.#sinceMs >= this.#confirmMs;
  }
}
