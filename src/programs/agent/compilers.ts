/** The compilers of the agent side by side: tables in, desired maps out. What one needs of another is passed here. */
import type { Compilers, Held } from "../../datapath/datapath.ts";
import { IpcacheCompiler } from "../../ipcache/ipcache-compiler.ts";
import type { LoadBalancingOptions } from "../../lb/maglev.ts";
import { type Demotions, NO_DEMOTIONS } from "../../lb/select.ts";
import { ServiceCompiler } from "../../lb/service-compiler.ts";
import { BACKEND_MAP } from "../../maps/backend-map.ts";
import { ENDPOINT_ADDRESS_MAP, ENDPOINT_MAP } from "../../maps/endpoint-map.ts";
import { IPCACHE_CIDR_MAP } from "../../maps/ipcache-cidr-map.ts";
import { IPCACHE_MAP } from "../../maps/ipcache-map.ts";
import { POLICY_FAMILY } from "../../maps/policy-map.ts";
import { SERVICE_MAP } from "../../maps/service-map.ts";
import type { ServiceStatus } from "../../model/status.ts";
import { PolicyCompiler, type PolicyOptions } from "../../policy/policy-compiler.ts";
import type { AgentTables } from "../../tables/agent-tables.ts";
import type { DesiredMap } from "../../tables/desired-map.ts";

export class AgentCompilers implements Compilers {
  readonly policy: PolicyCompiler;
  readonly desired: ReadonlyMap<string, DesiredMap>;
  readonly desiredFamilies: ReadonlyMap<string, ReadonlyMap<number, DesiredMap>>;
  readonly #tables: AgentTables;
  readonly #services: ServiceCompiler;
  readonly #ipcache: IpcacheCompiler;
  /** Taken at each compile. */
  demotions: Demotions = NO_DEMOTIONS;

  constructor(tables: AgentTables, options: PolicyOptions & { readonly loadBalancing: LoadBalancingOptions }) {
    this.#tables = tables;
    this.#services = new ServiceCompiler(tables, options.loadBalancing);
    this.#ipcache = new IpcacheCompiler(tables);
    this.policy = new PolicyCompiler(tables, options);
    this.desired = new Map([
      [SERVICE_MAP.name, this.#services.entries.services],
      [BACKEND_MAP.name, this.#services.entries.backends],
      [ENDPOINT_MAP.name, this.policy.endpoints],
      [ENDPOINT_ADDRESS_MAP.name, this.policy.addresses],
      [IPCACHE_MAP.name, this.#ipcache.entries],
      [IPCACHE_CIDR_MAP.name, this.#ipcache.cidrs],
    ]);
    this.desiredFamilies = new Map([[POLICY_FAMILY.name, this.policy.policies]]);
  }

  adopt({ maps, families }: Held): void {
    const held = (layout: { readonly name: string }) => maps.get(layout.name) ?? [];
    this.#services.adopt(held(SERVICE_MAP), held(BACKEND_MAP));
    this.#ipcache.adopt(held(IPCACHE_MAP), held(IPCACHE_CIDR_MAP));
    this.policy.adopt({
      policies: families.get(POLICY_FAMILY.name) ?? new Map(),
      endpoints: held(ENDPOINT_MAP),
      addresses: held(ENDPOINT_ADDRESS_MAP),
      cidrs: held(IPCACHE_CIDR_MAP),
    });
  }

  released(family: string, isFree: (slot: number) => boolean): void {
    if (family === POLICY_FAMILY.name) this.policy.released(isFree);
  }

  get complete(): boolean {
    return this.#tables.isSynced("services", this.#tables.own.id);
  }

  *compile(): Generator<void> {
    const changes = this.#tables.takeChanges();
    this.#services.update(changes, this.demotions);
    yield* this.policy.update(changes);
    yield* this.#ipcache.update(changes, this.policy.cidrs);
  }

  services(): readonly ServiceStatus[] {
    return this.#services.status();
  }

  /** What is kept or left out, one line each. */
  problems(): readonly string[] {
    const ids = this.#services
      .retainedClusters()
      .union(this.#ipcache.retainedClusters())
      .union(this.policy.retainedClusters());
    const { own } = this.#tables;
    const kept = [...ids]
      .sort((left, right) => left - right)
      .map((id) => (id === own.id ? `cluster ${own.name}` : `cluster id ${id}`))
      .map((cluster) => `${cluster}: map entries are kept until the local etcd proves what that cluster offers`);
    return [...kept, ...this.#ipcache.problems(), ...this.policy.problems()];
  }
}
