/** By address, who claims it; and by identity, the named ports of its addresses. To ask every cluster about every address takes too long. */
import type { NamedPort } from "../model/resource.ts";
import type { IpClaim } from "./tables-view.ts";

const NONE: readonly never[] = [];

function portText({ name, protocol, port }: NamedPort): string {
  return `${protocol}/${port}/${name}`;
}

function comparePorts(left: NamedPort, right: NamedPort): number {
  if (left.name !== right.name) return left.name < right.name ? -1 : 1;
  if (left.protocol !== right.protocol) return left.protocol < right.protocol ? -1 : 1;
  return left.port - right.port;
}

interface Counted {
  readonly port: NamedPort;
  count: number;
}

export class Claims {
  /** The only claim itself, or several in order: nearly every address has one, and a list around it costs more than it. */
  readonly #claims = new Map<string, IpClaim | readonly IpClaim[]>();
  readonly #ports = new Map<number, Map<string, Counted>>();
  readonly #rank: (claim: IpClaim) => number;

  /** @param rank the lowest goes first. */
  constructor(rank: (claim: IpClaim) => number) {
    this.#rank = rank;
  }

  addresses(): IterableIterator<string> {
    return this.#claims.keys();
  }

  of(address: string): readonly IpClaim[] {
    const found = this.#claims.get(address);
    if (found === undefined) return NONE;
    return isList(found) ? found : [found];
  }

  /** Sorted; see `TablesView.namedPorts`. */
  namedPorts(identity: number): readonly NamedPort[] {
    const counted = this.#ports.get(identity);
    return counted === undefined ? NONE : Array.from(counted.values(), ({ port }) => port).sort(comparePorts);
  }

  /** One source says `after` instead of `before`; returns the identities whose named ports may be others. */
  replace(address: string, before: IpClaim | undefined, after: IpClaim | undefined): readonly number[] {
    const known = this.#claims.get(address);
    if (after !== undefined && known === before) this.#claims.set(address, after);
    else this.#rearrange(address, before, after);
    if (after !== undefined) this.#count(after, 1);
    if (before !== undefined) this.#count(before, -1);
    const touched = [before, after].filter((claim) => claim !== undefined && claim.namedPorts.length > 0);
    return touched.map((claim) => (claim as IpClaim).identity);
  }

  #rearrange(address: string, before: IpClaim | undefined, after: IpClaim | undefined): void {
    const others = this.of(address).filter((claim) => claim !== before);
    const claims = after === undefined ? others : [...others, after].sort((a, b) => this.#rank(a) - this.#rank(b));
    const [only] = claims;
    if (only === undefined) this.#claims.delete(address);
    else this.#claims.set(address, claims.length === 1 ? only : claims);
  }

  #count({ identity, namedPorts }: IpClaim, by: number): void {
    if (namedPorts.length === 0) return;
    const counted = this.#ports.get(identity) ?? new Map<string, Counted>();
    for (const port of namedPorts) {
      const text = portText(port);
      const known = counted.get(text) ?? { port, count: 0 };
      known.count += by;
      if (known.count === 0) counted.delete(text);
      else counted.set(text, known);
    }
    if (counted.size === 0) this.#ports.delete(identity);
    else this.#ports.set(identity, counted);
  }
}

function isList(found: IpClaim | readonly IpClaim[]): found is readonly IpClaim[] {
  return Array.isArray(found);
}
