/** The addresses of one cluster, as its nodes declare them: pod ranges, node addresses, and the health and ingress addresses of nodes. */
import { parseAddress, parseCidr } from "../model/address.ts";
import type { Node } from "../model/resource.ts";
import { hostCidr } from "../wire/addresses.ts";
import { type AddressRange, AddressSet, rangeOf } from "./address-set.ts";

/** What a node declares that was not in a territory yet. */
interface Declared {
  readonly pods: readonly AddressRange[];
  readonly points: readonly AddressRange[];
  readonly addresses: readonly string[];
  readonly reserved: readonly string[];
}

export class Territory {
  readonly #nodes = new Map<string, Declared>();
  readonly #pods = new AddressSet();
  /** Node addresses of every kind. */
  readonly #points = new AddressSet();
  /** Address -> number of nodes that have it. */
  readonly #addresses = new Map<string, number>();
  readonly #reserved = new Map<string, number>();

  get declaresPods(): boolean {
    return !this.#pods.isEmpty;
  }

  set(name: string, node: Node): void {
    this.delete(name);
    const declared = declaredBy(node);
    this.#nodes.set(name, declared);
    for (const range of declared.pods) this.#pods.add(range);
    for (const range of declared.points) this.#points.add(range);
    for (const address of declared.addresses) count(this.#addresses, address, 1);
    for (const address of declared.reserved) count(this.#reserved, address, 1);
  }

  delete(name: string): void {
    const declared = this.#nodes.get(name);
    if (declared === undefined) return;
    this.#nodes.delete(name);
    for (const range of declared.pods) this.#pods.delete(range);
    for (const range of declared.points) this.#points.delete(range);
    for (const address of declared.addresses) count(this.#addresses, address, -1);
    for (const address of declared.reserved) count(this.#reserved, address, -1);
  }

  /** A range that no node declares, such as that of services. */
  addRange(range: AddressRange): void {
    this.#pods.add(range);
  }

  names(): IterableIterator<string> {
    return this.#nodes.keys();
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
