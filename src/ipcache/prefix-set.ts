/** Prefixes over 16 bytes, named by their key in `ipcache_cidrs`, and which of them hold a given one. */
import { encodeIpcacheCidrKey } from "../maps/ipcache-cidr-map.ts";
import { ADDRESS_BYTES } from "../model/address.ts";
import { type EntryKey, entryKey } from "../tables/desired-map.ts";

export interface Prefix {
  /** 16 bytes. */
  readonly address: Uint8Array;
  /** Over the 16 bytes: 0..128. */
  readonly bits: number;
}

/** The whole of IPv4. */
export const IPV4: Prefix = { address: new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0]), bits: 96 };

export function prefixKey({ address, bits }: Prefix): EntryKey {
  const masked = new Uint8Array(ADDRESS_BYTES);
  masked.set(address.subarray(0, bits >> 3));
  if (bits & 7) masked[bits >> 3] = (address[bits >> 3] ?? 0) & (0xff00 >> (bits & 7));
  return entryKey(encodeIpcacheCidrKey({ prefixLength: bits, address: masked }));
}

export class PrefixSet {
  readonly #keys = new Set<EntryKey>();
  /** Few: one look-up each answers what holds an address. */
  readonly #lengths = new Set<number>();

  add(prefix: Prefix): void {
    this.#keys.add(prefixKey(prefix));
    this.#lengths.add(prefix.bits);
  }

  keys(): IterableIterator<EntryKey> {
    return this.#keys.keys();
  }

  /** Members that hold all of `prefix`, itself among them. */
  holding({ address, bits }: Prefix): readonly EntryKey[] {
    const found: EntryKey[] = [];
    for (const length of this.#lengths) {
      const key = length <= bits ? prefixKey({ address, bits: length }) : undefined;
      if (key !== undefined && this.#keys.has(key)) found.push(key);
    }
    return found;
  }

  holds(prefix: Prefix): boolean {
    return this.#keys.size > 0 && this.holding(prefix).length > 0;
  }

  /** Same members, whatever their order. */
  equals(other: PrefixSet): boolean {
    return this.#keys.size === other.#keys.size && [...this.#keys].every((key) => other.#keys.has(key));
  }
}
