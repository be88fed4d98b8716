/** What nodes say, by address: who may be called host or remote node, and which addresses and ranges are the own cluster's. */
import { parseAddress, parseCidr, prefixBits } from "../model/address.ts";
import { RESERVED_IDENTITIES } from "../model/identity.ts";
import type { Node } from "../model/resource.ts";
import type { TablesView } from "../tables/tables-view.ts";
import { type Prefix, PrefixSet } from "./prefix-set.ts";

/** What an address is, by its nodes. */
export interface NodeClaim {
  readonly clusterId: number;
  /** Host or remote node; health stands for what only an IP entry of the cluster can tell: health or ingress. */
  readonly identity: number;
}

const { host: HOST, "remote-node": REMOTE_NODE, health: HEALTH } = RESERVED_IDENTITIES;
const NONE: readonly NodeClaim[] = [];

export class NodeIndex {
  #claims: ReadonlyMap<string, readonly NodeClaim[]> = new Map();
  #ownPods = new PrefixSet();
  #ownPoints: readonly Prefix[] = [];

  of(address: string): readonly NodeClaim[] {
    return this.#claims.get(address) ?? NONE;
  }

  /** Pod CIDRs of the own cluster. */
  get ownPods(): PrefixSet {
    return this.#ownPods;
  }

  /** Addresses of this node and of the own cluster's nodes, and the own pod CIDRs: nothing of another cluster may hold one. */
  get ownPoints(): readonly Prefix[] {
    return this.#ownPoints;
  }

  /** Reads all nodes again. Returns the addresses that may mean something else now, or `all` when every one may: the own pod CIDRs changed. */
  read(view: TablesView): { readonly touched: ReadonlySet<string>; readonly all: boolean } {
    const [claims, ownPods] = [this.#claims, this.#ownPods];
    this.#claims = claimsOf(view);
    this.#readOwn(view);
    const all = !this.#ownPods.equals(ownPods);
    const known = [...claims.keys(), ...this.#claims.keys()];
    const touched = known.filter((address) => all || textOf(claims.get(address)) !== textOf(this.of(address)));
    return { touched: new Set(touched), all };
  }

  #readOwn(view: TablesView): void {
    const nodes = [...view.nodes()].filter(({ cluster }) => cluster === view.own.name);
    const pods = nodes.flatMap(({ podCidrs }) => podCidrs.flatMap(prefixOf));
    const addresses = nodes.flatMap((node) => node.addresses.map(({ address }) => address));
    this.#ownPods = new PrefixSet();
    for (const prefix of pods) this.#ownPods.add(prefix);
    this.#ownPoints = [...pods, ...[...addresses, ...view.ownAddresses()].flatMap(prefixOf)];
  }
}

function textOf(claims: readonly NodeClaim[] | undefined): string {
  return (claims ?? NONE).map(({ clusterId, identity }) => `${clusterId}/${identity}`).join();
}

/** Of an address or a CIDR; none when the text is neither. */
export function prefixOf(text: string): readonly Prefix[] {
  const cidr = parseCidr(text);
  if (cidr !== undefined) return [{ address: cidr.address, bits: prefixBits(cidr) }];
  const address = parseAddress(text);
  return address === undefined ? [] : [{ address, bits: 128 }];
}

/** A node of the own cluster that has an address of this node is this node: all its addresses are the host's. */
function claimsOf(view: TablesView): ReadonlyMap<string, readonly NodeClaim[]> {
  const claims = new Map<string, NodeClaim[]>();
  const claim = (address: string, clusterId: number, identity: number): void => {
    const known = claims.get(address) ?? [];
    known.push({ clusterId, identity });
    claims.set(address, known);
  };
  const here = new Set(view.ownAddresses());
  const isHere = ({ cluster, addresses }: Node): boolean =>
    cluster === view.own.name && addresses.some(({ address }) => here.has(address));
  for (const address of here) claim(address, view.own.id, HOST);
  for (const node of view.nodes()) {
    const identity = isHere(node) ? HOST : REMOTE_NODE;
    for (const { address } of node.addresses) claim(address, node.clusterId, identity);
    for (const address of node.reservedAddresses) claim(address, node.clusterId, HEALTH);
  }
  return claims;
}
