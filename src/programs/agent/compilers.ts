/** The compilers of the agent side by side: tables in, desired maps out. What one needs of another would be passed here. */
import type { Compilers, Dump } from "../../datapath/datapath.ts";
import { IpcacheCompiler } from "../../ipcache/ipcache-compiler.ts";
import { ServiceCompiler } from "../../lb/service-compiler.ts";
import { BACKEND_MAP } from "../../maps/backend-map.ts";
import { IPCACHE_MAP } from "../../maps/ipcache-map.ts";
import { SERVICE_MAP } from "../../maps/service-map.ts";
import type { ServiceStatus } from "../../model/status.ts";
import type { AgentTables } from "../../tables/agent-tables.ts";
import type { DesiredMap } from "../../tables/desired-map.ts";

export class AgentCompilers implements Compilers {
  readonly desired: ReadonlyMap<string, DesiredMap>;
  readonly #tables: AgentTables;
  readonly #services: ServiceCompiler;
  readonly #ipcache: IpcacheCompiler;

  constructor(tables: AgentTables) {
    this.#tables = tables;
    this.#services = new ServiceCompiler(tables);
    this.#ipcache = new IpcacheCompiler(tables);
    this.desired = new Map([
      [SERVICE_MAP.name, this.#services.entries.services],
      [BACKEND_MAP.name, this.#services.entries.backends],
      [IPCACHE_MAP.name, this.#ipcache.entries],
    ]);
  }

  adopt(dumps: ReadonlyMap<string, Dump>): void {
    this.#services.adopt(dumps.get(SERVICE_MAP.name) ?? [], dumps.get(BACKEND_MAP.name) ?? []);
    this.#ipcache.adopt(dumps.get(IPCACHE_MAP.name) ?? []);
  }

  get complete(): boolean {
    return this.#tables.isSynced("services", this.#tables.own.id);
  }

  *compile(): Generator<void> {
    const changes = this.#tables.takeChanges();
    this.#services.update(changes);
    yield* this.#ipcache.update(changes);
  }

  services(): readonly ServiceStatus[] {
    return this.#services.status();
  }

  /** What is kept or left out, one line each. */
  problems(): readonly string[] {
    const ids = this.#services.retainedClusters().union(this.#ipcache.retainedClusters());
    const { own } = this.#tables;
    const kept = [...ids]
      .sort((left, right) => left - right)
      .map((id) => (id === own.id ? `cluster ${own.name}` : `cluster id ${id}`))
      .map((cluster) => `${cluster}: map entries are kept until the local etcd proves what that cluster offers`);
    const count = this.#ipcache.notProgrammed;
    return count === 0
      ? kept
      : [...kept, `${count} CIDR entries are not programmed: the ipcache holds single addresses`];
  }
}
