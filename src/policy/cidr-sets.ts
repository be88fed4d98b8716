/**
 * Identities of CIDRs that compiled policies name, and the sets of them that peers mean. An address has the identity of the narrowest CIDR that
 * holds it, so a peer means its own CIDR and all narrower ones inside, but for what it excepts. Numbers are this node's own.
 */
import assert from "node:assert/strict";
import { type Cidr, cidrContains, formatCidr } from "../model/address.ts";
import { FIRST_CIDR_IDENTITY, LAST_CIDR_IDENTITY } from "../model/identity.ts";
import { type Follower, PeerSet } from "./peer-set.ts";
import type { CidrTerm } from "./peers.ts";
import { PrefixTrie } from "./prefix-trie.ts";

/** CIDRs with an identity on one node: leaves room for the clusters' own in `ipcache_cidrs`. */
export const MAX_POLICY_CIDRS = 49_152;

class CidrSet extends PeerSet {
  readonly term: CidrTerm;

  constructor(term: CidrTerm) {
    super();
    this.term = term;
  }

  holds(cidr: Cidr): boolean {
    return contains(this.term.cidr, cidr) && !this.term.except.some((except) => contains(except, cidr));
  }
}

function contains(outer: Cidr, inner: Cidr): boolean {
  return outer.bits <= inner.bits && cidrContains(outer, inner.address);
}

interface Named {
  readonly cidr: Cidr;
  readonly identity: number;
  /** Terms that name it. */
  users: number;
}

export class CidrSets {
  /** Canonical CIDR to identity. */
  readonly identities = new Map<string, number>();
  readonly #named = new PrefixTrie<Named>();
  readonly #sets = new Map<string, CidrSet>();
  /** By the CIDR of their term. */
  readonly #setsAt = new PrefixTrie<Set<CidrSet>>();
  readonly #adopted = new Map<string, number>();
  readonly #taken = new Set<number>();
  #next = FIRST_CIDR_IDENTITY;

  /** Takes over a number; `forgetAdopted` lets go of those that nobody named meanwhile. */
  adopt(cidr: string, identity: number): void {
    if (this.#taken.has(identity)) return;
    this.#adopted.set(cidr, identity);
    this.identities.set(cidr, identity);
    this.#taken.add(identity);
    this.#next = Math.max(this.#next, identity + 1);
  }

  forgetAdopted(): void {
    for (const [cidr, identity] of this.#adopted) {
      this.identities.delete(cidr);
      this.#taken.delete(identity);
    }
    this.#adopted.clear();
  }

  /** Undefined: there are no numbers left for the CIDRs it names. */
  follow(term: CidrTerm, follower: Follower): PeerSet | undefined {
    const set = this.#sets.get(term.text) ?? this.#add(term);
    set?.followers.add(follower);
    return set;
  }

  leave({ text }: CidrTerm, follower: Follower): void {
    const set = this.#sets.get(text);
    set?.followers.delete(follower);
    if (set === undefined || set.followers.size > 0) return;
    this.#sets.delete(text);
    const neighbours = this.#setsAt.get(set.term.cidr);
    neighbours?.delete(set);
    if (neighbours?.size === 0) this.#setsAt.delete(set.term.cidr);
    for (const cidr of namedBy(set.term)) this.#unname(cidr);
  }

  #add(term: CidrTerm): CidrSet | undefined {
    const cidrs = namedBy(term);
    const fresh = cidrs.filter((cidr) => this.#named.get(cidr) === undefined);
    if (this.identities.size + fresh.length > MAX_POLICY_CIDRS) return undefined;
    for (const cidr of cidrs) this.#name(cidr);
    const set = new CidrSet(term);
    this.#sets.set(term.text, set);
    const neighbours = this.#setsAt.get(term.cidr) ?? new Set();
    this.#setsAt.set(term.cidr, neighbours.add(set));
    for (const { cidr, identity } of this.#named.inside(term.cidr)) if (set.holds(cidr)) set.members.add(identity);
    return set;
  }

  #name(cidr: Cidr): void {
    const known = this.#named.get(cidr);
    if (known !== undefined) {
      known.users++;
      return;
    }
    const identity = this.#allocate(formatCidr(cidr));
    this.#named.set(cidr, { cidr, identity, users: 1 });
    this.#place(cidr, identity, true);
  }

  #unname(cidr: Cidr): void {
    const known = this.#named.get(cidr);
    assert(known !== undefined, "a named CIDR has an identity");
    known.users--;
    if (known.users > 0) return;
    this.#named.delete(cidr);
    this.identities.delete(formatCidr(cidr));
    this.#taken.delete(known.identity);
    this.#place(cidr, known.identity, false);
  }

  #place(cidr: Cidr, identity: number, present: boolean): void {
    for (const sets of this.#setsAt.above(cidr)) {
      for (const set of sets) set.place(identity, present && set.holds(cidr));
    }
  }

  /** A number that was let go of is used again last: the kernel may still know it. */
  #allocate(text: string): number {
    const adopted = this.#adopted.get(text);
    this.#adopted.delete(text);
    if (adopted !== undefined) return adopted;
    while (this.#next > LAST_CIDR_IDENTITY || this.#taken.has(this.#next)) {
      this.#next = this.#next >= LAST_CIDR_IDENTITY ? FIRST_CIDR_IDENTITY : this.#next + 1;
    }
    const identity = this.#next++;
    this.#taken.add(identity);
    this.identities.set(text, identity);
    return identity;
  }
}

/** The whole of a family needs no identity: outside of everything narrower it is the world's. */
function namedBy({ cidr, except }: CidrTerm): readonly Cidr[] {
  const all = [cidr, ...except].filter(({ bits }) => bits > 0);
  return [...new Map(all.map((one) => [formatCidr(one), one])).values()];
}
