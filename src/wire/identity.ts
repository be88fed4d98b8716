/**
 * Identities: `cilium/state/identities/v1/id/<id>` -> labels, each written `source:key=value;`, sorted by key, nothing escaped.
 * Because nothing is escaped, only text that reads back to exactly itself is believed.
 */
import assert from "node:assert/strict";
import type { Cluster } from "../model/cluster.ts";
import type { Identity, Label } from "../model/resource.ts";
import { MAX_UINT32 } from "./fields.ts";
import { compareBytes, encodeText } from "./go-json.ts";
import { decodeText } from "./json.ts";
import { refuseForeignIdentity } from "./ownership.ts";
import { quote, Refusal } from "./refusal.ts";

/** Every identity names its cluster: `k8s:io.cilium.k8s.policy.cluster=<cluster>`. */
export const CLUSTER_LABEL_KEY = "io.cilium.k8s.policy.cluster";
export const KUBERNETES_SOURCE = "k8s";
/** What else only the control plane says of a workload. */
export const NAMESPACE_LABEL_KEY = "io.kubernetes.pod.namespace";
export const NAMESPACE_LABELS_PREFIX = "io.cilium.k8s.namespace.labels.";
export const SERVICE_ACCOUNT_LABEL_KEY = "io.cilium.k8s.policy.serviceaccount";

/** Sources that say something of the reader's own host or of addresses: a peer that sends them asks for privileges. */
const FORBIDDEN_SOURCES: ReadonlySet<string> = new Set([
  "",
  "any",
  "unspec",
  "reserved",
  "cidr",
  "cidrgroup",
  "fqdn",
  "node",
]);

/** Why a label cannot be written so that it reads back to itself, or undefined when it can. */
export function labelFault(label: Label): string | undefined {
  if (label.source.startsWith("$") || FORBIDDEN_SOURCES.has(label.source))
    return `source ${quote(label.source)} is not for workloads`;
  if (/[:;=]/.test(label.source)) return `source ${quote(label.source)} holds ':', ';' or '='`;
  if (label.key === "" || /[;=]/.test(label.key)) return `key ${quote(label.key)} is empty or holds ';' or '='`;
  if (label.value.includes(";")) return `value ${quote(label.value)} of ${quote(label.key)} holds ';'`;
  return undefined;
}

/** The label string, whatever the order of `labels`. Two label sets are the same identity when this is equal. */
export function labelString(labels: readonly Label[]): string {
  const sorted = [...labels].sort((left, right) => compareBytes(left.key, right.key));
  return sorted.map(({ source, key, value }) => `${source}:${key}=${value};`).join("");
}

/** Labels must be free of `labelFault`s and have distinct keys. */
export function encodeIdentity(labels: readonly Label[]): Uint8Array {
  for (const label of labels) assert.equal(labelFault(label), undefined);
  assert.equal(new Set(labels.map((label) => label.key)).size, labels.length, "labels have distinct keys");
  return encodeText(labelString(labels));
}

function parseLabel(part: string): Label {
  const colon = part.indexOf(":");
  const equals = part.indexOf("=", colon + 1);
  if (colon < 0 || equals < 0) throw new Refusal("ambiguous-labels", `${quote(part)} is not source:key=value`);
  return { source: part.slice(0, colon), key: part.slice(colon + 1, equals), value: part.slice(equals + 1) };
}

function parseLabels(text: string): readonly Label[] {
  if (!text.endsWith(";")) throw new Refusal("ambiguous-labels", "the labels do not end in ';'");
  const labels = text.slice(0, -1).split(";").map(parseLabel);
  for (const [index, label] of labels.entries()) {
    if (index > 0 && compareBytes(labels[index - 1]?.key ?? "", label.key) >= 0) {
      throw new Refusal("ambiguous-labels", `key ${quote(label.key)} is out of order or occurs twice`);
    }
    if (label.source.startsWith("$") || FORBIDDEN_SOURCES.has(label.source)) {
      throw new Refusal("forbidden-label", `source ${quote(label.source)} does not travel between clusters`);
    }
    const fault = labelFault(label);
    if (fault !== undefined) throw new Refusal("ambiguous-labels", fault);
  }
  return labels;
}

/** The number of an identity key; refuses any text but the plain decimal. */
export function readIdentityKey(suffix: string): number {
  const id = /^[1-9][0-9]{0,9}$/.test(suffix) ? Number(suffix) : 0;
  if (id === 0 || id > MAX_UINT32) throw new Refusal("wrong-key", `${quote(suffix)} is no identity number`);
  return id;
}

/** Throws a Refusal. */
export function decodeIdentity(cluster: Cluster, suffix: string, value: Uint8Array): Identity {
  const id = readIdentityKey(suffix);
  refuseForeignIdentity(cluster, id);
  const labels = parseLabels(decodeText(value));
  const own = labels.find((label) => label.key === CLUSTER_LABEL_KEY);
  if (!own) throw new Refusal("no-cluster-label", `identity ${id} does not name its cluster`);
  if (own.source !== KUBERNETES_SOURCE || own.value !== cluster.name) {
    throw new Refusal("foreign-cluster", `identity ${id} says it is of ${quote(`${own.source}:${own.value}`)}`);
  }
  return { id, labels };
}
