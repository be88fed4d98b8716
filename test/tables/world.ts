/** Small random worlds: three clusters, two services, few addresses, so that everything collides with everything. */
import fc from "fast-check";
import type { Cluster } from "../../src/model/cluster.ts";
import type { AddressPorts, Affinity, ClusterService, LocalService, ServicePort } from "../../src/model/resource.ts";
import { AgentTables, type SourceKind } from "../../src/tables/agent-tables.ts";

export const OWN: Cluster = { name: "amsterdam", id: 2 };
export const OSAKA: Cluster = { name: "osaka", id: 1 };
export const VIRGINIA: Cluster = { name: "virginia", id: 3 };
export const CLUSTERS = [OWN, OSAKA, VIRGINIA] as const;
export const REMOTES = [OSAKA, VIRGINIA] as const;
const NAMES = ["billing/ledger", "shop/web"] as const;
const mostly: fc.Arbitrary<boolean> = fc.constantFrom(true, true, true, false);

export type Change = (tables: AgentTables) => void;

const splitName = (name: string) => {
  const [namespace = "", service = ""] = name.split("/");
  return { namespace, name: service };
};

const port = (name: string, number: number, protocol: ServicePort["protocol"] = "TCP"): ServicePort => {
  return { name, port: number, protocol };
};

const http = [port("http", 80)];
const portSets: fc.Arbitrary<readonly ServicePort[]> = fc.constantFrom(
  http,
  http,
  http,
  [port("http", 80), port("dns", 53, "UDP")],
  [port("", 80)],
  [port("sctp", 80, "SCTP"), port("http", 81)],
);

function addressPorts(addresses: readonly string[], most: number): fc.Arbitrary<AddressPorts> {
  const entry = fc.tuple(fc.constantFrom(...addresses), portSets);
  return fc.array(entry, { minLength: 1, maxLength: most }).map((entries) => new Map(entries));
}

const backends = addressPorts(["10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1", "fd00::2"], 4);

export const localServices: fc.Arbitrary<LocalService> = fc
  .record({
    name: fc.constantFrom(...NAMES),
    frontends: addressPorts(["10.9.0.1", "10.9.0.2", "fd09::1"], 2),
    backends,
    global: mostly,
    shared: mostly,
    affinity: fc.constantFrom<Affinity>("none", "none", "local", "remote"),
  })
  .map((service) => ({ ...service, ...splitName(service.name) }));

export const clusterServices: fc.Arbitrary<ClusterService> = fc
  .record({ cluster: fc.constantFrom(...REMOTES), name: fc.constantFrom(...NAMES), backends, shared: mostly })
  .map(({ cluster, name, ...rest }) => ({
    ...rest,
    ...splitName(name),
    cluster: cluster.name,
    clusterId: cluster.id,
    frontends: new Map(),
    labels: new Map(),
    selector: new Map(),
  }));

const clusterOf = (service: ClusterService): Cluster => ({ name: service.cluster, id: service.clusterId });
const addresses = fc.constantFrom("10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1", "10.1.0.0/24");
const kinds = fc.constantFrom<SourceKind>("services", "ip");

/** Rows come and go. */
export const rowChange: fc.Arbitrary<Change> = fc.oneof(
  localServices.map(
    (service): Change =>
      (tables) =>
        tables.putLocalService(service),
  ),
  clusterServices.map(
    (service): Change =>
      (tables) =>
        tables.putClusterService(clusterOf(service), service),
  ),
  fc.tuple(fc.constantFrom(...CLUSTERS), fc.constantFrom(...NAMES)).map(
    ([cluster, name]): Change =>
      (tables) =>
        tables.remove(cluster.name, "services", name),
  ),
  fc.tuple(fc.constantFrom(...CLUSTERS), addresses, fc.integer({ min: 256, max: 300 })).map(
    ([cluster, address, low]): Change =>
      (tables) =>
        tables.putIp(cluster, address, cluster.id * 65536 + low),
  ),
  fc.tuple(fc.constantFrom(...CLUSTERS), addresses).map(
    ([cluster, address]): Change =>
      (tables) =>
        tables.remove(cluster.name, "ip", address),
  ),
);

/** Sources become complete, or cease to be known as such. */
export const syncChange: fc.Arbitrary<Change> = fc.tuple(fc.constantFrom(...CLUSTERS), kinds, fc.boolean()).map(
  ([cluster, kind, synced]): Change =>
    (tables) =>
      tables.setSynced(cluster.id, kind, synced),
);

export const rowChanges = fc.array(rowChange, { maxLength: 12 });

export const syncEverything: Change = (tables) => {
  for (const { id } of CLUSTERS) for (const kind of ["services", "ip"] as const) tables.setSynced(id, kind, true);
};

export function tablesAfter(changes: readonly Change[]): AgentTables {
  const tables = new AgentTables(OWN);
  for (const change of changes) change(tables);
  return tables;
}
