/**
 * Tables to `ipcache`: address to identity. Of several clusters that claim an address the own one wins, then the lowest id; when the winner
 * withdraws, the next claim counts again. What the kernel held stays until its cluster's IPs are complete.
 */

import { decodeIpcacheKey, decodeIpcacheValue, encodeIpcacheKey, encodeIpcacheValue } from "../maps/ipcache-map.ts";
import { formatAddress, parseAddress } from "../model/address.ts";
import type { ChangeSet, IpClaim, TablesView } from "../tables/agent-tables.ts";
import { DesiredMap, entryKey } from "../tables/desired-map.ts";

export class IpcacheCompiler {
  readonly entries = new DesiredMap();
  readonly #view: TablesView;
  readonly #retained = new Map<string, IpClaim>();
  readonly #cidrs = new Set<string>();
  /** Each value once: addresses of one identity share it, and there are far more addresses. */
  readonly #values = new Map<number, Uint8Array>();

  constructor(view: TablesView) {
    this.#view = view;
  }

  /** CIDR entries that the tables hold and no map does yet. */
  get notProgrammed(): number {
    return this.#cidrs.size;
  }

  /** Takes over what the kernel holds; before the first `update`. */
  adopt(entries: Iterable<readonly [key: Uint8Array, value: Uint8Array]>): void {
    for (const [key, value] of entries) {
      this.#retained.set(formatAddress(decodeIpcacheKey(key).address), decodeIpcacheValue(value));
      this.entries.set(entryKey(key), value);
    }
  }

  /** Yields between addresses: the caller may rest, and the tables may change meanwhile. */
  *update(changes: Pick<ChangeSet, "addresses" | "sources">): Generator<void> {
    const retained = changes.sources ? [...this.#retained.keys()] : [];
    for (const addresses of [changes.addresses, retained]) {
      for (const address of addresses) {
        this.#compile(address);
        yield;
      }
    }
  }

  /** Ids of clusters whose addresses stay only because the kernel had them. */
  retainedClusters(): ReadonlySet<number> {
    return new Set([...this.#retained.values()].map(({ clusterId }) => clusterId));
  }

  #compile(address: string): void {
    const claims = this.#view.ipClaims(address);
    const bytes = parseAddress(address);
    if (bytes === undefined) {
      if (claims.length > 0) this.#cidrs.add(address);
      else this.#cidrs.delete(address);
      return;
    }
    const claim = this.#winner([...claims, ...this.#retainedClaim(address, claims)]);
    const key = entryKey(encodeIpcacheKey({ address: bytes }));
    if (claim === undefined) this.entries.delete(key);
    else this.entries.set(key, this.#valueOf(claim));
  }

  #valueOf(claim: IpClaim): Uint8Array {
    const id = claim.identity * 256 + claim.clusterId;
    const known = this.#values.get(id) ?? encodeIpcacheValue(claim);
    this.#values.set(id, known);
    return known;
  }

  #winner(claims: readonly IpClaim[]): IpClaim | undefined {
    if (claims.length < 2) return claims[0];
    const rank = ({ clusterId }: IpClaim): number => (clusterId === this.#view.own.id ? 0 : clusterId);
    return claims.toSorted((left, right) => rank(left) - rank(right))[0];
  }

  /** The kernel's own claim, for as long as its cluster has neither spoken of the address nor said everything. */
  #retainedClaim(address: string, claims: readonly IpClaim[]): readonly IpClaim[] {
    const retained = this.#retained.get(address);
    if (retained === undefined) return [];
    const { clusterId } = retained;
    const spoken = claims.some((claim) => claim.clusterId === clusterId) || this.#view.isSynced("ip", clusterId);
    if (!spoken) return [retained];
    this.#retained.delete(address);
    return [];
  }
}
