/** Which labels make a workload's identity. Pure. */
import type { Label } from "../model/resource.ts";
import {
  CLUSTER_LABEL_KEY,
  KUBERNETES_SOURCE,
  NAMESPACE_LABEL_KEY,
  NAMESPACE_LABELS_PREFIX,
  SERVICE_ACCOUNT_LABEL_KEY,
} from "../wire/identity.ts";

/** What only the control plane may say: stripped from a pod's own labels, so that no pod can forge where it runs. */
const FORGEABLE = "io.cilium.k8s";

/**
 * Labels that say which instance or machinery a pod is, not what it may do: with them every pod would have an identity of its own. The same
 * as Cilium leaves out by default. Each is a prefix of the label's key.
 */
const IRRELEVANT: readonly string[] = [
  "annotation",
  "apps.kubernetes.io/pod-index",
  "batch.kubernetes.io/controller-uid",
  "batch.kubernetes.io/job-completion-index",
  "controller-revision-hash",
  "controller-uid",
  "etcd_node",
  "io.kubernetes",
  "k8s.io",
  "kubernetes.io",
  "pod-template-generation",
  "pod-template-hash",
  "statefulset.kubernetes.io/pod-name",
];
const IRRELEVANT_ANYWHERE = "beta.kubernetes.io";

function isRelevant(key: string): boolean {
  if (key.startsWith(FORGEABLE) || key.includes(IRRELEVANT_ANYWHERE)) return false;
  return !IRRELEVANT.some((prefix) => key.startsWith(prefix));
}

const OF_THE_CONTROL_PLANE: ReadonlySet<string> = new Set([
  CLUSTER_LABEL_KEY,
  NAMESPACE_LABEL_KEY,
  SERVICE_ACCOUNT_LABEL_KEY,
]);

/** Whether identities may carry a label of this key. */
export function isIdentityLabel(key: string): boolean {
  return isRelevant(key) || OF_THE_CONTROL_PLANE.has(key) || key.startsWith(NAMESPACE_LABELS_PREFIX);
}

export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** The security labels of a workload, sorted by key. `namespaceLabels` are those of its namespace. */
export function identityLabels(
  cluster: string,
  workload: Workload,
  namespaceLabels: ReadonlyMap<string, string>,
): readonly Label[] {
  const labels = new Map<string, string>();
  for (const [key, value] of workload.labels) if (isRelevant(key)) labels.set(key, value);
  for (const [key, value] of namespaceLabels) labels.set(`${NAMESPACE_LABELS_PREFIX}${key}`, value);
  // The API server puts this one on every namespace; a manifest need not repeat it.
  labels.set(`${NAMESPACE_LABELS_PREFIX}kubernetes.io/metadata.name`, workload.namespace);
  labels.set(NAMESPACE_LABEL_KEY, workload.namespace);
  labels.set(CLUSTER_LABEL_KEY, cluster);
  labels.set(SERVICE_ACCOUNT_LABEL_KEY, workload.serviceAccount);
  const keys = [...labels.keys()].sort();
  return keys.map((key) => ({ source: KUBERNETES_SOURCE, key, value: labels.get(key) ?? "" }));
}
