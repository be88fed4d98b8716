/** Ranges of addresses as a set: is one inside, does one overlap. v4 lies in its mapped place, so that both families share one order. */
import { type Cidr, prefixBits } from "../model/address.ts";

/** First and last address in hexadecimal: text compares as numbers do. */
export interface AddressRange {
  readonly first: string;
  readonly last: string;
}

export function rangeOf(cidr: Cidr): AddressRange {
  const hex = hexOf(cidr.address);
  const bits = prefixBits(cidr);
  if (bits === 128) return { first: hex, last: hex };
  const kept = hex.slice(0, bits >> 2);
  const digits = 32 - kept.length;
  if ((bits & 3) === 0) return { first: kept + "0".repeat(digits), last: kept + "f".repeat(digits) };
  const digit = Number.parseInt(hex[bits >> 2] ?? "0", 16);
  const free = 0xf >> (bits & 3);
  const low = (digit & ~free).toString(16);
  const high = (digit | free).toString(16);
  return { first: kept + low + "0".repeat(digits - 1), last: kept + high + "f".repeat(digits - 1) };
}

export function hexOf(address: Uint8Array): string {
  return Buffer.from(address.buffer, address.byteOffset, address.length).toString("hex");
}

export class AddressSet {
  /** `first last` -> how often it was added. */
  readonly #counts = new Map<string, { readonly range: AddressRange; count: number }>();
  /** Disjoint, ascending; undefined: to be made again. */
  #merged: readonly AddressRange[] | undefined;

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  add(range: AddressRange): void {
    const key = `${range.first} ${range.last}`;
    const known = this.#counts.get(key);
    if (known) known.count++;
    else {
      this.#counts.set(key, { range, count: 1 });
      this.#merged = undefined;
    }
  }

  delete(range: AddressRange): void {
    const key = `${range.first} ${range.last}`;
    const known = this.#counts.get(key);
    if (known === undefined || --known.count > 0) return;
    this.#counts.delete(key);
    this.#merged = undefined;
  }

  /** Whether all of `range` is inside one range, or several that touch. */
  contains({ first, last }: AddressRange): boolean {
    const found = this.#lastStartingUpTo(first);
    return found !== undefined && found.last >= last;
  }

  overlaps({ first, last }: AddressRange): boolean {
    const found = this.#lastStartingUpTo(last);
    return found !== undefined && found.last >= first;
  }

  #lastStartingUpTo(point: string): AddressRange | undefined {
    this.#merged ??= this.#merge();
    let low = 0;
    let high = this.#merged.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#merged[middle]?.first ?? "") <= point) low = middle + 1;
      else high = middle;
    }
    return this.#merged[low - 1];
  }

  #merge(): readonly AddressRange[] {
    const ranges = [...this.#counts.values()].map(({ range }) => range);
    ranges.sort((left, right) => (left.first < right.first ? -1 : 1));
    const merged: AddressRange[] = [];
    for (const range of ranges) {
      const before = merged.at(-1);
      if (before === undefined || before.last < range.first) merged.push(range);
      else if (before.last < range.last) merged[merged.length - 1] = { first: before.first, last: range.last };
    }
    return merged;
  }
}
