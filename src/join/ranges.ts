/** Ranges of addresses, as few as say the same, and where two sets meet. */
import { ADDRESS_BYTES, type Cidr, formatCidr, isV4, parseAddress, parseCidr, prefixBits } from "../model/address.ts";

interface Range {
  /** The first address. */
  readonly base: bigint;
  /** Of the 128 that both families share. */
  readonly bits: number;
}

const ALL_BITS = ADDRESS_BYTES * 8;
/** All of IPv4 in its mapped place: nothing is merged beyond it. */
const V4_BITS = 96;

function rangeOf(cidr: Cidr): Range {
  return { base: BigInt(`0x${Buffer.from(cidr.address).toString("hex")}`), bits: prefixBits(cidr) };
}

function textOf({ base, bits }: Range): string {
  const address = new Uint8Array(Buffer.from(base.toString(16).padStart(ADDRESS_BYTES * 2, "0"), "hex"));
  return formatCidr({ address, bits: isV4(address) && bits >= V4_BITS ? bits - V4_BITS : bits });
}

/** `10.0.0.1` is `10.0.0.1/32`; undefined when it is neither address nor CIDR. */
export function parseRange(text: string): Cidr | undefined {
  const address = parseAddress(text);
  return address ? { address, bits: isV4(address) ? 32 : ALL_BITS } : parseCidr(text);
}

const above = ({ base, bits }: Range): bigint => base >> BigInt(ALL_BITS - bits);

function contains(outer: Range, inner: Range): boolean {
  return outer.bits <= inner.bits && above(outer) === above({ base: inner.base, bits: outer.bits });
}

/** Two halves of one range. */
function areHalves(left: Range, right: Range): boolean {
  return (
    left.bits === right.bits &&
    left.bits !== V4_BITS &&
    left.bits > 0 &&
    above(left) + 1n === above(right) &&
    above(left) % 2n === 0n
  );
}

const ascending = (left: Range, right: Range): number => {
  if (left.base !== right.base) return left.base < right.base ? -1 : 1;
  return left.bits - right.bits;
};

/** Ascending, apart from each other. */
function merged(ranges: readonly Range[]): readonly Range[] {
  const kept: Range[] = [];
  for (const range of ranges.toSorted(ascending)) {
    const last = kept.at(-1);
    if (last && contains(last, range)) continue;
    kept.push(range);
    for (;;) {
      const [left, right] = kept.slice(-2);
      if (!left || !right || !areHalves(left, right)) break;
      kept.splice(-2, 2, { base: left.base, bits: left.bits - 1 });
    }
  }
  return kept;
}

/** The same addresses in as few CIDRs as there can be, ascending, IPv4 first. Text that is no range is left out. */
export function fewest(texts: readonly string[]): readonly string[] {
  const ranges = texts.flatMap((text) => parseRange(text) ?? []).map(rangeOf);
  const all = merged(ranges).map(textOf);
  return [...all.filter((text) => !text.includes(":")), ...all.filter((text) => text.includes(":"))];
}

/** A range of each that share addresses, for every place where that is so. */
export function overlaps(left: readonly string[], right: readonly string[]): readonly (readonly [string, string])[] {
  const sorted = (texts: readonly string[]) => merged(texts.flatMap((text) => parseRange(text) ?? []).map(rangeOf));
  const both = [
    ...sorted(left).map((range) => ({ range, ofLeft: true })),
    ...sorted(right).map((range) => ({ range, ofLeft: false })),
  ].sort((one, other) => ascending(one.range, other.range));
  const found: (readonly [string, string])[] = [];
  let [lastLeft, lastRight]: (Range | undefined)[] = [];
  for (const { range, ofLeft } of both) {
    const other = ofLeft ? lastRight : lastLeft;
    if (other && contains(other, range)) {
      found.push(ofLeft ? [textOf(range), textOf(other)] : [textOf(other), textOf(range)]);
    }
    if (ofLeft) lastLeft = range;
    else lastRight = range;
  }
  return found;
}

/** Those of `inner` that lie not wholly in one of `outer`. */
export function outside(inner: readonly string[], outer: readonly string[]): readonly string[] {
  const holders = outer.flatMap((text) => parseRange(text) ?? []).map(rangeOf);
  return inner.filter((text) => {
    const cidr = parseRange(text);
    return cidr !== undefined && !holders.some((holder) => contains(holder, rangeOf(cidr)));
  });
}
