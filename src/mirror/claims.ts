/**
 * Who may speak of what: which remote holds which cluster id, and whose an address is. The incumbent is whoever is in the local cache, also after a
 * restart: the nodes in it are the claims.
 */
import { isV4, parseCidr } from "../model/address.ts";
import { type Cluster, FIRST_ALLOCATED_IDENTITY } from "../model/cluster.ts";
import { RESERVED_IDENTITIES } from "../model/identity.ts";
import type { ClusterEndpointSlice, ClusterService, IpEntry, Node } from "../model/resource.ts";
import type { ResourceKind, ResourceValue } from "../wire/resources.ts";
import { type AddressRange, AddressSet } from "./address-set.ts";
import type { CachedNodes } from "./cached-nodes.ts";
import type { OwnRanges } from "./own-ranges.ts";
import type { Ownership, Verdict } from "./ownership.ts";
import { rangeOfText, Territory } from "./territory.ts";
import { Whereabouts } from "./whereabouts.ts";

/** Shortest prefix of a pod range that one node may declare: nobody owns half of the Internet. */
const SHORTEST_V4 = 8;
const SHORTEST_V6 = 16;

/** Ranges and addresses that one node declares, and all nodes of one remote: a registry in memory must have an end. */
export const MAX_NODE_RANGES = 256;
export const MAX_REMOTE_RANGES = 100_000;

const ACCEPTED: Verdict = { kind: "accepted" };
const PARKED: Verdict = { kind: "parked" };

type Reason = "foreign-address" | "not-allowed" | "too-wide" | "too-many-ranges";

function rejected(reason: Reason, detail: string): Verdict {
  return { kind: "rejected", reason, detail };
}

export class Claims {
  readonly #own: Cluster;
  readonly #idOf = new Map<string, number>();
  /** By cluster name, the own one's among them. */
  readonly #territories = new Map<string, Territory>();
  readonly #whereabouts = new Whereabouts();
  /** Frontends of our services, canonical addresses. A remote that held one before it was ours keeps it. */
  #ownFrontends: ReadonlySet<string> = new Set();
  readonly #frontends = new AddressSet();
  /** Where an operator says that a remote's addresses lie: stronger than who came first. */
  readonly #allowed = new Map<string, AddressSet>();

  #freed = false;

  /** @param ownCidrs ranges of ours that no node declares, such as that of services. */
  constructor(own: Cluster, ownCidrs: readonly string[] = []) {
    this.#own = own;
    for (const range of ownCidrs.flatMap(rangeOfText)) this.#territory(own.name).addRange(range);
  }

  /**
   * What the local cache holds, name -> id, is what counts. Of remotes that are configured and of which it holds nothing, as after it lost its data, what
   * we knew stays.
   */
  load(cached: ReadonlyMap<string, number>, configured: ReadonlySet<string>): void {
    for (const name of this.#idOf.keys()) {
      if (cached.has(name) || configured.has(name)) continue;
      this.#idOf.delete(name);
      this.#leave(name);
    }
    for (const [name, id] of cached) if (name !== this.#own.name) this.#idOf.set(name, id);
  }

  /** What the local cache holds of a remote's nodes; `complete`: these are all. */
  loadNodes(remote: string, { nodes, complete }: CachedNodes): void {
    if (complete) this.#leave(remote);
    for (const node of nodes) this.#territory(remote).set(node.name, node);
  }

  /** What is known of the own cluster; `complete`: that is all. What could not be read stays as it was. */
  setOwn({ nodes, frontends, complete }: Omit<OwnRanges, "denied">): void {
    const own = this.#territory(this.#own.name);
    for (const node of nodes ?? []) this.#came(own, node.name, node);
    if (nodes && complete) this.#only(own, new Set(nodes.map(({ name }) => name)));
    if (frontends) this.#setOwnFrontends(new Set(complete ? frontends : [...this.#ownFrontends, ...frontends]));
  }

  #only(territory: Territory, names: ReadonlySet<string>): void {
    for (const name of [...territory.names()]) if (!names.has(name)) this.#gone(territory, name);
  }

  #setOwnFrontends(after: ReadonlySet<string>): void {
    const before = this.#ownFrontends;
    this.#ownFrontends = after;
    const gone = [...before].filter((address) => !after.has(address));
    for (const range of gone.flatMap(rangeOfText)) this.#frontends.delete(range);
    for (const address of after)
      if (!before.has(address)) for (const range of rangeOfText(address)) this.#frontends.add(range);
    if (gone.length > 0) this.#freed = true;
  }

  /** Returns whether that is another word than before. @param cidrs undefined: no operator said anything. */
  allow(remote: string, cidrs: readonly string[] | undefined): boolean {
    const before = textOf(this.#allowed.get(remote));
    // Of others: what only he held back, or what he now takes from them.
    if (this.#allowed.delete(remote) || cidrs !== undefined) this.#freed = true;
    if (cidrs === undefined) return before !== undefined;
    const allowed = new AddressSet();
    for (const range of cidrs.flatMap(rangeOfText)) allowed.add(range);
    this.#allowed.set(remote, allowed);
    return textOf(allowed) !== before;
  }

  /** One line for each two remotes that an operator lets have the same addresses: there, the first to claim wins. */
  problems(): readonly string[] {
    const lines: string[] = [];
    const known = [...this.#allowed].sort(([left], [right]) => (left < right ? -1 : 1));
    for (const [index, [left, ranges]] of known.entries()) {
      for (const [right, others] of known.slice(index + 1)) {
        if (!ranges.ranges().some((range) => others.overlaps(range))) continue;
        lines.push(
          `bulkhead-allowed-cidrs of ${left} and ${right} overlap: the first to claim an address there has it; make them disjoint`,
        );
      }
    }
    return lines;
  }

  /** Names that hold an id. */
  names(): readonly string[] {
    return [...this.#idOf.keys()];
  }

  /** Nothing of the cluster is left. */
  release(name: string): void {
    this.#freed = true;
    this.#idOf.delete(name);
    this.#leave(name);
    this.#allowed.delete(name);
  }

  /** Takes `id` for `name`, or says in one line why not. */
  take(name: string, id: number): string | undefined {
    const refusal = this.#refuseId(name, id);
    if (refusal !== undefined) return refusal;
    const before = this.#idOf.get(name);
    if (before !== undefined && before !== id) {
      return `cluster ${name} changed its id from ${before} to ${id} while its state is cached under ${before}; give it back id ${before}, or see \`bulkhead holds\``;
    }
    this.#idOf.set(name, id);
    return undefined;
  }

  /** The id that `name` had, when nothing else speaks against `id`. */
  renumberedFrom(name: string, id: number): number | undefined {
    const before = this.#idOf.get(name);
    return before === id || this.#refuseId(name, id) !== undefined ? undefined : before;
  }

  #refuseId(name: string, id: number): string | undefined {
    if (id === this.#own.id) {
      return `cluster ${name} has id ${id}, which is our own (${this.#own.name}); give one of the two another id`;
    }
    for (const [holder, held] of this.#idOf) {
      if (held !== id || holder === name) continue;
      return `cluster ${name} has id ${id}, which ${holder} holds already; give one of the two another id`;
    }
    return undefined;
  }

  /** Whether something that was claimed has been free since this was last asked: others may have been refused because of it. */
  takeFreed(): boolean {
    const freed = this.#freed;
    this.#freed = false;
    return freed;
  }

  /** What is asked for one remote. */
  ownership(remote: string): Ownership {
    return {
      judge: (kind, value) => this.#judge(remote, kind, value),
      came: (kind, suffix, value) => kind === "nodes" && this.#came(this.#territory(remote), suffix, value as Node),
      gone: (kind, suffix) => {
        if (kind === "nodes") this.#gone(this.#territory(remote), suffix);
      },
      only: (kind, suffixes) => {
        if (kind === "nodes") this.#only(this.#territory(remote), suffixes);
      },
    };
  }

  #came(territory: Territory, name: string, node: Node): boolean {
    const wasKnown = territory.has(name);
    const changed = territory.set(name, node);
    if (wasKnown && changed) this.#freed = true;
    return changed;
  }

  #gone(territory: Territory, name: string): void {
    if (territory.delete(name)) this.#freed = true;
  }

  #territory(name: string): Territory {
    const known = this.#territories.get(name);
    if (known) return known;
    const made = new Territory(name, this.#whereabouts);
    this.#territories.set(name, made);
    return made;
  }

  /** The own one, which holds what no node declares, never leaves. */
  #leave(name: string): void {
    this.#territories.get(name)?.clear();
    this.#territories.delete(name);
  }

  #judge(remote: string, kind: ResourceKind, value: ResourceValue): Verdict {
    if (kind === "nodes") return this.#judgeNode(remote, value as Node);
    if (kind === "ip") return this.#judgeIp(remote, value as IpEntry);
    if (kind === "services") return this.#judgeBackends(remote, (value as ClusterService).backends.keys());
    if (kind === "endpointslices") {
      const { endpoints } = value as ClusterEndpointSlice;
      return this.#judgeBackends(
        remote,
        endpoints.flatMap(({ addresses }) => addresses),
      );
    }
    return ACCEPTED;
  }

  /** Whose part of the range is, other than the remote's: ours, then an operator's word, then the first who claimed it. */
  #otherHolder(remote: string, range: AddressRange): string | undefined {
    const own = this.#own.name;
    if (this.#territories.get(own)?.overlaps(range)) return `${own} (our own)`;
    if (this.#frontends.overlaps(range) && !this.#territory(remote).contains(range)) return `${own} (our own service)`;
    const isMeant = this.#allowed.get(remote)?.contains(range) === true;
    for (const [name, allowed] of isMeant ? [] : this.#allowed) {
      if (name !== remote && allowed.overlaps(range)) return `${name} (its bulkhead-allowed-cidrs)`;
    }
    for (const name of this.#whereabouts.near(range)) {
      if (name === remote || name === own || !this.#territories.get(name)?.overlaps(range)) continue;
      if (!isMeant || this.#allowed.get(name)?.overlaps(range)) return name;
    }
    return undefined;
  }

  #refuse(remote: string, text: string, range: AddressRange): Verdict | undefined {
    const allowed = this.#allowed.get(remote);
    if (allowed && !allowed.contains(range)) {
      return rejected("not-allowed", `${text} is outside of the bulkhead-allowed-cidrs of ${remote}`);
    }
    const holder = this.#otherHolder(remote, range);
    return holder === undefined ? undefined : rejected("foreign-address", `${text} belongs to ${holder}`);
  }

  #judgeNode(remote: string, node: Node): Verdict {
    const size = node.podCidrs.length + node.addresses.length + node.reservedAddresses.length;
    if (size > MAX_NODE_RANGES) {
      return rejected(
        "too-many-ranges",
        `${size} ranges and addresses are more than one node may declare (${MAX_NODE_RANGES})`,
      );
    }
    if (this.#territory(remote).sizeWithout(node.name) + size > MAX_REMOTE_RANGES) {
      return rejected(
        "too-many-ranges",
        `the nodes of ${remote} may declare ${MAX_REMOTE_RANGES} ranges and addresses in all`,
      );
    }
    for (const text of node.podCidrs) {
      const cidr = parseCidr(text);
      if (cidr && cidr.bits < (isV4(cidr.address) ? SHORTEST_V4 : SHORTEST_V6)) {
        return rejected("too-wide", `${text} is more than one cluster can own`);
      }
    }
    const addresses = node.addresses.map(({ address }) => address);
    for (const text of [...node.podCidrs, ...addresses, ...node.reservedAddresses]) {
      for (const range of rangeOfText(text)) {
        const refusal = this.#refuse(remote, text, range);
        if (refusal) return refusal;
      }
    }
    return ACCEPTED;
  }

  #judgeIp(remote: string, { address, bits, identity, hostAddress }: IpEntry): Verdict {
    const territory = this.#territory(remote);
    const text = bits === undefined ? address : `${address}/${bits}`;
    const [range] = rangeOfText(text);
    if (range === undefined) return rejected("not-allowed", `${text} is no range`);
    const refusal = this.#refuse(remote, text, range);
    if (refusal) return refusal;
    if (identity < FIRST_ALLOCATED_IDENTITY) {
      const isNode = identity === RESERVED_IDENTITIES["remote-node"];
      const known = isNode ? territory.hasNodeAddress(address) : territory.hasReservedAddress(address);
      return known ? ACCEPTED : PARKED;
    }
    if (hostAddress !== "" && !territory.hasNodeAddress(hostAddress)) return PARKED;
    if (this.#allowed.has(remote) || !territory.declaresPods || territory.contains(range)) return ACCEPTED;
    return PARKED;
  }

  /** A backend may be an address that nobody claims, such as one outside of every cluster; not one of ours or of a third cluster. */
  #judgeBackends(remote: string, addresses: Iterable<string>): Verdict {
    for (const address of addresses) {
      const [range] = rangeOfText(address);
      if (range === undefined) continue;
      const holder = this.#otherHolder(remote, range);
      if (holder !== undefined) return rejected("foreign-address", `backend ${address} belongs to ${holder}`);
    }
    return ACCEPTED;
  }
}

function textOf(allowed: AddressSet | undefined): string | undefined {
  return allowed
    ?.ranges()
    .map(({ first, last }) => `${first}-${last}`)
    .join();
}
