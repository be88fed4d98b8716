/**
 * Which addresses a node probes: TCP backends that services here may use. Only they prove the way that connections take; where a cluster has
 * none, there is nothing to demote. Nodes choose by rendezvous hashing, so that those of a cluster spread over the targets and keep them.
 */
import type { Cluster } from "../model/cluster.ts";
import { hash32 } from "../model/hash.ts";
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

export class TargetChoice {
  readonly #view: TablesView;
  readonly #node: string;
  readonly #most: number;
  /** By cluster id, targets that were tried and never answered: others are tried before them. */
  readonly #passedOver = new Map<number, ReadonlySet<TargetKey>>();

  /** @param most targets in all. */
  constructor(view: TablesView, node: string, most: number) {
    this.#view = view;
    this.#node = node;
    this.#most = most;
  }

  /**
   * Every other cluster, by name; clusters beyond the number of targets have none.
   * @param isProved whether a target answered once: it is kept as long as it is offered, or what its silence says would be lost.
   */
  choose(isProved: (cluster: string, key: TargetKey) => boolean): readonly ProbedCluster[] {
    const others = [...this.#view.clusters()].filter(({ id }) => id !== this.#view.own.id);
    const offered = backendsByCluster(this.#view);
    const probed = others.filter(({ id }) => offered.has(id));
    const each = Math.min(MOST_PER_CLUSTER, Math.max(1, Math.floor(this.#most / Math.max(1, probed.length))));
    const chosen = new Set(firstByRank(this.#node, probed, ({ name }) => name, Math.floor(this.#most / each)));
    const clusters = others.map((cluster): ProbedCluster => {
      const candidates = chosen.has(cluster) ? this.#candidates(cluster.id, offered.get(cluster.id) ?? new Map()) : [];
      const ranked = firstByRank(this.#node, candidates, ([key]) => key, candidates.length);
      const { proved = [], others: rest = [] } = Object.groupBy(ranked, ([key]) => {
        return isProved(cluster.name, key) ? "proved" : "others";
      });
      return { ...cluster, targets: new Map([...proved, ...rest].slice(0, each)) };
    });
    return clusters.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** They were tried and never answered. */
  passOver({ id }: Cluster, keys: Iterable<TargetKey>): void {
    this.#passedOver.set(id, (this.#passedOver.get(id) ?? new Set()).union(new Set(keys)));
  }

  /** Without those that never answered, unless there are no others: then all begin anew. */
  #candidates(id: number, offered: ReadonlyMap<TargetKey, Target>): readonly (readonly [TargetKey, Target])[] {
    const passed = new Set([...(this.#passedOver.get(id) ?? [])].filter((key) => offered.has(key)));
    this.#passedOver.set(id, passed.size < offered.size ? passed : new Set());
    return passed.size < offered.size ? [...offered].filter(([key]) => !passed.has(key)) : [...offered];
  }
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

/** The `most` items whose hashes with the node's name are the highest. */
function firstByRank<T>(node: string, items: readonly T[], keyOf: (item: T) => string, most: number): readonly T[] {
  const ranked = items.map((item) => ({ item, rank: hash32(`${node}\u0000${keyOf(item)}`) }));
  ranked.sort((left, right) => right.rank - left.rank);
  return ranked.slice(0, most).map(({ item }) => item);
}
