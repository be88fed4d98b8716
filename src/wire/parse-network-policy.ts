/** `networking.k8s.io/v1 NetworkPolicy`. */
import type { Direction, Peer, PolicyRule, PolicySpec, PortRule } from "../model/policy.ts";
import type { Fields } from "./fields.ts";
import { NAMESPACE_LABELS_PREFIX } from "./identity.ts";
import { readCidrBlock } from "./parse-policy-cidr.ts";
import { readKubernetesPorts } from "./parse-policy-ports.ts";
import { inNamespace, mentionsCluster, readKubernetesSelector } from "./parse-selector.ts";
import { type FieldSet, strictObject, strictObjects } from "./policy-fields.ts";
import { quote } from "./refusal.ts";

const DIRECTIONS = ["ingress", "egress"] as const;
const TYPES: Readonly<Record<Direction, string>> = { ingress: "Ingress", egress: "Egress" };
const SPEC: FieldSet = { known: ["podSelector", "policyTypes", ...DIRECTIONS], nullable: DIRECTIONS };
const RULES: Readonly<Record<Direction, { readonly peers: string; readonly fields: FieldSet }>> = {
  ingress: { peers: "from", fields: { known: ["from", "ports"] } },
  egress: { peers: "to", fields: { known: ["to", "ports"] } },
};
const PEER: FieldSet = { known: ["podSelector", "namespaceSelector", "ipBlock"] };

export function readNetworkPolicySpecs(root: Fields, namespace: string): readonly PolicySpec[] {
  if (!root.has("spec")) throw root.refusal("spec", "is missing; write one");
  const spec = strictObject(root, "spec", SPEC);
  const requirements = [inNamespace(namespace), ...readKubernetesSelector(spec.fields("podSelector"))];
  const defaultDeny = readDefaultDeny(spec);
  const rules = DIRECTIONS.flatMap((direction) => readRules(spec, direction, namespace));
  return [{ subject: { requirements }, defaultDeny, rules }];
}

function readDefaultDeny(spec: Fields): PolicySpec["defaultDeny"] {
  const types = spec.texts("policyTypes");
  for (const type of types) {
    if (type !== TYPES.ingress && type !== TYPES.egress) {
      throw spec.refusal("policyTypes", `${quote(type)} must be Ingress or Egress`);
    }
  }
  if (types.length === 0) return { ingress: true, egress: spec.has("egress") };
  for (const direction of DIRECTIONS) {
    if (spec.list(direction).length > 0 && !types.includes(TYPES[direction])) {
      throw spec.refusal(
        direction,
        `has rules, but policyTypes lacks ${TYPES[direction]}; add it, or remove the rules`,
      );
    }
  }
  return { ingress: types.includes(TYPES.ingress), egress: types.includes(TYPES.egress) };
}

function readRules(spec: Fields, direction: Direction, namespace: string): readonly PolicyRule[] {
  const { peers: list, fields: set } = RULES[direction];
  return strictObjects(spec, direction, set).map((fields, index) => {
    const peers = strictObjects(fields, list, PEER).map((peer) => readPeer(peer, namespace));
    const place = { direction, verdict: "allow", path: `${direction}[${index}]` } as const;
    return ruleOf(place, peers.length === 0 ? undefined : peers, readKubernetesPorts(fields));
  });
}

/** A rule whose absent parts are absent. */
export function ruleOf(
  place: Pick<PolicyRule, "direction" | "verdict" | "path">,
  peers: readonly Peer[] | undefined,
  ports: readonly PortRule[] | undefined,
): PolicyRule {
  return { ...place, ...(peers && { peers }), ...(ports && { ports }) };
}

function readPeer(fields: Fields, namespace: string): Peer {
  const selects = fields.has("podSelector") || fields.has("namespaceSelector");
  if (fields.has("ipBlock")) {
    if (selects) throw fields.refusal("ipBlock", "cannot stand beside a selector; make two peers of it");
    return readCidrBlock(fields.fields("ipBlock"));
  }
  if (!selects) {
    throw fields.refusal(
      "podSelector",
      "is missing; write podSelector: {} for all pods, or leave the list of peers out",
    );
  }
  const pods = readKubernetesSelector(fields.fields("podSelector"));
  const namespaces = fields.has("namespaceSelector")
    ? readKubernetesSelector(fields.fields("namespaceSelector"), NAMESPACE_LABELS_PREFIX)
    : [inNamespace(namespace)];
  const named = pods.filter(({ operator, values }) => operator !== "In" || values.some((value) => value !== ""));
  const requirements = [...namespaces, ...pods];
  return { kind: "endpoints", selector: { requirements }, mentionsCluster: mentionsCluster(named) };
}
