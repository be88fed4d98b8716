/**
 * Generated services and pods (pure): weight for the control plane. A paper pod has addresses and labels but no process behind them; it
 * is labelled `bulkhead/generated`, and every figure that counts it says so.
 */
import { type ClusterPlan, paperAddresses } from "./plan.ts";

export const PAPER_SERVICES = 300;
/** Dual stack: two addresses each. */
export const PAPER_PODS = 2_500;
export const PAPER_ADDRESSES = 2 * PAPER_PODS;
const PODS_PER_SERVICE = 2;
const PODS_PER_FILE = 500;
/** Paper services use addresses from here up in the service CIDR. */
const FIRST_SERVICE_THIRD_OCTET = 16;

export interface GeneratedFile {
  readonly name: string;
  readonly text: string;
}

const number = (index: number): string => String(index + 1).padStart(4, "0");

function service(cluster: ClusterPlan, index: number): string {
  const address = `10.${100 + cluster.id}.${FIRST_SERVICE_THIRD_OCTET + Math.floor(index / 250)}.${1 + (index % 250)}`;
  return `apiVersion: v1
kind: Service
metadata:
  namespace: paper
  name: paper-${number(index)}
  labels: { bulkhead/generated: "true" }
  annotations: { service.cilium.io/global: "true" }
spec:
  clusterIPs: ["${address}"]
  selector: { service: "${number(index)}" }
  ports: [{ name: http, protocol: TCP, port: 80, targetPort: 8080 }]
`;
}

function pod(cluster: ClusterPlan, index: number): string {
  const node = cluster.nodes[index % cluster.nodes.length];
  const owner = Math.floor(index / PODS_PER_SERVICE);
  const label = owner < PAPER_SERVICES ? `service: "${number(owner)}"` : 'service: "none"';
  const [v4, v6] = paperAddresses(cluster, index);
  return `apiVersion: v1
kind: Pod
metadata: { namespace: paper, name: paper-${number(index)}, labels: { bulkhead/generated: "true", ${label} } }
spec: { nodeName: ${node?.name ?? ""}, containers: [{ name: none }] }
status: { hostIP: "${node?.addresses[0] ?? ""}", podIPs: [{ ip: "${v4}" }, { ip: "${v6}" }] }
`;
}

/** Manifests of everything generated for one cluster. */
export function paperFiles(cluster: ClusterPlan): readonly GeneratedFile[] {
  const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: { name: paper }\n";
  const services = Array.from({ length: PAPER_SERVICES }, (_, index) => service(cluster, index));
  const files = [{ name: "generated-services.yaml", text: [namespace, ...services].join("---\n") }];
  for (let first = 0; first < PAPER_PODS; first += PODS_PER_FILE) {
    const pods = Array.from({ length: PODS_PER_FILE }, (_, offset) => pod(cluster, first + offset));
    files.push({ name: `generated-pods-${number(first)}.yaml`, text: pods.join("---\n") });
  }
  return files;
}
