/** Who owns which pod address, and where its node is. Pure. */
import type { NodeManifest, PodManifest } from "../wire/manifest.ts";
import type { World } from "./world.ts";
import { namespacedName } from "./world.ts";

/** Canonical address -> `namespace/name` of the pod that holds it. */
export type AddressOwners = ReadonlyMap<string, string>;

/** A pod that shares its node's network has no address of its own, hence no identity of its own. */
function isHostNetwork(pod: PodManifest): boolean {
  return pod.podIps.includes(pod.hostIp);
}

export interface AssignedAddresses {
  readonly owners: AddressOwners;
  readonly problems: readonly string[];
}

/**
 * Gives each pod address to one pod: to its `previous` owner while that still claims it, else to the first pod that does.
 * When an owner goes, the next claimant follows. Yields between two pods.
 */
export function* assignAddresses(world: World, previous: AddressOwners): Generator<undefined, AssignedAddresses> {
  const owners = new Map<string, string>();
  const problems: string[] = [];
  const claims = new Map<string, PodManifest[]>();
  for (const pod of world.pods.values()) {
    yield;
    if (isHostNetwork(pod)) continue;
    for (const address of pod.podIps) {
      const claimants = claims.get(address);
      if (claimants) claimants.push(pod);
      else claims.set(address, [pod]);
    }
  }
  for (const [address, claimants] of claims) {
    yield;
    const names = claimants.map(namespacedName);
    const last = previous.get(address);
    const owner = last !== undefined && names.includes(last) ? last : (names[0] ?? "");
    owners.set(address, owner);
    for (const pod of claimants) {
      const name = namespacedName(pod);
      if (name !== owner)
        problems.push(`${pod.source}: Pod ${name}: address ${address} belongs to pod ${owner}; give it another`);
    }
  }
  return { owners, problems };
}

/** The address of a pod's node, canonical; "" when unknown. */
export function hostAddress(pod: PodManifest, nodes: ReadonlyMap<string, NodeManifest>): string {
  return pod.hostIp || (nodes.get(pod.nodeName)?.addresses[0]?.address ?? "");
}
