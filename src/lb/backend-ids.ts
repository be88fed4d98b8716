/**
 * Ids of backends: given once, counted upwards, kept while any frontend uses the backend, and not given again before 2^32 others were:
 * a slot that still names an old id never leads to a new backend.
 */
const LAST_ID = 2 ** 32 - 1;

interface Held {
  readonly id: number;
  uses: number;
}

export class BackendIds {
  readonly #held = new Map<string, Held>();
  readonly #taken = new Set<number>();
  #last = 0;

  /** Never give an id up to `id`: the kernel has seen it. */
  startAfter(id: number): void {
    this.#last = Math.max(this.#last, id);
  }

  /** The kernel knows `backend` by `id`; of several ids the lowest is kept. Not in use until acquired. */
  adopt(backend: string, id: number): void {
    this.startAfter(id);
    const known = this.#held.get(backend);
    if (known !== undefined && known.id <= id) return;
    if (known !== undefined) this.#taken.delete(known.id);
    this.#held.set(backend, { id, uses: 0 });
    this.#taken.add(id);
  }

  /** Forgets adopted ids that nothing uses. */
  forgetUnused(): void {
    for (const [backend, held] of this.#held) if (held.uses === 0) this.#forget(backend, held.id);
  }

  /** One more use of `backend`; `first` when it had none. */
  acquire(backend: string): { readonly id: number; readonly first: boolean } {
    const held = this.#held.get(backend) ?? this.#give(backend);
    held.uses++;
    return { id: held.id, first: held.uses === 1 };
  }

  /** One use less; the id when that was the last. */
  release(backend: string): number | undefined {
    const held = this.#held.get(backend);
    if (held === undefined || held.uses === 0) throw new RangeError(`backend ${backend} is not in use`);
    held.uses--;
    if (held.uses > 0) return undefined;
    this.#forget(backend, held.id);
    return held.id;
  }

  #give(backend: string): Held {
    do this.#last = this.#last >= LAST_ID ? 1 : this.#last + 1;
    while (this.#taken.has(this.#last));
    const held = { id: this.#last, uses: 0 };
    this.#held.set(backend, held);
    this.#taken.add(held.id);
    return held;
  }

  #forget(backend: string, id: number): void {
    this.#held.delete(backend);
    this.#taken.delete(id);
  }
}
