/**
 * Tables to `ipcache`, address to identity, and to `ipcache_cidrs`. Of several clusters that claim an address the own one wins, then the lowest
 * id; within a cluster its pods, then its nodes. When the winner withdraws, the next claim counts again. What the kernel held stays until its
 * cluster has said everything.
 */
import { decodeIpcacheKey, decodeIpcacheValue, encodeIpcacheKey, encodeIpcacheValue } from "../maps/ipcache-map.ts";
import { formatAddress, parseAddress } from "../model/address.ts";
import { FIRST_ALLOCATED_IDENTITY } from "../model/cluster.ts";
import { RESERVED_IDENTITIES } from "../model/identity.ts";
import { DesiredMap, type EntryKey, entryKey, equalBytes, keyBytes } from "../tables/desired-map.ts";
import type { ChangeSet, SourceKind, TablesView } from "../tables/tables-view.ts";
import { CidrCompiler } from "./cidr-compiler.ts";
import { NodeIndex } from "./node-index.ts";

const { host: HOST, "remote-node": REMOTE_NODE, health: HEALTH } = RESERVED_IDENTITIES;
const NO_CIDRS: ReadonlyMap<string, number> = new Map();
const NOTHING = { touched: new Set<string>(), all: false };
const NOBODY: readonly Candidate[] = [];
const LISTED = 5;

type Entries = Iterable<readonly [key: Uint8Array, value: Uint8Array]>;

/** Who may be behind an address. */
interface Candidate {
  readonly clusterId: number;
  readonly identity: number;
}

export class IpcacheCompiler {
  readonly entries = new DesiredMap();
  readonly #view: TablesView;
  readonly #nodes = new NodeIndex();
  readonly #cidrs: CidrCompiler;
  /** What the kernel held, as far as nobody has spoken of it. */
  readonly #retained = new Map<EntryKey, Candidate>();
  /** IP entries of CIDRs: no map holds them. */
  readonly #cidrClaims = new Set<string>();
  /** Addresses of which some claim does not count. */
  readonly #refused = new Set<string>();
  /** Each once: addresses of one identity share it, and there are far more addresses. */
  readonly #meanings = new Map<number, { readonly candidate: Candidate; readonly value: Uint8Array }>();

  constructor(view: TablesView) {
    this.#view = view;
    this.#cidrs = new CidrCompiler(view, this.#nodes);
  }

  /** For `ipcache_cidrs`. */
  get cidrs(): DesiredMap {
    return this.#cidrs.entries;
  }

  /** Takes over what the kernel holds; before the first `update`. */
  adopt(entries: Entries, cidrs: Entries = []): void {
    for (const [key, value] of entries) {
      const meaning = this.#meaningOf(decodeIpcacheValue(value));
      const address = entryKey(key);
      this.#retained.set(address, meaning.candidate);
      this.entries.adopt(address, equalBytes(meaning.value, value) ? meaning.value : value);
    }
    this.#cidrs.adopt(cidrs, this.retainedClusters());
  }

  /**
   * Yields between addresses: the caller may rest, and the tables may change meanwhile.
   * @param policyCidrs canonical CIDR -> the identity that stands for it: all that policies name now, adopted ones among them for as long as the
   * policies are not known.
   */
  *update(
    changes: Pick<ChangeSet, "addresses" | "nodes" | "devices" | "sources">,
    policyCidrs: ReadonlyMap<string, number> = NO_CIDRS,
  ): Generator<void> {
    const moved = changes.nodes || changes.devices;
    const { touched, all } = moved ? this.#nodes.read(this.#view) : NOTHING;
    yield* this.#cidrs.update(moved || changes.sources, policyCidrs);
    const everything = all ? this.#view.addresses() : [];
    const released = moved || changes.sources ? this.#released() : [];
    for (const addresses of [touched, changes.addresses, everything, released]) {
      for (const address of addresses) {
        this.#compile(address);
        yield;
      }
    }
  }

  /** Ids of clusters whose addresses stay only because the kernel had them. */
  retainedClusters(): ReadonlySet<number> {
    const ids = new Set<number>();
    for (const { clusterId } of this.#retained.values()) ids.add(clusterId);
    return ids;
  }

  /** What is left out, one line each. */
  problems(): readonly string[] {
    const cidrs = this.#cidrClaims.size;
    const refused = this.#refused.size;
    const lines = [...this.#cidrs.problems()];
    if (cidrs > 0) lines.push(`${cidrs} CIDR entries are not programmed: the ipcache holds single addresses`);
    if (refused === 0) return lines;
    const some = [...this.#refused].slice(0, LISTED).join(", ");
    return [
      ...lines,
      `${refused} addresses are claimed by a cluster that may not: inside the own pod CIDRs, or as a node that its cluster does not list (${some})`,
    ];
  }

  #compile(address: string): void {
    const bytes = parseAddress(address);
    if (bytes === undefined) {
      if (this.#view.ipClaims(address).length > 0) this.#cidrClaims.add(address);
      else this.#cidrClaims.delete(address);
      return;
    }
    const key = entryKey(encodeIpcacheKey({ address: bytes }));
    const candidates = this.#candidates(address, bytes);
    const winner = this.#winner([...candidates, ...this.#retainedCandidate(key, candidates)]);
    if (winner === undefined) this.entries.delete(key);
    else this.entries.set(key, this.#meaningOf(winner).value);
  }

  #candidates(address: string, bytes: Uint8Array): readonly Candidate[] {
    const nodes = this.#nodes.of(address);
    const claims = this.#view.ipClaims(address);
    const ownRange = this.#nodes.ownPods.holds({ address: bytes, bits: 128 });
    const said: readonly Candidate[] = [...claims, ...nodes.filter(({ identity }) => identity !== HEALTH)];
    const counting = said.filter((candidate) => {
      if (ownRange && candidate.clusterId !== this.#view.own.id) return false;
      return candidate.identity >= FIRST_ALLOCATED_IDENTITY || nodes.some((node) => vouches(node, candidate));
    });
    if (counting.length < said.length) this.#refused.add(address);
    else this.#refused.delete(address);
    return counting;
  }

  #meaningOf({ identity, clusterId }: Candidate): { readonly candidate: Candidate; readonly value: Uint8Array } {
    const id = identity * 256 + clusterId;
    const known = this.#meanings.get(id);
    if (known !== undefined) return known;
    const candidate = { identity, clusterId };
    const meaning = { candidate, value: encodeIpcacheValue(candidate) };
    this.#meanings.set(id, meaning);
    return meaning;
  }

  #winner(candidates: readonly Candidate[]): Candidate | undefined {
    if (candidates.length < 2) return candidates[0];
    return candidates.toSorted((left, right) => this.#rank(left) - this.#rank(right))[0];
  }

  #rank({ clusterId, identity }: Candidate): number {
    const cluster = clusterId === this.#view.own.id ? 0 : clusterId;
    return cluster * FIRST_ALLOCATED_IDENTITY + (identity >= FIRST_ALLOCATED_IDENTITY ? 0 : placeOf(identity));
  }

  /** What the kernel held, for as long as its cluster has neither spoken of the address nor said everything. */
  #retainedCandidate(key: EntryKey, candidates: readonly Candidate[]): readonly Candidate[] {
    const retained = this.#retained.get(key);
    if (retained === undefined) return NOBODY;
    if (!this.#isReleased(retained, candidates)) return [retained];
    this.#retained.delete(key);
    return NOBODY;
  }

  /** Addresses that nobody spoke of although everything was said. */
  *#released(): Generator<string> {
    const known = new Map<Candidate, boolean>();
    for (const [key, candidate] of this.#retained) {
      const released = known.get(candidate) ?? this.#isReleased(candidate, NOBODY);
      known.set(candidate, released);
      if (released) yield formatAddress(decodeIpcacheKey(keyBytes(key)).address);
    }
  }

  /** A node may be known before the pod that has its address: the cluster spoke of what was there only with a claim that counts as much. */
  #isReleased(retained: Candidate, candidates: readonly Candidate[]): boolean {
    const { clusterId, identity } = retained;
    if (identity === HOST && this.#view.ownAddresses().length === 0) return false;
    const own = candidates.filter((candidate) => candidate.clusterId === clusterId);
    if (own.some((candidate) => this.#rank(candidate) <= this.#rank(retained))) return true;
    return this.#saying(clusterId, identity).every((kind) => this.#view.isSynced(kind, clusterId));
  }

  /** What could say it again. */
  #saying(clusterId: number, identity: number): readonly SourceKind[] {
    if (identity < FIRST_ALLOCATED_IDENTITY) return ["nodes", "ip"];
    return clusterId === this.#view.own.id ? ["ip", "local-ip"] : ["ip"];
  }
}

/** A cluster's IP entry may give a reserved identity only to what one of its nodes lists: node addresses, or health and ingress addresses. */
function vouches(node: Candidate, { clusterId, identity }: Candidate): boolean {
  if (node.clusterId !== clusterId) return false;
  return (
    identity === node.identity ||
    (node.identity === HOST && identity === REMOTE_NODE) ||
    (node.identity === HEALTH && identity === RESERVED_IDENTITIES.ingress)
  );
}

/** Host before remote node before the rest. */
function placeOf(identity: number): number {
  return identity === HOST ? 1 : identity === REMOTE_NODE ? 2 : identity;
}
