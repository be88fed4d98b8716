/** Where the backends of a service are, and what they are called: kept for those who read headless services and zones. Pure. */
import type { AddressPorts, ClusterService } from "../model/resource.ts";
import type { SliceEndpoint, SliceManifest } from "../wire/manifest.ts";

export function placesOf(
  slices: readonly SliceManifest[],
  backends: AddressPorts,
): Pick<ClusterService, "hostnames" | "zones"> {
  const named = new Map<string, SliceEndpoint>();
  for (const endpoint of slices.flatMap(({ endpoints }) => endpoints)) {
    if (!endpoint.hostname && !endpoint.zone) continue;
    for (const address of endpoint.addresses) if (backends.has(address)) named.set(address, endpoint);
  }
  const hostnames = new Map<string, string>();
  const zones = new Map<string, { readonly zone: string; readonly forZones: readonly string[] }>();
  for (const [address, { hostname, zone, forZones = [] }] of named) {
    if (hostname) hostnames.set(address, hostname);
    if (zone) zones.set(address, { zone, forZones });
  }
  return { ...(hostnames.size > 0 && { hostnames }), ...(zones.size > 0 && { zones }) };
}
