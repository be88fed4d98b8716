/**
 * Ids of backends: given once, counted upwards, kept while any frontend uses the backend, and not given again before 2^32 others were:
 * a slot that still names an old id never leads to a new backend.
 */
const LAST_ID = 2 ** 32 - 1;

interface Held {
  readonly backend: string;
  readonly id: number;
  uses: number;
}

export class BackendIds {
  readonly #held = new Map<string, Held>();
  readonly #taken = new Map<number, Held>();
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
    this.#hold({ backend, id, uses: 0 });
  }

  /** Forgets adopted ids that nothing uses. */
  forgetUnused(): void {
    for (const held of this.#held.values()) if (held.uses === 0) this.#forget(held);
  }

  /** One more use of `backend`; `first` when it had none. */
  acquire(backend: string): { readonly id: number; readonly first: boolean } {
    const held = this.#held.get(backend) ?? this.#give(backend);
    held.uses++;
    return { id: held.id, first: held.uses === 1 };
  }

  /** The id of a backend that is known. */
  of(backend: string): number | undefined {
    return this.#held.get(backend)?.id;
  }

  /** One use less; true: that was the last, and the id is not known any more. */
  release(id: number): boolean {
    const held = this.#taken.get(id);
    if (held === undefined || held.uses === 0) throw new RangeError(`backend id ${id} is not in use`);
    held.uses--;
    if (held.uses > 0) return false;
    this.#forget(held);
    return true;
  }

  #give(backend: string): Held {
    do this.#last = this.#last >= LAST_ID ? 1 : this.#last + 1;
    while (this.#taken.has(this.#last));
    return this.#hold({ backend, id: this.#last, uses: 0 });
  }

  #hold(held: Held): Held {
    this.#held.set(held.backend, held);
    this.#taken.set(held.id, held);
    return held;
  }

  #forget({ backend, id }: Held): void {
    this.#held.delete(backend);
    this.#taken.delete(id);
  }
}
