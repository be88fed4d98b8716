/**
 * The rows one source gave: one kind of one cluster. A listing marks every row; what it shows again is unmarked; only a *complete* listing
 * sweeps the rest. So a source that went quiet, or came back empty, loses nothing.
 */
export class SourceTable<Row> {
  readonly #rows = new Map<string, Row>();
  #unseen = new Set<string>();

  get size(): number {
    return this.#rows.size;
  }

  /** Rows that the last listing did not show and that are kept because it did not prove to be complete. */
  get held(): number {
    return this.#unseen.size;
  }

  get(key: string): Row | undefined {
    return this.#rows.get(key);
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  values(): IterableIterator<Row> {
    return this.#rows.values();
  }

  keys(): IterableIterator<string> {
    return this.#rows.keys();
  }

  put(key: string, row: Row): void {
    this.#rows.set(key, row);
    this.#unseen.delete(key);
  }

  /** The key is there, but its value was refused: the last good one stays. */
  touch(key: string): void {
    this.#unseen.delete(key);
  }

  /** The row that went. */
  delete(key: string): Row | undefined {
    const row = this.#rows.get(key);
    this.#unseen.delete(key);
    this.#rows.delete(key);
    return row;
  }

  mark(): void {
    this.#unseen = new Set(this.#rows.keys());
  }

  /** Removes what the listing did not show, and returns it. */
  sweep(): readonly (readonly [key: string, row: Row])[] {
    const gone = [...this.#unseen].map((key) => [key, this.#rows.get(key) as Row] as const);
    for (const [key] of gone) this.#rows.delete(key);
    this.#unseen.clear();
    return gone;
  }
}
