/**
 * Which clusters may have something near an address: of hundreds of them few have to be asked. Ranges are told apart by the block that they lie in, a /16 of IPv4 or
 * a /48 of IPv6; what is wider than a block is near everything.
 */
import type { AddressRange } from "./address-set.ts";

const V4 = `${"0".repeat(20)}ffff`;
const V4_DIGITS = 28;
const V6_DIGITS = 12;
const WIDE = "";
/** The block of IPv6 that all of IPv4 lies in. */
const AROUND_V4 = V4.slice(0, V6_DIGITS);

function blockOf({ first, last }: AddressRange): string {
  const digits = first.startsWith(V4) ? V4_DIGITS : V6_DIGITS;
  const block = first.slice(0, digits);
  return last.startsWith(block) && block !== AROUND_V4 ? block : WIDE;
}

export class Whereabouts {
  /** Block -> cluster -> how many ranges it has there. */
  readonly #blocks = new Map<string, Map<string, number>>();

  add(cluster: string, range: AddressRange): void {
    const block = blockOf(range);
    const clusters = this.#blocks.get(block) ?? new Map<string, number>();
    this.#blocks.set(block, clusters.set(cluster, (clusters.get(cluster) ?? 0) + 1));
  }

  delete(cluster: string, range: AddressRange): void {
    const block = blockOf(range);
    const clusters = this.#blocks.get(block);
    const left = (clusters?.get(cluster) ?? 0) - 1;
    if (left > 0) clusters?.set(cluster, left);
    else clusters?.delete(cluster);
    if (clusters?.size === 0) this.#blocks.delete(block);
  }

  /** All clusters of which a range may overlap this one, some of them twice. */
  *near(range: AddressRange): Generator<string> {
    const block = blockOf(range);
    if (block === WIDE) for (const clusters of this.#blocks.values()) yield* clusters.keys();
    else {
      yield* this.#blocks.get(block)?.keys() ?? [];
      yield* this.#blocks.get(WIDE)?.keys() ?? [];
    }
  }
}
