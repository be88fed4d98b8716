/** The addresses of one cluster, as its nodes declare them: pod ranges, node addresses, and the health and ingress addresses of nodes. */
import { parseAddress, parseCidr } from "../model/address.ts";
import type { Node } from "../model/resource.ts";
import { hostCidr } from "../wire/addresses.ts";
import { type AddressRange, AddressSet, rangeOf } from "./address-set.ts";
import type { Whereabouts } from "./whereabouts.ts";

/** What a node declares that was not in a territory yet. */
interface Declared {
  readonly pods: readonly AddressRange[];
  readonly points: readonly AddressRange[];
  readonly addresses: readonly string[];
  readonly reserved: readonly string[];
}

export class Territory {
  readonly #name: string;
  readonly #whereabouts: Whereabouts;
  readonly #nodes = new Map<string, Declared>();
  readonly #pods = new AddressSet();
  /** Node addresses of every kind. */
  readonly #points = new AddressSet();
  /** Address -> number of nodes that have it. */
  readonly #addresses = new Map<string, number>();
  readonly #reserved = new Map<string, number>();
  #size = 0;

  constructor(name: string, whereabouts: Whereabouts) {
    this.#name = name;
    this.#whereabouts = whereabouts;
  }

  get declaresPods(): boolean {
    return !this.#pods.isEmpty;
  }

  /** Whether that changed anything: nodes are written again for other reasons too. */
  set(name: string, node: Node): boolean {
    const declared = declaredBy(node);
    if (textOf(this.#nodes.get(name)) === textOf(declared)) return false;
    this.delete(name);
    this.#nodes.set(name, declared);
    for (const range of declared.pods) this.addRange(range);
    for (const range of declared.points) {
      this.#points.add(range);
      this.#whereabouts.add(this.#name, range);
    }
    for (const address of declared.addresses) count(this.#addresses, address, 1);
    for (const address of declared.reserved) count(this.#reserved, address, 1);
    this.#size += sizeOf(declared);
    return true;
  }

  /** Whether it was there. */
  delete(name: string): boolean {
    const declared = this.#nodes.get(name);
    if (declared === undefined) return false;
    this.#nodes.delete(name);
    for (const range of declared.pods) this.#pods.delete(range);
    for (const range of declared.points) this.#points.delete(range);
    for (const range of [...declared.pods, ...declared.points]) this.#whereabouts.delete(this.#name, range);
    for (const address of declared.addresses) count(this.#addresses, address, -1);
    for (const address of declared.reserved) count(this.#reserved, address, -1);
    this.#size -= sizeOf(declared);
    return true;
  }

  names(): IterableIterator<string> {
    return this.#nodes.keys();
  }

  has(name: string): boolean {
    return this.#nodes.has(name);
  }

  /** Ranges and addresses that nodes other than this one declare. */
  sizeWithout(name: string): number {
    const declared = this.#nodes.get(name);
    return declared === undefined ? this.#size : this.#size - sizeOf(declared);
  }

  /** A range that no node declares, such as that of services. */
  addRange(range: AddressRange): void {
    this.#pods.add(range);
    this.#whereabouts.add(this.#name, range);
  }

  /** Nothing is declared any more. */
  clear(): void {
    for (const name of [...this.#nodes.keys()]) this.delete(name);
  }

  /** Canonical text. */
  hasNodeAddress(address: string): boolean {
    return this.#addresses.has(address);
  }

  /** Health or ingress address of a node. */
  hasReservedAddress(address: string): boolean {
    return this.#reserved.has(address);
  }

  contains(range: AddressRange): boolean {
    return this.#pods.contains(range) || this.#points.contains(range);
  }

  overlaps(range: AddressRange): boolean {
    return this.#pods.overlaps(range) || this.#points.overlaps(range);
  }
}

function count(counts: Map<string, number>, address: string, by: number): void {
  const next = (counts.get(address) ?? 0) + by;
  if (next > 0) counts.set(address, next);
  else counts.delete(address);
}

function sizeOf({ pods, points }: Declared): number {
  return pods.length + points.length;
}

function textOf(declared: Declared | undefined): string {
  if (declared === undefined) return "";
  const { pods, addresses, reserved } = declared;
  return [pods.map(({ first, last }) => `${first}-${last}`), addresses, reserved].map((part) => part.join()).join(";");
}

function declaredBy({ podCidrs, addresses, reservedAddresses }: Node): Declared {
  const own = addresses.map(({ address }) => address);
  return {
    pods: podCidrs.flatMap(rangeOfText),
    points: [...own, ...reservedAddresses].flatMap(rangeOfText),
    addresses: own,
    reserved: reservedAddresses,
  };
}

/** Of an address or a CIDR; none when the text is neither. */
export function rangeOfText(text: string): readonly AddressRange[] {
  const cidr = parseCidr(text);
  if (cidr) return [rangeOf(cidr)];
  const address = parseAddress(text);
  return address ? [rangeOf(hostCidr(address))] : [];
}
