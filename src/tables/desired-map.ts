/**
 * What one kernel map should hold: key bytes to value bytes, with the keys that changed since they were last taken.
 * Keys are text, one character a byte, because bytes do not compare by content in a Map.
 */

export type EntryKey = string;

export function entryKey(bytes: Uint8Array): EntryKey {
  // Spreading takes five times as long, and there are hundreds of thousands of keys.
  return Reflect.apply(String.fromCharCode, undefined, bytes) as EntryKey;
}

export function keyBytes(key: EntryKey): Uint8Array {
  const bytes = new Uint8Array(key.length);
  for (let index = 0; index < key.length; index++) bytes[index] = key.charCodeAt(index);
  return bytes;
}

/** Keys side by side. */
export function joinedKeys(keys: readonly EntryKey[]): Uint8Array {
  const size = keys[0]?.length ?? 0;
  const bytes = new Uint8Array(size * keys.length);
  for (const [index, key] of keys.entries()) {
    for (let at = 0; at < size; at++) bytes[index * size + at] = key.charCodeAt(at);
  }
  return bytes;
}

export function equalBytes(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === right) return true;
  if (left === undefined || right === undefined || left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

export class DesiredMap {
  readonly #entries = new Map<EntryKey, Uint8Array>();
  /** What stood there when changes were last taken. */
  #changed = new Map<EntryKey, Uint8Array | undefined>();

  get size(): number {
    return this.#entries.size;
  }

  get(key: EntryKey): Uint8Array | undefined {
    return this.#entries.get(key);
  }

  entries(): IterableIterator<[EntryKey, Uint8Array]> {
    return this.#entries.entries();
  }

  keys(): IterableIterator<EntryKey> {
    return this.#entries.keys();
  }

  /** What the kernel holds already: no change, once the two were compared. */
  adopt(key: EntryKey, value: Uint8Array): void {
    this.#entries.set(key, value);
  }

  set(key: EntryKey, value: Uint8Array): void {
    const before = this.#entries.get(key);
    if (equalBytes(before, value)) return;
    this.#entries.set(key, value);
    if (!this.#changed.has(key)) this.#changed.set(key, before);
  }

  delete(key: EntryKey): void {
    const before = this.#entries.get(key);
    if (before === undefined) return;
    this.#entries.delete(key);
    if (!this.#changed.has(key)) this.#changed.set(key, before);
  }

  /** Keys set or deleted since the last call, each with its value then, undefined where there was none. The caller's own. */
  takeChanged(): Map<EntryKey, Uint8Array | undefined> {
    const changed = this.#changed;
    this.#changed = new Map();
    return changed;
  }
}
