// Label selectors, read anew from the document each time they are asked.
import { list, object, type Raw, texts } from "./documents.ts";
import {
  CLUSTER_LABEL,
  isV6,
  type Label,
  labelsOfPod,
  NAMESPACE_LABEL,
  NAMESPACE_LABELS,
  type Party,
  type World,
} from "./world.ts";

export interface Requirement {
  readonly source: string;
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** @param split how a key of the document names its source: `k8s:app`. */
function requirements(selector: Raw, split: (key: string) => { source: string; key: string }): readonly Requirement[] {
  const equal = Object.entries(object(selector, "matchLabels")).map(([key, value]) => {
    return { ...split(key), operator: "In", values: [String(value)] };
  });
  const others = list(selector, "matchExpressions").map((expression) => {
    const values = texts(expression, "values");
    return { ...split(String(expression["key"])), operator: String(expression["operator"]), values };
  });
  return [...equal, ...others];
}

/** Cilium's keys: a bare one is of any source. */
export function ciliumRequirements(selector: Raw): readonly Requirement[] {
  return requirements(selector, (key) => {
    const colon = key.indexOf(":");
    return colon < 0 ? { source: "any", key } : { source: key.slice(0, colon), key: key.slice(colon + 1) };
  });
}

/** Kubernetes' keys, as labels below `prefix`. */
export function kubernetesRequirements(selector: Raw, prefix = ""): readonly Requirement[] {
  return requirements(selector, (key) => ({ source: "k8s", key: prefix + key }));
}

export function must(key: string, value: string): Requirement {
  return { source: "k8s", key, operator: "In", values: [value] };
}

function holdsFor({ source, key, operator, values }: Requirement, labels: readonly Label[]): boolean {
  const found = labels.filter((label) => label.key === key && (source === "any" || source === label.source));
  switch (operator) {
    case "In":
      return found.some(({ value }) => values.includes(value));
    case "NotIn":
      return !found.some(({ value }) => values.includes(value));
    case "Exists":
      return found.length > 0;
    case "DoesNotExist":
      return found.length === 0;
    default:
      throw new Error(`operator ${operator}`);
  }
}

export function allHold(wanted: readonly Requirement[], labels: readonly Label[]): boolean {
  return wanted.every((requirement) => holdsFor(requirement, labels));
}

function isPlain(source: string): boolean {
  return source === "k8s" || source === "any";
}

/** Whether Cilium peers that these requirements describe are among `party`. @param namespace of the policy, "" for a clusterwide one. */
export function endpointsHold(world: World, namespace: string, selector: Raw, party: Party): boolean {
  const written = ciliumRequirements(selector);
  if (party.kind === "unknown" || (party.kind === "pod" && party.pod.unlabelled === true)) return false;
  if (written.some(({ source }) => source === "reserved")) return allHold(written, labelsOfParty(party));
  if (party.kind !== "pod") return false;
  const implied: Requirement[] = [];
  const saysNamespace = written.some(
    ({ source, key }) => isPlain(source) && (key === NAMESPACE_LABEL || key.startsWith(NAMESPACE_LABELS)),
  );
  if (namespace !== "" && !saysNamespace) implied.push(must(NAMESPACE_LABEL, namespace));
  const saysCluster = written.some(({ source, key }) => isPlain(source) && key === CLUSTER_LABEL);
  if (world.defaultLocalCluster && !saysCluster) implied.push(must(CLUSTER_LABEL, world.own));
  return allHold([...written, ...implied], labelsOfPod(party.pod));
}

function labelsOfParty(party: Party): readonly Label[] {
  if (party.kind === "pod") return labelsOfPod(party.pod);
  if (party.kind === "reserved") return [{ source: "reserved", key: party.name, value: "" }];
  if (party.kind === "unknown") return [];
  return [{ source: "reserved", key: isV6(party.address) ? "world-ipv6" : "world-ipv4", value: "" }];
}
