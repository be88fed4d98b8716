/** Which keys stand for an object that is there and cannot be read: whatever an earlier process wrote there stays. Pure. */
import { policyName } from "../model/policy.ts";
import type { RefusedManifest } from "../wire/manifest.ts";
import type { Part } from "./parts.ts";
import type { World } from "./world.ts";

/** Parts, and what follows their prefix. */
export function refusedKeys({ what, ...refused }: RefusedManifest): readonly (readonly [Part, string])[] {
  const { namespace, name, service, addresses } = refused;
  switch (what) {
    case "Namespace":
      return [];
    case "Node":
    case "CiliumNode":
      return [["nodes", name]];
    case "Service":
    case "EndpointSlice": {
      const suffix = `${namespace}/${what === "Service" ? name : service}`;
      return [
        ["services", suffix],
        ["local-services", suffix],
      ];
    }
    case "CiliumIdentity":
      return [
        ["identities", name],
        ["local-identities", name],
      ];
    case "ServiceExport":
      return [["serviceexports", `${namespace}/${name}`]];
    case "CiliumEndpointSlice":
      return addressKeys(addresses);
    case "Pod":
    case "CiliumEndpoint":
      return [...addressKeys(addresses), ["endpoints", `${namespace}/${name}`]];
    default:
      return [["policies", policyName({ kind: what, namespace, name })]];
  }
}

function addressKeys(addresses: readonly string[]): readonly (readonly [Part, string])[] {
  return addresses.flatMap((address): [Part, string][] => [
    ["ip", address],
    ["local-ip", address],
  ]);
}

/** Services, as `namespace/name`, some of whose backends are not known: they stay as they are. */
export function heldServices({ refused }: World): ReadonlySet<string> {
  const slices = refused.filter(({ what }) => what === "EndpointSlice");
  return new Set(slices.map(({ namespace, service }) => `${namespace}/${service}`));
}
