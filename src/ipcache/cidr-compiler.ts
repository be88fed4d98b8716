/**
 * Nodes and policies to `ipcache_cidrs`: which ranges are some cluster's pods, and which identity stands for a range that a policy names. A range
 * of pods is never outside: what a policy says of addresses outside does not hold inside it.
 */
import {
  decodeIpcacheCidrKey,
  decodeIpcacheCidrValue,
  encodeIpcacheCidrValue,
  IPCACHE_CIDR_CLAIMED,
} from "../maps/ipcache-cidr-map.ts";
import { isV4, parseCidr } from "../model/address.ts";
import type { Node } from "../model/resource.ts";
import { DesiredMap, type EntryKey, entryKey } from "../tables/desired-map.ts";
import type { TablesView } from "../tables/tables-view.ts";
import { type NodeIndex, prefixOf } from "./node-index.ts";
import { IPV4, type Prefix, PrefixSet, prefixKey } from "./prefix-set.ts";

/** Shorter ones claim more than a cluster can be. */
const SHORTEST_V4_BITS = 8;
const SHORTEST_V6_BITS = 16;
const CLAIMED = encodeIpcacheCidrValue({ identity: 0, flags: IPCACHE_CIDR_CLAIMED });
/** Outside, and named by no policy. */
const OUTSIDE = encodeIpcacheCidrValue({ identity: 0, flags: 0 });

interface PodCidr {
  readonly node: Node;
  readonly cidr: string;
  readonly prefix: Prefix;
}

export class CidrCompiler {
  readonly entries = new DesiredMap();
  readonly #view: TablesView;
  readonly #nodes: NodeIndex;
  readonly #retained: Prefix[] = [];
  /** Clusters of which the kernel knew something. */
  #adoptedClusters: ReadonlySet<number> = new Set();
  #policyCidrs: ReadonlyMap<string, number> = new Map();
  #claimed = new PrefixSet();
  #problems: readonly string[] = [];

  constructor(view: TablesView, nodes: NodeIndex) {
    this.#view = view;
    this.#nodes = nodes;
  }

  /** Takes over what the kernel holds; `clusters`: ids whose addresses it held. What policies name is theirs to take over. */
  adopt(entries: Iterable<readonly [key: Uint8Array, value: Uint8Array]>, clusters: ReadonlySet<number>): void {
    this.#adoptedClusters = clusters;
    for (const [key, value] of entries) {
      this.entries.set(entryKey(key), value);
      if ((decodeIpcacheCidrValue(value).flags & IPCACHE_CIDR_CLAIMED) === 0) continue;
      const { prefixLength: bits, address } = decodeIpcacheCidrKey(key);
      this.#retained.push({ address, bits });
      this.#claimed.add({ address, bits });
    }
  }

  problems(): readonly string[] {
    return this.#problems;
  }

  /**
   * Yields between ranges.
   * @param moved whether nodes, own addresses or what is complete may have changed.
   */
  *update(moved: boolean, policyCidrs: ReadonlyMap<string, number>): Generator<void> {
    if (!moved && sameNumbers(policyCidrs, this.#policyCidrs)) return;
    this.#policyCidrs = new Map(policyCidrs);
    if (moved) {
      this.#release();
      yield* this.#claim();
    }
    const desired = this.#desired();
    for (const key of [...this.entries.keys()]) if (!desired.has(key)) this.entries.delete(key);
    for (const [key, value] of desired) {
      this.entries.set(key, value);
      yield;
    }
  }

  /** Claims of old go once every cluster that could say them again has spoken. */
  #release(): void {
    const ids = [...this.#adoptedClusters, ...[...this.#view.clusters()].map(({ id }) => id)];
    if (ids.every((id) => this.#view.isSynced("nodes", id))) this.#retained.length = 0;
  }

  #desired(): ReadonlyMap<EntryKey, Uint8Array> {
    const desired = new Map<EntryKey, Uint8Array>();
    for (const [cidr, identity] of this.#policyCidrs) {
      for (const prefix of prefixOf(cidr)) {
        const value = this.#claimed.holds(prefix) ? CLAIMED : encodeIpcacheCidrValue({ identity, flags: 0 });
        desired.set(prefixKey(prefix), value);
      }
    }
    for (const key of this.#claimed.keys()) desired.set(key, CLAIMED);
    this.#separateFamilies(desired);
    return desired;
  }

  /** In 16 bytes IPv4 lies inside `::/0`: a range of IPv6 that reaches over it must not answer for it. */
  #separateFamilies(desired: Map<EntryKey, Uint8Array>): void {
    const ipv4 = prefixKey(IPV4);
    if (desired.has(ipv4)) return;
    for (let bits = 0; bits < IPV4.bits; bits++) {
      if (desired.has(prefixKey({ ...IPV4, bits }))) desired.set(ipv4, OUTSIDE);
    }
  }

  /** Which ranges are pods', and why others are not. */
  *#claim(): Generator<void> {
    const all = this.#podCidrs();
    const claimed = new PrefixSet();
    for (const prefix of this.#retained) claimed.add(prefix);
    const overlapping = this.#overOwn(all);
    const problems: string[] = [];
    for (const said of all) {
      const fault = this.#fault(said, overlapping);
      if (fault === undefined) claimed.add(said.prefix);
      else problems.push(`cluster ${said.node.cluster}, node ${said.node.name}: pod CIDR ${said.cidr} ${fault}`);
      yield;
    }
    this.#claimed = claimed;
    this.#problems = problems.sort();
  }

  #podCidrs(): readonly PodCidr[] {
    const all: PodCidr[] = [];
    for (const node of this.#view.nodes()) {
      for (const cidr of node.podCidrs) for (const prefix of prefixOf(cidr)) all.push({ node, cidr, prefix });
    }
    return all;
  }

  /** Prefixes of other clusters that hold something of ours. */
  #overOwn(all: readonly PodCidr[]): ReadonlySet<EntryKey> {
    const foreign = new PrefixSet();
    for (const { node, prefix } of all) if (node.cluster !== this.#view.own.name) foreign.add(prefix);
    return new Set(this.#nodes.ownPoints.flatMap((point) => foreign.holding(point)));
  }

  #fault({ node, cidr, prefix }: PodCidr, overOwn: ReadonlySet<EntryKey>): string | undefined {
    if (node.cluster === this.#view.own.name) return undefined;
    if (isTooShort(cidr)) {
      return `is ignored: shorter than /${SHORTEST_V4_BITS} (IPv4) or /${SHORTEST_V6_BITS} (IPv6), or over both families`;
    }
    if (!overOwn.has(prefixKey(prefix)) && !this.#nodes.ownPods.holds(prefix)) return undefined;
    return "is ignored: it overlaps the own cluster's pods or nodes; give one of the two another range";
  }
}

function isTooShort(text: string): boolean {
  const cidr = parseCidr(text);
  if (cidr === undefined) return true;
  if (isV4(cidr.address)) return cidr.bits < SHORTEST_V4_BITS;
  return (
    cidr.bits < SHORTEST_V6_BITS || prefixKey({ ...IPV4, bits: Math.min(cidr.bits, IPV4.bits) }) === prefixKey(cidr)
  );
}

function sameNumbers(left: ReadonlyMap<string, number>, right: ReadonlyMap<string, number>): boolean {
  return left.size === right.size && [...left].every(([cidr, identity]) => right.get(cidr) === identity);
}
