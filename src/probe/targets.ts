/**
 * Which addresses a node probes: TCP backends that services here may use. Only they prove the way that connections take; where a cluster has
 * none, there is nothing to demote. Nodes choose by rendezvous hashing, so that those of a cluster spread over the targets and keep them.
 */
import { createHash } from "node:crypto";
import type { Cluster } from "../model/cluster.ts";
import type { TablesView } from "../tables/tables-view.ts";

export interface Target {
  /** Canonical. */
  readonly address: string;
  readonly port: number;
}

export type TargetKey = string;

/** `10.1.0.1:80`, `[fd00::1]:80`. */
export function targetKey({ address, port }: Target): TargetKey {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** More says no more of one cluster's path. */
export const MOST_PER_CLUSTER = 4;

export interface ProbedCluster extends Cluster {
  readonly targets: ReadonlyMap<TargetKey, Target>;
}

/** Every other cluster, by name; at most `most` targets in all. Clusters beyond that number have none. */
export function chooseTargets(view: TablesView, node: string, most: number): readonly ProbedCluster[] {
  const others = [...view.clusters()].filter(({ id }) => id !== view.own.id);
  const offered = backendsByCluster(view);
  const probed = others.filter(({ id }) => offered.has(id));
  const each = Math.min(MOST_PER_CLUSTER, Math.max(1, Math.floor(most / Math.max(1, probed.length))));
  const chosen = new Set([...probed].sort(byRank(node, ({ name }) => name)).slice(0, Math.floor(most / each)));
  const clusters = others.map((cluster): ProbedCluster => {
    const candidates = chosen.has(cluster) ? [...(offered.get(cluster.id) ?? [])] : [];
    const targets = candidates.sort(byRank(node, ([key]) => key)).slice(0, each);
    return { ...cluster, targets: new Map(targets) };
  });
  return clusters.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function backendsByCluster(view: TablesView): ReadonlyMap<number, ReadonlyMap<TargetKey, Target>> {
  const found = new Map<number, Map<TargetKey, Target>>();
  for (const name of view.localServices()) {
    if (!view.localService(name)?.global) continue;
    for (const { clusterId, shared, backends } of view.clusterServices(name)) {
      if (!shared) continue;
      const targets = found.get(clusterId) ?? new Map<TargetKey, Target>();
      for (const [address, ports] of backends) {
        for (const { port, protocol } of ports) {
          if (protocol === "TCP") targets.set(targetKey({ address, port }), { address, port });
        }
      }
      if (targets.size > 0) found.set(clusterId, targets);
    }
  }
  return found;
}

/** Highest hash first. */
function byRank<T>(node: string, keyOf: (item: T) => string): (left: T, right: T) => number {
  const ranks = new Map<string, string>();
  const rank = (item: T): string => {
    const key = keyOf(item);
    const known = ranks.get(key) ?? createHash("sha256").update(`${node}\u0000${key}`).digest("hex");
    ranks.set(key, known);
    return known;
  };
  return (left, right) => (rank(left) > rank(right) ? -1 : 1);
}
