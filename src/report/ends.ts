/** How an end of a connection is written: who, at which address, and the identity that policy sees. */

/** What FlowPeer and ExplainedPeer share. */
interface End {
  readonly identity: number;
  readonly labels: readonly string[];
  readonly cluster: string;
  readonly pod: string;
}

/** Labels that every workload has and that the name says already. */
const IMPLIED = ["k8s:io.cilium.", "k8s:io.kubernetes."];

/** `app=web,tier=front`; reserved and CIDR labels in full. */
function shortLabels(labels: readonly string[]): string {
  const own = labels.filter((label) => !IMPLIED.some((prefix) => label.startsWith(prefix)));
  return own.map((label) => label.replace(/^k8s:/, "")).join(",");
}

/** `osaka/demo/ledger`, `osaka` for what is not a pod, "" for what is no cluster's. */
export function endName({ cluster, pod }: End): string {
  return [cluster, pod].filter((part) => part !== "").join("/");
}

/** `(131073 app=ledger)`. */
export function identityText({ identity, labels }: End): string {
  if (identity === 0) return "(identity unknown)";
  const short = shortLabels(labels);
  return short === "" ? `(${identity})` : `(${identity} ${short})`;
}
