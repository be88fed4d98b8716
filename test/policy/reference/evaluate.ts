/**
 * The reference: what becomes of a packet, straight from the policy documents, rule by rule, with no compiled state. Slow and obvious on purpose;
 * it shares no code with `src/policy` and none with the parser.
 */
import { isThere, list, object, type Raw, type Spec, specsOfWorld, texts } from "./documents.ts";
import { ciliumPeers, kubernetesPeers, type Named } from "./peers.ts";
import { ciliumPortsHold, kubernetesPortsHold, type NamedBy } from "./ports.ts";
import { allHold, ciliumRequirements, kubernetesRequirements } from "./selectors.ts";
import {
  type Direction,
  labelsOfPod,
  type Party,
  type Pod,
  partyAt,
  podsLike,
  type Tuple,
  type World,
} from "./world.ts";

export interface Outcome {
  readonly verdict: "allowed" | "dropped" | "audited";
  readonly reason:
    | "forwarded"
    | "policy-denied"
    | "policy-deny-rule"
    | "identity-unknown"
    | "spoofed-source"
    | "endpoint-unknown";
  /** Rules that may be named as the one that decided, `policy path`; "" is none. */
  readonly rules: readonly string[];
}

interface Rule {
  readonly name: string;
  readonly deny: boolean;
  readonly raw: Raw;
}

function outcome(verdict: Outcome["verdict"], reason: Outcome["reason"], rules: readonly string[] = [""]): Outcome {
  return { verdict, reason, rules };
}

function selects(spec: Spec, pod: Pod): boolean {
  if (spec.namespace !== "" && spec.namespace !== pod.namespace) return false;
  const wanted =
    spec.kind === "NetworkPolicy"
      ? kubernetesRequirements(object(spec.body, "podSelector"))
      : ciliumRequirements(object(spec.body, "endpointSelector"));
  return allHold(wanted, labelsOfPod(pod));
}

/** Directions that a NetworkPolicy is about. */
function policyTypes({ body }: Spec): readonly Direction[] {
  const types = texts(body, "policyTypes");
  if (types.length > 0) return types.map((type) => (type === "Ingress" ? "ingress" : "egress"));
  return isThere(body, "egress") ? ["ingress", "egress"] : ["ingress"];
}

function rulesOf(spec: Spec, direction: Direction): readonly Rule[] {
  const named = (key: string, deny: boolean): readonly Rule[] =>
    list(spec.body, key).map((raw, index) => ({ name: `${spec.policy} ${spec.path}${key}[${index}]`, deny, raw }));
  if (spec.kind !== "NetworkPolicy") return [...named(direction, false), ...named(`${direction}Deny`, true)];
  return policyTypes(spec).includes(direction) ? named(direction, false) : [];
}

function deniesByDefault(spec: Spec, direction: Direction): boolean {
  if (spec.kind === "NetworkPolicy") return policyTypes(spec).includes(direction);
  const said = object(spec.body, "enableDefaultDeny")[direction];
  return typeof said === "boolean" ? said : rulesOf(spec, direction).length > 0;
}

/** Whose container ports give names their numbers, by how the rule named the peer. */
function namedBy(world: World, tuple: Tuple, pod: Pod, party: Party, named: Named): NamedBy {
  if (tuple.direction === "ingress") return [pod];
  return named === "endpoints" && party.kind === "pod" ? podsLike(world, party.pod) : [];
}

function ruleHolds(world: World, spec: Spec, rule: Rule, tuple: Tuple, pod: Pod, party: Party): boolean {
  const side = tuple.direction === "ingress" ? "from" : "to";
  const kubernetes = spec.kind === "NetworkPolicy";
  const peers = (kubernetes ? kubernetesPeers : ciliumPeers)(world, spec, rule.raw, side, party);
  const portsHold = kubernetes ? kubernetesPortsHold : ciliumPortsHold;
  return [...peers].some((named) => portsHold(rule.raw, tuple, namedBy(world, tuple, pod, party, named)));
}

/** The endpoint is known, and the packet carries its address. */
function judgePolicy(world: World, tuple: Tuple, pod: Pod): Outcome {
  const { direction } = tuple;
  const party = partyAt(world, tuple.peer);
  const specs = specsOfWorld(world).filter((spec) => selects(spec, pod));
  const denying = specs.filter((spec) => deniesByDefault(spec, direction));
  const rules = specs.flatMap((spec) => rulesOf(spec, direction).map((rule) => ({ spec, rule })));
  const watched = denying.length > 0 || rules.some(({ rule }) => rule.deny);
  if (!watched) return outcome("allowed", "forwarded");

  const audited = pod.audit === true || (denying.length > 0 && denying.every((spec) => spec.audit));
  const refusal = audited ? "audited" : "dropped";
  if (party.kind === "unknown") return outcome(refusal, "identity-unknown");

  const matching = rules.filter(({ spec, rule }) => ruleHolds(world, spec, rule, tuple, pod, party));
  const named = (deny: boolean): string[] => {
    return matching.filter(({ rule }) => rule.deny === deny).map(({ rule }) => rule.name);
  };
  if (named(true).length > 0) return outcome("dropped", "policy-deny-rule", named(true));
  const always =
    denying.length === 0 || (direction === "ingress" && party.kind === "reserved" && party.name === "host");
  if (always) return outcome("allowed", "forwarded", [...named(false), ""]);
  if (named(false).length > 0) return outcome("allowed", "forwarded", named(false));
  return outcome(refusal, "policy-denied");
}

export function evaluate(world: World, tuple: Tuple): Outcome {
  const pod = world.pods.find((candidate) => {
    const here = candidate.cluster === world.own && candidate.node === world.thisNode;
    return here && `${candidate.namespace}/${candidate.name}` === tuple.endpoint;
  });
  if (pod === undefined) {
    const open = world.unknownEndpoints === "allow" || specsOfWorld(world).length === 0;
    return open ? outcome("allowed", "forwarded") : outcome("dropped", "endpoint-unknown");
  }
  if (tuple.direction === "egress" && !pod.addresses.includes(tuple.address))
    return outcome("dropped", "spoofed-source");
  return judgePolicy(world, tuple, pod);
}
