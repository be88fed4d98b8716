/** Small random worlds: three clusters, two services, few addresses, so that everything collides with everything. */
import fc from "fast-check";
import type { Cluster } from "../../src/model/cluster.ts";
import type {
  AddressPorts,
  Affinity,
  ClusterService,
  LocalService,
  Node,
  Routing,
  ServicePort,
} from "../../src/model/resource.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { type IpSubject, LOCAL_KINDS, SHARED_KINDS, type SourceKind } from "../../src/tables/tables-view.ts";

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

const backends = addressPorts(["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "fd00::1", "fd00::2"], 9);

const routings: fc.Arbitrary<Routing> = fc.record({
  prefer: fc.constantFrom([], ["osaka"], ["virginia", "amsterdam"]),
  weights: fc.constantFrom(new Map(), new Map([["osaka", 30]])),
  spillBelow: fc.constantFrom(0, 50),
  unready: fc.nat({ max: 3 }),
});

export const localServices: fc.Arbitrary<LocalService> = fc
  .record({
    name: fc.constantFrom(...NAMES),
    frontends: addressPorts(["10.9.0.1", "10.9.0.2", "fd09::1"], 2),
    backends,
    global: mostly,
    shared: mostly,
    affinity: fc.constantFrom<Affinity>("none", "none", "local", "remote"),
    routing: fc.option(routings),
    ending: mostly,
    seconds: fc.constantFrom(0, 0, 60),
  })
  .map(({ routing, ending, seconds, ...service }) => ({
    ...{ ...service, ...splitName(service.name) },
    ...(routing ? { routing } : {}),
    ...(ending ? {} : { ending: true }),
    ...(seconds > 0 ? { sessionAffinitySeconds: seconds } : {}),
  }));

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
const ADDRESSES = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1", "10.1.0.0/24"] as const;
const NODE_ADDRESSES = ["10.1.0.3", "172.16.0.1", "172.16.0.2", "fd00:16::1"] as const;
const POD_CIDRS = ["10.1.0.0/24", "10.1.0.2/31", "10.2.0.0/16", "10.0.0.0/7", "fd00::/64"] as const;
const clusters = fc.constantFrom(...CLUSTERS);
const kindsOf = ({ name }: Cluster): readonly SourceKind[] => {
  return name === OWN.name ? [...SHARED_KINDS, ...LOCAL_KINDS] : SHARED_KINDS;
};

/** What an IP entry says, as far as tables keep it. */
export function pod(identity: number, more: Partial<IpSubject> = {}): IpSubject {
  return { identity, namespace: "shop", podName: "web", namedPorts: [], hostAddress: "", ...more };
}

export function nodeOf(cluster: Cluster, name: string, more: Partial<Node> = {}): Node {
  const empty = { addresses: [], podCidrs: [], reservedAddresses: [], labels: new Map<string, string>() };
  return { ...empty, cluster: cluster.name, clusterId: cluster.id, name, ...more };
}

export const internal = (address: string) => ({ type: "InternalIP", address });

const namedPorts = fc.subarray([
  { name: "http", port: 80, protocol: "TCP" as const },
  { name: "http", port: 8080, protocol: "TCP" as const },
  { name: "dns", port: 53, protocol: "UDP" as const },
]);

/** Numbers of workloads and reserved ones, of the cluster's own. */
const identityOf = ({ id }: Cluster, low: number): number => (low < 256 ? low : id * 65536 + low);
const lowIdentity = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 256, max: 259 }) }, fc.constantFrom(4, 6, 8));

const ipChange: fc.Arbitrary<Change> = fc
  .tuple(clusters, fc.constantFrom(...ADDRESSES), lowIdentity, namedPorts, fc.boolean(), mostly)
  .map(([cluster, address, low, ports, local, put]): Change => {
    const kind = local && cluster === OWN ? "local-ip" : "ip";
    const subject = pod(identityOf(cluster, low), { namedPorts: ports });
    return put
      ? (tables) => tables.putIp(cluster, address, subject, kind)
      : (tables) => tables.remove(cluster.name, kind, address);
  });

const identityChange: fc.Arbitrary<Change> = fc
  .tuple(clusters, fc.integer({ min: 256, max: 259 }), fc.constantFrom("a", "b"), fc.boolean(), mostly)
  .map(([cluster, low, value, local, put]): Change => {
    const kind = local && cluster === OWN ? "local-identities" : "identities";
    const id = identityOf(cluster, low);
    const labels = [{ source: "k8s", key: "app", value }];
    return put
      ? (tables) => tables.putIdentity(cluster, { id, labels }, kind)
      : (tables) => tables.remove(cluster.name, kind, String(id));
  });

const nodeChange: fc.Arbitrary<Change> = fc
  .record({
    cluster: clusters,
    name: fc.constantFrom("n1", "n2"),
    addresses: fc.subarray([...NODE_ADDRESSES]),
    reservedAddresses: fc.subarray(["10.1.0.1", "fd00::1"]),
    podCidrs: fc.subarray([...POD_CIDRS]),
    put: mostly,
  })
  .map(({ cluster, name, addresses, put, ...more }): Change => {
    const node = nodeOf(cluster, name, { ...more, addresses: addresses.map(internal) });
    return put ? (tables) => tables.putNode(cluster, node) : (tables) => tables.remove(cluster.name, "nodes", name);
  });

export const networkChange: fc.Arbitrary<Change> = fc.subarray(["172.16.0.1", "10.1.0.2"]).map(
  (ownAddresses): Change =>
    (tables) =>
      tables.setNetwork({ devices: [], ownAddresses }),
);

const ramps = fc
  .constantFrom(0, 0, 1, 35, 50, 99, 100)
  .map((weight) => ({ weight, target: 0, step: 10, stepMs: 1_000 }));

/** Clusters are drained, single services too, and return. */
export const drainChange: fc.Arbitrary<Change> = fc
  .record({
    cluster: clusters,
    all: fc.option(ramps),
    services: fc.dictionary(fc.constantFrom(...NAMES), ramps, { maxKeys: 2 }),
    put: mostly,
  })
  .map(({ cluster, all, services, put }): Change => {
    const drain = { ...(all && { all }), services: new Map(Object.entries(services)) };
    return (tables) => tables.setDrain(cluster.name, put ? drain : undefined);
  });

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
  fc.tuple(clusters, fc.constantFrom(...NAMES)).map(
    ([cluster, name]): Change =>
      (tables) =>
        tables.remove(cluster.name, "services", name),
  ),
  ipChange,
  ipChange,
  identityChange,
  nodeChange,
  drainChange,
);

/** Sources become complete, or cease to be known as such. */
export const syncChange: fc.Arbitrary<Change> = clusters
  .chain((cluster) => fc.tuple(fc.constant(cluster), fc.constantFrom(...kindsOf(cluster)), fc.boolean()))
  .map(
    ([cluster, kind, synced]): Change =>
      (tables) =>
        tables.setSynced(cluster.id, kind, synced),
  );

export const rowChanges = fc.array(rowChange, { maxLength: 12 });

export const syncEverything: Change = (tables) => {
  for (const cluster of CLUSTERS) for (const kind of kindsOf(cluster)) tables.setSynced(cluster.id, kind, true);
};

export function tablesAfter(changes: readonly Change[]): AgentTables {
  const tables = new AgentTables(OWN);
  for (const change of changes) change(tables);
  return tables;
}
