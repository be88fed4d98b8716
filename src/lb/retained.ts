/**
 * What the kernel already held when the agent started, as far as nobody has spoken about it yet. A frontend stays whole until the own cluster's
 * services are complete; a backend stays until its cluster has said what it offers. Nothing is retained twice: what was let go never returns.
 */
import type { TablesView } from "../tables/tables-view.ts";
import type { Candidate, EndpointKey } from "./backend.ts";
import type { KernelFrontend } from "./kernel-services.ts";

interface RetainedFrontend extends KernelFrontend {
  /** A local service has claimed it: the service's own backends and fate count from then on. */
  readonly claimed: boolean;
}

export class Retained {
  readonly #view: TablesView;
  readonly #frontends = new Map<EndpointKey, RetainedFrontend>();

  constructor(view: TablesView) {
    this.#view = view;
  }

  adopt(frontends: ReadonlyMap<EndpointKey, KernelFrontend>): void {
    for (const [key, frontend] of frontends) this.#frontends.set(key, { ...frontend, claimed: false });
  }

  keys(): IterableIterator<EndpointKey> {
    return this.#frontends.keys();
  }

  /** Backends of a frontend that no service claims (any more); undefined when it should go. */
  unclaimed(key: EndpointKey): KernelFrontend | undefined {
    const frontend = this.#frontends.get(key);
    if (frontend === undefined) return undefined;
    if (!frontend.claimed && !this.#view.isSynced("services", this.#view.own.id)) return frontend;
    this.#frontends.delete(key);
    return undefined;
  }

  /** Backends of clusters that have not said yet what they offer to the service that claims the frontend. */
  claimed(key: EndpointKey, spoken: (clusterId: number) => boolean): readonly Candidate[] {
    const backends = this.#frontends.get(key)?.backends ?? [];
    return backends.filter(
      ({ own, clusterId }) => !own && !spoken(clusterId) && !this.#view.isSynced("services", clusterId),
    );
  }

  /** A service claimed the frontend: nothing but `backends` is retained of it from now on. */
  claim(key: EndpointKey, backends: readonly Candidate[]): void {
    const frontend = this.#frontends.get(key);
    if (frontend === undefined) return;
    if (backends.length === 0) this.#frontends.delete(key);
    else this.#frontends.set(key, { ...frontend, backends, claimed: true });
  }

  /** Ids of the clusters whose backends are kept although the local etcd does not prove them. */
  clusters(): ReadonlySet<number> {
    const ids = new Set<number>();
    for (const { backends } of this.#frontends.values()) {
      for (const { clusterId } of backends) if (!this.#view.isSynced("services", clusterId)) ids.add(clusterId);
    }
    return ids;
  }
}
