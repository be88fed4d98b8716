// Whether a rule's peers include the party at the other end.
import { isThere, list, object, type Raw, type Spec, texts } from "./documents.ts";
import { allHold, endpointsHold, kubernetesRequirements, must } from "./selectors.ts";
import {
  CLUSTER_LABEL,
  holds,
  isV6,
  labelsOfPod,
  NAMESPACE_LABEL,
  NAMESPACE_LABELS,
  type Party,
  type World,
} from "./world.ts";

/** How a peer was named: only ports of endpoints have names. */
export type Named = "endpoints" | "otherwise";

function cidrHolds(cidr: string, except: readonly string[], party: Party): boolean {
  if (party.kind !== "outside" || !holds(cidr, party.address)) return false;
  return !except.some((hole) => holds(hole, party.address));
}

function kubernetesEndpointsHold(world: World, namespace: string, peer: Raw, party: Party): boolean {
  if (party.kind !== "pod" || party.pod.unlabelled === true) return false;
  const podSelector = object(peer, "podSelector");
  const wanted = [
    ...kubernetesRequirements(podSelector),
    ...kubernetesRequirements(object(peer, "namespaceSelector"), NAMESPACE_LABELS),
  ];
  if (!isThere(peer, "namespaceSelector")) wanted.push(must(NAMESPACE_LABEL, namespace));
  const saysCluster = kubernetesRequirements(podSelector).some(({ key }) => key === CLUSTER_LABEL);
  if (world.defaultLocalCluster && !saysCluster) wanted.push(must(CLUSTER_LABEL, world.own));
  return allHold(wanted, labelsOfPod(party.pod));
}

/** `from` or `to` of a NetworkPolicy's rule. */
export function kubernetesPeers(world: World, spec: Spec, rule: Raw, key: "from" | "to", party: Party): Set<Named> {
  const peers = list(rule, key);
  if (peers.length === 0) return new Set(["otherwise"]);
  const named = new Set<Named>();
  for (const peer of peers) {
    const block = object(peer, "ipBlock");
    if (isThere(peer, "ipBlock")) {
      if (cidrHolds(String(block["cidr"]), texts(block, "except"), party)) named.add("otherwise");
    } else if (kubernetesEndpointsHold(world, spec.namespace, peer, party)) named.add("endpoints");
  }
  return named;
}

const RESERVED_OF_CLUSTER = ["host", "remote-node", "init", "ingress", "health", "unmanaged"];

function entityHolds(world: World, entity: string, party: Party): boolean {
  switch (entity) {
    case "all":
      return true;
    case "none":
      return false;
    case "world":
      return party.kind === "outside";
    case "world-ipv4":
      return party.kind === "outside" && !isV6(party.address);
    case "world-ipv6":
      return party.kind === "outside" && isV6(party.address);
    case "cluster":
      if (party.kind === "reserved") return RESERVED_OF_CLUSTER.includes(party.name);
      return party.kind === "pod" && party.pod.unlabelled !== true && party.pod.cluster === world.own;
    default:
      return party.kind === "reserved" && party.name === entity;
  }
}

const PEERS = ["Endpoints", "Entities", "CIDR", "CIDRSet"];

/** `fromEndpoints` and its like of a Cilium rule; `to` for egress. */
export function ciliumPeers(world: World, spec: Spec, rule: Raw, side: "from" | "to", party: Party): Set<Named> {
  const named = new Set<Named>();
  if (!PEERS.some((peers) => isThere(rule, side + peers))) {
    if (isThere(rule, "toPorts") || isThere(rule, "icmps")) named.add("otherwise");
    return named;
  }
  if (list(rule, `${side}Endpoints`).some((selector) => endpointsHold(world, spec.namespace, selector, party))) {
    named.add("endpoints");
  }
  const sets = list(rule, `${side}CIDRSet`);
  if (
    texts(rule, `${side}Entities`).some((entity) => entityHolds(world, entity, party)) ||
    texts(rule, `${side}CIDR`).some((cidr) => cidrHolds(cidr, [], party)) ||
    sets.some((set) => cidrHolds(String(set["cidr"]), texts(set, "except"), party))
  ) {
    named.add("otherwise");
  }
  return named;
}
