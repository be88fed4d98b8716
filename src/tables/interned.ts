/** One copy of what many rows repeat. When too many different ones were seen it starts anew: sharing saves memory, nothing depends on it. */

const MAX_INTERNED = 16_384;

/** A copy of a plain value that keeps nothing else alive: text cut from a longer one keeps all of that in memory. */
export function compact<T extends string | object>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

export class Interned<T extends string | object> {
  readonly #known = new Map<string, T>();

  /** An equal value, shared. */
  of(value: T): T {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_INTERNED) this.#known.clear();
    const copy = compact(value);
    this.#known.set(typeof copy === "string" ? copy : text, copy);
    return copy;
  }
}
