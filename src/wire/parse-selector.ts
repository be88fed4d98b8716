/** Label selectors of policies, in Kubernetes' and in Cilium's spelling. */
import { RESERVED_IDENTITIES } from "../model/identity.ts";
import type { Requirement } from "../model/policy.ts";
import type { Fields } from "./fields.ts";
import { CLUSTER_LABEL_KEY, KUBERNETES_SOURCE, NAMESPACE_LABEL_KEY, NAMESPACE_LABELS_PREFIX } from "./identity.ts";
import { isLabelKey, isLabelValue } from "./names.ts";
import { type FieldSet, strict, strictObjects } from "./policy-fields.ts";
import { type Path, quote, Refusal } from "./refusal.ts";

const SELECTOR: FieldSet = { known: ["matchLabels", "matchExpressions"] };
const EXPRESSION: FieldSet = { known: ["key", "operator", "values"] };
const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

const ANY_SOURCE = "any";
const RESERVED_SOURCE = "reserved";
/** Never behind an address here: nothing would match. */
const UNSEEN: ReadonlySet<string> = new Set(["unknown", "kube-apiserver"]);

type LabelName = Pick<Requirement, "source" | "key">;
type ReadKey = (text: string, path: Path) => LabelName;

/** Keys as pods carry them; `prefix` is put before each. */
export function readKubernetesSelector(selector: Fields, prefix = ""): readonly Requirement[] {
  return readSelector(selector, (text, path) => {
    if (!isLabelKey(text)) throw badKey(text, path);
    return { source: KUBERNETES_SOURCE, key: prefix + text };
  });
}

/** Keys with a source before them, `k8s:app`; without one every source is meant. */
export function readCiliumSelector(selector: Fields): readonly Requirement[] {
  return readSelector(selector, readCiliumKey);
}

function readCiliumKey(text: string, path: Path): LabelName {
  const colon = text.indexOf(":");
  const source = colon < 0 ? ANY_SOURCE : text.slice(0, colon);
  const key = text.slice(colon + 1);
  if (source === RESERVED_SOURCE) {
    if (key === "world" || key.startsWith("world-")) {
      // Addresses that a policy names as CIDR have identities of their own: the label would match those that none names.
      throw new Refusal("unsupported", `${quote(text)} is no label here; use the entity ${key}`, path);
    }
    if (!Object.hasOwn(RESERVED_IDENTITIES, key) || UNSEEN.has(key)) {
      throw new Refusal("unsupported", `${quote(text)} is never seen here; use reserved:host and the like`, path);
    }
  } else if (source !== ANY_SOURCE && source !== KUBERNETES_SOURCE) {
    throw new Refusal("unsupported", `source of ${quote(text)} is never seen here; use k8s:, any: or reserved:`, path);
  } else if (!isLabelKey(withoutNamespacePrefix(key))) throw badKey(text, path);
  return { source, key };
}

function withoutNamespacePrefix(key: string): string {
  return key.startsWith(NAMESPACE_LABELS_PREFIX) ? key.slice(NAMESPACE_LABELS_PREFIX.length) : key;
}

function badKey(text: string, path: Path): Refusal {
  return new Refusal("malformed", `${quote(text)} is no label key; use [prefix/]name of letters and digits`, path);
}

function readSelector(selector: Fields, readKey: ReadKey): readonly Requirement[] {
  strict(selector, SELECTOR);
  const labels = selector.fields("matchLabels");
  const requirements: Requirement[] = [];
  for (const name of labels.names()) {
    const path = [...labels.path, name];
    if (!labels.has(name)) throw labels.refusal(name, 'has no value; write one, "" for an empty one');
    const value = readValue(labels.text(name), path);
    requirements.push({ ...readKey(name, path), operator: "In", values: [value] });
  }
  const expressions = strictObjects(selector, "matchExpressions", EXPRESSION);
  return [...requirements, ...expressions.map((fields) => readExpression(fields, readKey))];
}

function readExpression(fields: Fields, readKey: ReadKey): Requirement {
  const name = readKey(fields.text("key"), [...fields.path, "key"]);
  const given = fields.text("operator");
  const operator = OPERATORS.find((known) => known === given);
  if (!operator) throw fields.refusal("operator", `${quote(given)} must be one of ${OPERATORS.join(", ")}`);
  const values = fields.texts("values").map((value, index) => readValue(value, [...fields.path, "values", index]));
  const wantsValues = operator === "In" || operator === "NotIn";
  if (wantsValues && values.length === 0)
    throw fields.refusal("values", `${operator} needs at least one value; add it`);
  if (!wantsValues && values.length > 0) throw fields.refusal("values", `${operator} takes no values; remove them`);
  return { ...name, operator, values };
}

function readValue(value: string, path: Path): string {
  if (isLabelValue(value)) return value;
  throw new Refusal("malformed", `${quote(value)} is no label value; use at most 63 of letters, digits, -_.`, path);
}

/** Whether it asks for identities that stand for no workload: nothing is implied then. */
export function mentionsReserved(requirements: readonly Requirement[]): boolean {
  return requirements.some(({ source }) => source === RESERVED_SOURCE);
}

export function mentionsNamespace(requirements: readonly Requirement[]): boolean {
  return requirements.some(({ key }) => key === NAMESPACE_LABEL_KEY || key.startsWith(NAMESPACE_LABELS_PREFIX));
}

export function mentionsCluster(requirements: readonly Requirement[]): boolean {
  return requirements.some(({ key }) => key === CLUSTER_LABEL_KEY);
}

export function inNamespace(namespace: string): Requirement {
  return { source: KUBERNETES_SOURCE, key: NAMESPACE_LABEL_KEY, operator: "In", values: [namespace] };
}
