/** Which cluster a cluster id means. A cluster that changed its id keeps the old one too, until another takes it: rows of old stay its own. */
import type { Cluster } from "../model/cluster.ts";

export class ClusterIds {
  readonly #own: Cluster;
  readonly #holders = new Map<number, string>();
  readonly #clusters = new Map<string, Cluster>();

  constructor(own: Cluster) {
    this.#own = own;
    this.put(own);
  }

  nameOf(id: number): string | undefined {
    return this.#holders.get(id);
  }

  /** Own cluster first, the others in the order in which they came. */
  all(): IterableIterator<Cluster> {
    return this.#clusters.values();
  }

  /** Returns ids that mean another cluster now. */
  put(cluster: Cluster): readonly number[] {
    const { name, id } = cluster;
    if (this.#clusters.get(name)?.id === id && this.#holders.get(id) === name) return [];
    this.#clusters.set(name, cluster);
    this.#holders.set(id, name);
    return [id];
  }

  /** These are all the clusters there are. Returns ids that mean another cluster, or none, now. */
  set(clusters: readonly Cluster[]): readonly number[] {
    const names = new Set([this.#own.name, ...clusters.map(({ name }) => name)]);
    const changed = clusters.flatMap((cluster) => this.put(cluster));
    for (const name of [...this.#clusters.keys()]) if (!names.has(name)) this.#clusters.delete(name);
    for (const [id, name] of [...this.#holders]) {
      if (names.has(name)) continue;
      this.#holders.delete(id);
      changed.push(id);
    }
    return changed;
  }
}
