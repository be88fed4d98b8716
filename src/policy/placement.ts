/** Which pod is behind which device, by the addresses at its end. */
import { encodeEndpointAddressKey } from "../maps/endpoint-map.ts";
import { parseAddress } from "../model/address.ts";
import { FIRST_ALLOCATED_IDENTITY } from "../model/cluster.ts";
import type { EndpointDevice } from "../model/endpoint.ts";
import type { NamedPort } from "../model/resource.ts";
import { type EntryKey, entryKey } from "../tables/desired-map.ts";
import type { IpClaim, TablesView } from "../tables/tables-view.ts";

export interface Placement {
  readonly device: EndpointDevice;
  /** undefined: not known. */
  readonly pod: PlacedPod | undefined;
  readonly problem?: string;
}

export interface PlacedPod {
  /** `namespace/pod`. */
  readonly name: string;
  readonly identity: number;
  /** Those of the device's that are this pod's. */
  readonly addresses: readonly string[];
  /** The pod's own. */
  readonly namedPorts: readonly NamedPort[];
}

type View = Pick<TablesView, "own" | "devices" | "ownAddresses" | "ipClaims">;

/** @param held addresses that devices may send from today: of two devices that show one pod's address, the one that had it keeps it. */
export function placements(view: View, held: { get(key: EntryKey): unknown }): readonly Placement[] {
  const own = new Set(view.ownAddresses());
  const found = view.devices().map((device) => placementOf(view, device, own));
  const byPod = Map.groupBy(found, ({ pod }) => pod?.name);
  return found.map((placement) => {
    const { pod, device } = placement;
    const rivals = byPod.get(pod?.name) ?? [];
    if (pod === undefined || rivals.length < 2) return placement;
    const owner = incumbent(rivals, held);
    if (owner.device === device) return placement;
    const problem = `${device.name} shows an address of ${pod.name}, which is behind ${owner.device.name}: denied`;
    return { device, pod: undefined, problem };
  });
}

function placementOf(view: View, device: EndpointDevice, own: ReadonlySet<string>): Placement {
  const claims = device.addresses.flatMap((address) => {
    const claim = own.has(address) ? undefined : podClaim(view, address, own);
    return claim === undefined ? [] : [{ address, claim }];
  });
  const names = [...new Set(claims.map(({ claim }) => podName(claim)))].sort();
  const [first] = claims;
  const [name] = names;
  if (first === undefined || name === undefined) return { device, pod: undefined };
  if (names.length > 1) {
    const problem = `${device.name} shows addresses of several pods (${names.join(", ")}): denied`;
    return { device, pod: undefined, problem };
  }
  const addresses = claims.map(({ address }) => address);
  const namedPorts = claims.flatMap(({ claim }) => claim.namedPorts);
  return { device, pod: { name, identity: first.claim.identity, addresses, namedPorts } };
}

/** The own cluster's, when it is a pod's of this node: a workload that takes the address of a pod elsewhere does not become that pod. */
function podClaim(view: View, address: string, own: ReadonlySet<string>): IpClaim | undefined {
  const [claim] = view.ipClaims(address);
  if (claim === undefined || claim.clusterId !== view.own.id) return undefined;
  if (claim.hostAddress !== "" && !own.has(claim.hostAddress)) return undefined;
  return claim.podName !== "" && claim.identity >= FIRST_ALLOCATED_IDENTITY ? claim : undefined;
}

function podName({ namespace, podName: name }: IpClaim): string {
  return `${namespace}/${name}`;
}

function incumbent(rivals: readonly Placement[], held: { get(key: EntryKey): unknown }): Placement {
  const had = ({ device, pod }: Placement): boolean =>
    pod?.addresses.some((address) => held.get(addressKey(device.ifindex, address)) !== undefined) ?? false;
  const rank = (placement: Placement): number => (had(placement) ? 0 : 1);
  const [first, ...others] = rivals;
  return others.reduce(
    (best, one) => ((rank(one) - rank(best) || one.device.ifindex - best.device.ifindex) < 0 ? one : best),
    first as Placement,
  );
}

export function addressKey(ifindex: number, address: string): EntryKey {
  return entryKey(encodeEndpointAddressKey({ ifindex, address: parseAddress(address) as Uint8Array }));
}
