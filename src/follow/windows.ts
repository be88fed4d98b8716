/**
 * Part by part through a large range. For every page etcd counts all keys from its first one to the end of what was asked for: with a page of 5,000 of
 * 3,000,000 keys that is most of the work, and of all agents together the etcd's. So no page is asked for up to the end of the range, but of a window
 * of some pages: of the keys that begin alike.
 */
import type { KeyValue } from "../kv/client.ts";

/** A window of more pages is made narrower, and before there is one a range of more of them is divided. */
const MANY_PAGES = 16;

export class Windows {
  readonly #rangeEnd: string;
  /** How long the text is that keys of a window begin with; undefined: all that is left is one window. */
  #shared: number | undefined;

  /** @param rangeEnd exclusive. */
  constructor(rangeEnd: string) {
    this.#rangeEnd = rangeEnd;
  }

  /** Where the window ends that begins at this key. */
  endFrom(key: string): string {
    for (let length = Math.min(this.#shared ?? 0, key.length); length > 0; length--) {
      const end = following(key.slice(0, length));
      if (end !== undefined) return end < this.#rangeEnd ? end : this.#rangeEnd;
    }
    return this.#rangeEnd;
  }

  /** @param count keys from the first of these to the end of what was asked for. */
  saw(kvs: readonly KeyValue[], count: number): void {
    if (count > MANY_PAGES * kvs.length) this.#shared = this.#narrower(kvs);
    else if (count <= kvs.length && this.#shared !== undefined) this.#shared = Math.max(1, this.#shared - 1);
  }

  #narrower(kvs: readonly KeyValue[]): number {
    const [first, last] = [kvs[0]?.key ?? "", kvs.at(-1)?.key ?? ""];
    if (this.#shared !== undefined) return this.#shared + 1;
    let alike = 0;
    while (alike < first.length && first[alike] === last[alike]) alike++;
    return alike + 1;
  }
}

/** The first text behind all that begin so, as bytes too; undefined: there is none of ASCII. */
function following(prefix: string): string | undefined {
  const last = prefix.charCodeAt(prefix.length - 1);
  return last < 0x7e ? prefix.slice(0, -1) + String.fromCharCode(last + 1) : undefined;
}
