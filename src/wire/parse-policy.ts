/** Network policies: the parts that all kinds share. `docs/POLICY.md` says what they mean. */
import type { Policy, PolicyKind, PolicySpec } from "../model/policy.ts";
import type { Fields } from "./fields.ts";
import type { Tree } from "./json.ts";
import type { PolicyManifest } from "./manifest.ts";
import { readCiliumPolicySpecs } from "./parse-cilium-policy.ts";
import { readMetadata } from "./parse-metadata.ts";
import { readNetworkPolicySpecs } from "./parse-network-policy.ts";
import { type FieldSet, strict, strictObject } from "./policy-fields.ts";
import { quote, Refusal } from "./refusal.ts";

/** On a policy: what it would drop by default is let through and counted. On a pod: the same for all that reaches or leaves it. */
export const AUDIT_ANNOTATION = "policy.bulkhead.io/audit";

interface Kind {
  readonly version: string;
  readonly fields: FieldSet;
  readonly readSpecs: (root: Fields, namespace: string) => readonly PolicySpec[];
}

const BASE_FIELDS = ["apiVersion", "kind", "metadata", "status", "spec"];
const NETWORK_POLICY: Kind = {
  version: "networking.k8s.io/v1",
  fields: { known: BASE_FIELDS, nullable: ["status"] },
  readSpecs: readNetworkPolicySpecs,
};
const CILIUM_POLICY: Kind = {
  version: "cilium.io/v2",
  fields: { known: [...BASE_FIELDS, "specs"], nullable: ["status", "spec", "specs"] },
  readSpecs: readCiliumPolicySpecs,
};

const KINDS: Readonly<Record<PolicyKind, Kind>> = {
  NetworkPolicy: NETWORK_POLICY,
  CiliumNetworkPolicy: CILIUM_POLICY,
  CiliumClusterwideNetworkPolicy: CILIUM_POLICY,
};

/** Whatever Kubernetes may put into an object's metadata; the most of it says nothing to us. */
const METADATA: FieldSet = {
  known: [
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "uid",
    "selfLink",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
  ],
  nullable: ["creationTimestamp", "labels", "annotations", "deletionTimestamp"],
};

/** `apiVersion kind` of every policy that is enforced. */
export const POLICY_KINDS: readonly string[] = Object.entries(KINDS).map(([kind, { version }]) => `${version} ${kind}`);

function isPolicyKind(text: string): text is PolicyKind {
  return Object.hasOwn(KINDS, text);
}

/** `source` is `file:line` of the document. Throws a Refusal. */
export function parsePolicy(root: Fields, source: string): Policy {
  const kind = root.text("kind");
  if (!isPolicyKind(kind)) throw root.refusal("kind", `${quote(kind)} is no policy`);
  const { version, fields, readSpecs } = KINDS[kind];
  const given = root.text("apiVersion");
  if (given !== version) throw root.refusal("apiVersion", `${quote(given)} is not read; use ${version}`);
  strict(root, fields);
  strictObject(root, "metadata", METADATA);
  const { name, namespace: placed, annotations } = readMetadata(root, true);
  const namespace = kind === "CiliumClusterwideNetworkPolicy" ? clusterwide(root) : placed;
  const audit = readAudit(root, annotations);
  return { kind, namespace, name, source, audit, specs: readSpecs(root, namespace) };
}

function clusterwide(root: Fields): string {
  const metadata = root.fields("metadata");
  if (metadata.text("namespace") === "") return "";
  throw metadata.refusal("namespace", "has no meaning in a clusterwide policy; remove it, or use CiliumNetworkPolicy");
}

function readAudit(root: Fields, annotations: ReadonlyMap<string, string>): boolean {
  const value = annotations.get(AUDIT_ANNOTATION) ?? "false";
  if (value === "true" || value === "false") return value === "true";
  const path = [...root.path, "metadata", "annotations", AUDIT_ANNOTATION];
  throw new Refusal("malformed", `${quote(value)} must be "true" or "false"`, path);
}

export function parsePolicyManifest(root: Fields, source: string): PolicyManifest {
  const policy = parsePolicy(root, source);
  const { name, namespace } = policy;
  const { labels } = readMetadata(root, true);
  return { kind: "Policy", name, namespace, labels, source, policy, document: documentOf(root, policy) };
}

/** The document without what only people and the API server need. */
function documentOf(root: Fields, { name, namespace, audit }: Policy): Tree {
  const metadata = new Map<string, Tree>([["name", name]]);
  if (namespace !== "") metadata.set("namespace", namespace);
  if (audit) metadata.set("annotations", new Map([[AUDIT_ANNOTATION, "true"]]));
  const document = new Map<string, Tree>([
    ["apiVersion", root.tree("apiVersion")],
    ["kind", root.tree("kind")],
    ["metadata", metadata],
  ]);
  for (const part of ["spec", "specs"]) if (root.has(part)) document.set(part, root.tree(part));
  return document;
}
