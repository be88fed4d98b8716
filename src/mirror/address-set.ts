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

/** Two ranges of prefixes never overlap in part: one holds the other, or they are apart. */
export class AddressSet {
  /** `first last` -> how often it was added. */
  readonly #counts = new Map<string, number>();
  /** Ascending, the wider one first. */
  #all: AddressRange[] = [];
  /** Those that lie in no other, ascending: each change touches only what is near it, so that thousands of nodes that come and go cost little. */
  #widest: AddressRange[] = [];

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  add(range: AddressRange): void {
    const key = keyOf(range);
    const count = this.#counts.get(key) ?? 0;
    this.#counts.set(key, count + 1);
    if (count > 0) return;
    this.#all.splice(countBefore(this.#all, range), 0, range);
    if (this.contains(range)) return;
    const from = startingUpTo(this.#widest, range.first, false);
    const to = startingUpTo(this.#widest, range.last, true);
    this.#widest.splice(from, to - from, range);
  }

  delete(range: AddressRange): void {
    const key = keyOf(range);
    const count = this.#counts.get(key);
    if (count === undefined) return;
    if (count > 1) {
      this.#counts.set(key, count - 1);
      return;
    }
    this.#counts.delete(key);
    const from = countBefore(this.#all, range);
    this.#all.splice(from, 1);
    const at = startingUpTo(this.#widest, range.first, true) - 1;
    if (this.#widest[at]?.last !== range.last || this.#widest[at]?.first !== range.first) return;
    const bared = this.#widestInside(range, from);
    if (bared.length === 0) this.#widest.splice(at, 1);
    else this.#widest = [...this.#widest.slice(0, at), ...bared, ...this.#widest.slice(at + 1)];
  }

  /** Whether one of the ranges holds all of `range`. */
  contains({ first, last }: AddressRange): boolean {
    const found = this.#widest[startingUpTo(this.#widest, first, true) - 1];
    return found !== undefined && found.last >= last;
  }

  overlaps({ first, last }: AddressRange): boolean {
    const found = this.#widest[startingUpTo(this.#widest, last, true) - 1];
    return found !== undefined && found.last >= first;
  }

  /** The ranges, ascending. */
  ranges(): readonly AddressRange[] {
    return this.#all;
  }

  /** @param from index in `#all` of the first that may lie inside. */
  #widestInside({ last }: AddressRange, from: number): readonly AddressRange[] {
    const found: AddressRange[] = [];
    for (let index = from; index < this.#all.length; index++) {
      const next = this.#all[index] as AddressRange;
      if (next.first > last) break;
      const before = found.at(-1);
      if (before === undefined || before.last < next.first) found.push(next);
    }
    return found;
  }
}

function keyOf({ first, last }: AddressRange): string {
  return `${first} ${last}`;
}

/** How many of ascending `ranges` start before `point`, or at it if `including`. */
function startingUpTo(ranges: readonly AddressRange[], point: string, including: boolean): number {
  return partition(ranges, ({ first }) => first < point || (including && first === point));
}

function countBefore(ranges: readonly AddressRange[], { first, last }: AddressRange): number {
  return partition(ranges, (range) => range.first < first || (range.first === first && range.last > last));
}

/** How many of `ranges` there are before the first that `isBefore` denies. */
function partition(ranges: readonly AddressRange[], isBefore: (range: AddressRange) => boolean): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(ranges[middle] as AddressRange)) low = middle + 1;
    else high = middle;
  }
  return low;
}
