/**
 * Which clusters are drained, as the drain markers in the local etcd say. A marker goes when it is deleted, or when a listing does not show it
 * whose canary proves that none means none. One that is refused leaves the last good one.
 */
import type { AgentTables } from "../tables/agent-tables.ts";
import { judgeDrain } from "../wire/drain.ts";

export class Drains {
  readonly #tables: AgentTables;
  /** Not shown by the listing so far. */
  readonly #unseen = new Set<string>();
  /** By cluster: why its newest marker is refused. */
  readonly #refused = new Map<string, string>();

  constructor(tables: AgentTables) {
    this.#tables = tables;
  }

  put(key: string, cluster: string, bytes: Uint8Array): void {
    this.#unseen.delete(cluster);
    const judged = judgeDrain(key, bytes);
    if (judged.ok) this.#tables.setDrain(cluster, judged.value);
    if (judged.ok) this.#refused.delete(cluster);
    else this.#refused.set(cluster, `${key}: refused: ${judged.rejection.detail}`);
  }

  delete(cluster: string): void {
    this.#refused.delete(cluster);
    this.#tables.setDrain(cluster, undefined);
  }

  /** A listing begins. */
  mark(): void {
    this.#refused.clear();
    this.#unseen.clear();
    for (const cluster of this.#tables.drained()) this.#unseen.add(cluster);
  }

  /** The listing is over. */
  sweep(proves: (cluster: string) => boolean): void {
    for (const cluster of this.#unseen) if (proves(cluster)) this.delete(cluster);
    this.#unseen.clear();
  }

  problems(): readonly string[] {
    return [...this.#refused.values()];
  }
}
