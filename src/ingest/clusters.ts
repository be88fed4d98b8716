/**
 * Which clusters there are, and their ids, as the cluster configs in the local etcd say. A config that is refused leaves the last good one; an id
 * belongs to whoever had it first, until that cluster is gone, config and rows; one that it gave up, until no row carries it any more.
 */
import { type Cluster, clusterNameFault } from "../model/cluster.ts";
import { judgeClusterConfig } from "../wire/cluster-config.ts";
import { clusterConfigKey } from "../wire/keys.ts";

/** An accepted config that said something new. */
export interface Numbered {
  readonly cluster: Cluster;
  /** It had another id: what came with the new one before the config was refused. */
  readonly renumbered: boolean;
}

interface Known {
  readonly cluster: Cluster;
  configured: boolean;
}

export class Clusters {
  readonly #own: Cluster;
  readonly #known = new Map<string, Known>();
  /** Configs refused, by cluster: judged again when an id becomes free. */
  readonly #refused = new Map<string, { readonly bytes: Uint8Array; readonly line: string }>();

  /** Ids that clusters gave up, and who. */
  readonly #former = new Map<number, string>();

  constructor(own: Cluster) {
    this.#own = own;
  }

  /** The cluster called so: the own one, or one whose config was accepted. */
  get(name: string): Cluster | undefined {
    return name === this.#own.name ? this.#own : this.#known.get(name)?.cluster;
  }

  isConfigured(name: string): boolean {
    return name === this.#own.name || this.#known.get(name)?.configured === true;
  }

  /** Own cluster first. */
  all(): readonly Cluster[] {
    return [this.#own, ...[...this.#known.values()].map(({ cluster }) => cluster)];
  }

  /** Why configs are refused, one line each. */
  problems(): readonly string[] {
    return [...this.#refused.values()].map(({ line }) => line);
  }

  /** A listing begins: configs it does not show are gone. */
  mark(): void {
    for (const known of this.#known.values()) known.configured = false;
    this.#refused.clear();
  }

  /** undefined: refused, or the id is known. */
  put(name: string, bytes: Uint8Array): Numbered | undefined {
    const judged = this.#judge(name, bytes);
    if (typeof judged === "string") {
      this.#refused.set(name, { bytes, line: `${clusterConfigKey(name)}: ${judged}` });
      const known = this.#known.get(name);
      if (known !== undefined) known.configured = true;
      return undefined;
    }
    this.#refused.delete(name);
    if (name === this.#own.name) return undefined;
    const before = this.#known.get(name)?.cluster.id;
    if (before !== undefined) this.#former.set(before, name);
    this.#former.delete(judged);
    const cluster = { name, id: judged };
    this.#known.set(name, { cluster, configured: true });
    return before === judged ? undefined : { cluster, renumbered: before !== undefined };
  }

  delete(name: string): void {
    this.#refused.delete(name);
    const known = this.#known.get(name);
    if (known !== undefined) known.configured = false;
  }

  /**
   * Forgets clusters without config and rows, and ids given up that no row carries; returns those that may take their ids now.
   * @param hasRows of the cluster, or only those that carry this id of its.
   */
  forget(hasRows: (name: string, id?: number) => boolean): readonly Numbered[] {
    const gone = [...this.#known].filter(([name, { configured }]) => !configured && !hasRows(name));
    for (const [name] of gone) this.#known.delete(name);
    if (this.#refused.size === 0) return [];
    const free = [...this.#former].filter(([id, name]) => !hasRows(name, id));
    for (const [id] of free) this.#former.delete(id);
    if (gone.length + free.length === 0) return [];
    const again = [...this.#refused].map(([name, { bytes }]) => this.put(name, bytes));
    return again.filter((numbered) => numbered !== undefined);
  }

  /** The id, or why the config is refused. */
  #judge(name: string, bytes: Uint8Array): number | string {
    const fault = clusterNameFault(name);
    if (fault !== undefined) return `the name ${fault}`;
    const judged = judgeClusterConfig(clusterConfigKey(name), bytes);
    if (!judged.ok) return judged.rejection.detail;
    const { id } = judged.value;
    if (name === this.#own.name) {
      return id === this.#own.id ? id : `says id ${id}, but this agent was started with --cluster-id ${this.#own.id}`;
    }
    const former = this.#former.get(id);
    if (former !== undefined && former !== name) {
      return `id ${id} belongs to cluster ${former} until nothing is left of what it said under it`;
    }
    const holder = this.all().find((cluster) => cluster.id === id && cluster.name !== name);
    return holder === undefined ? id : `id ${id} belongs to cluster ${holder.name}; give one of the two another id`;
  }
}
