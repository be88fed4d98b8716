/** Whose a value is: a cluster speaks only for itself. */
import { type Cluster, clusterOfIdentity } from "../model/cluster.ts";
import { quote, Refusal } from "./refusal.ts";

/** Refuses an identity outside the cluster's own range. */
export function refuseForeignIdentity(cluster: Cluster, id: number): void {
  if (clusterOfIdentity(id) === cluster.id) return;
  throw new Refusal("identity-range", `identity ${id} is not of cluster ${cluster.name} (id ${cluster.id})`);
}

/** Refuses a value that names another cluster, or another id, than those it came from. */
export function refuseForeignCluster(cluster: Cluster, name: string, id: number): void {
  refuseForeignClusterName(cluster, name);
  if (id !== cluster.id) {
    throw new Refusal("wrong-cluster-id", `the value says cluster id ${id}; ${cluster.name} has ${cluster.id}`);
  }
}

/** The same for values that carry no id. */
export function refuseForeignClusterName(cluster: Cluster, name: string): void {
  if (name !== cluster.name) throw new Refusal("foreign-cluster", `the value says it is of cluster ${quote(name)}`);
}
