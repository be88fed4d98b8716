/** Which labels make a workload's identity. Pure. */
import type { Label } from "../model/resource.ts";

const NAMESPACE_LABEL = "io.kubernetes.pod.namespace";
const NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels.";
const CLUSTER_LABEL = "io.cilium.k8s.policy.cluster";
const SERVICE_ACCOUNT_LABEL = "io.cilium.k8s.policy.serviceaccount";

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
  for (const [key, value] of namespaceLabels) labels.set(`${NAMESPACE_LABELS}${key}`, value);
  // The API server puts this one on every namespace; a manifest need not repeat it.
  labels.set(`${NAMESPACE_LABELS}kubernetes.io/metadata.name`, workload.namespace);
  labels.set(NAMESPACE_LABEL, workload.namespace);
  labels.set(CLUSTER_LABEL, cluster);
  labels.set(SERVICE_ACCOUNT_LABEL, workload.serviceAccount);
  const keys = [...labels.keys()].sort();
  return keys.map((key) => ({ source: "k8s", key, value: labels.get(key) ?? "" }));
}
