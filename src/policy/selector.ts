/** What a selector asks of labels, and one text for selectors that ask the same. */
import type { Requirement } from "../model/policy.ts";
import type { Label } from "../model/resource.ts";

export const CLUSTER_LABEL = "io.cilium.k8s.policy.cluster";
const KUBERNETES = "k8s";
const ANY = "any";
const RESERVED = "reserved";

export function matches(requirements: readonly Requirement[], labels: readonly Label[]): boolean {
  for (const requirement of requirements) if (!holds(requirement, labels)) return false;
  return true;
}

function holds({ source, key, operator, values }: Requirement, labels: readonly Label[]): boolean {
  const label = labels.find((one) => one.key === key && (source === ANY || one.source === source));
  switch (operator) {
    case "In":
      return label !== undefined && values.includes(label.value);
    case "NotIn":
      return label === undefined || !values.includes(label.value);
    case "Exists":
      return label !== undefined;
    case "DoesNotExist":
      return label === undefined;
  }
}

/** Equal for selectors that ask the same in another order. */
export function selectorText(requirements: readonly Requirement[]): string {
  const texts = requirements.map(({ source, key, operator, values }) =>
    JSON.stringify([source, key, operator, ...[...new Set(values)].sort()]),
  );
  return [...new Set(texts)].sort().join(" ");
}

/** Only such selectors can mean identities that are no workload's. */
export function asksReserved(requirements: readonly Requirement[]): boolean {
  return requirements.some(({ source }) => source === RESERVED);
}

/** Every workload's identity names its cluster; no other identity does. */
export function isWorkload(labels: readonly Label[]): boolean {
  return labels.some(({ source, key }) => key === CLUSTER_LABEL && source === KUBERNETES);
}

export function inCluster(name: string): Requirement {
  return { source: KUBERNETES, key: CLUSTER_LABEL, operator: "In", values: [name] };
}

/** The requirement that one reserved identity alone meets. */
export function isReserved(name: string): Requirement {
  return { source: RESERVED, key: name, operator: "In", values: [""] };
}

export function reservedLabels(name: string): readonly Label[] {
  return [{ source: RESERVED, key: name, value: "" }];
}
