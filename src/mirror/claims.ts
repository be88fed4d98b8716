/** Which remote holds which cluster id. The incumbent is whoever is in the local cache, also after a restart. */
import type { Cluster } from "../model/cluster.ts";

export class Claims {
  readonly #own: Cluster;
  #idOf = new Map<string, number>();

  constructor(own: Cluster) {
    this.#own = own;
  }

  /** Replaces what is known by what the local cache holds: name -> id. */
  load(cached: ReadonlyMap<string, number>): void {
    this.#idOf = new Map([...cached].filter(([name]) => name !== this.#own.name));
  }

  /** Names that hold an id. */
  names(): readonly string[] {
    return [...this.#idOf.keys()];
  }

  idOf(name: string): number | undefined {
    return this.#idOf.get(name);
  }

  /** Nothing of the cluster is left. */
  release(name: string): void {
    this.#idOf.delete(name);
  }

  /** Takes `id` for `name`, or says in one line why not. */
  take(name: string, id: number): string | undefined {
    if (id === this.#own.id) {
      return `cluster ${name} has id ${id}, which is our own (${this.#own.name}); give one of the two another id`;
    }
    const before = this.#idOf.get(name);
    if (before !== undefined && before !== id) {
      return `cluster ${name} changed its id from ${before} to ${id} while its state is cached under ${before}; give it back id ${before}`;
    }
    for (const [holder, held] of this.#idOf) {
      if (held !== id || holder === name) continue;
      return `cluster ${name} has id ${id}, which ${holder} holds already; give one of the two another id`;
    }
    this.#idOf.set(name, id);
    return undefined;
  }
}
