/** Random lives of a small mesh: identities, pods, ports, devices and policies come, change and go. */
import fc from "fast-check";
import type { Cluster } from "../../src/model/cluster.ts";
import { ENTITIES, type Peer, type PortRule, type Requirement } from "../../src/model/policy.ts";
import type { NamedPort } from "../../src/model/resource.ts";
import type { AgentTables } from "../../src/tables/agent-tables.ts";
import {
  AMSTERDAM,
  anywhere,
  cidr,
  device,
  endpoints,
  identityOf,
  is,
  OWN,
  policy,
  putPod,
  rule,
  tcp,
  workload,
} from "./stage.ts";

export type Change = (tables: AgentTables) => void;

const clusters: fc.Arbitrary<Cluster> = fc.constantFrom(OWN, OWN, AMSTERDAM);
const apps = fc.constantFrom("ledger", "web", "db");
const namespaces = fc.constantFrom("demo", "shop");
const lows = fc.integer({ min: 1, max: 4 });

const requirement: fc.Arbitrary<Requirement> = fc.oneof(
  apps.map((app) => is("app", app)),
  namespaces.map((name) => is("io.kubernetes.pod.namespace", name)),
  apps.map((app): Requirement => ({ source: "k8s", key: "app", operator: "NotIn", values: [app] })),
  fc.constant<Requirement>({ source: "any", key: "app", operator: "Exists", values: [] }),
  fc.constant<Requirement>({ source: "reserved", key: "health", operator: "DoesNotExist", values: [] }),
);
const requirements = fc.array(requirement, { maxLength: 2 });
const peer: fc.Arbitrary<Peer> = fc.oneof(
  requirements.map((all) => endpoints(...all)),
  requirements.map((all) => anywhere(...all)),
  fc.constantFrom(...ENTITIES).map((entity): Peer => ({ kind: "entity", entity })),
  fc.constantFrom(
    cidr("0.0.0.0/0", "10.1.0.0/16"),
    cidr("10.0.0.0/8", "10.1.0.0/16"),
    cidr("10.1.0.0/16"),
    cidr("10.1.2.0/24"),
    cidr("::/0"),
    cidr("2001:db8::/32", "2001:db8:1::/48"),
  ),
);
const portRule: fc.Arbitrary<PortRule> = fc.oneof(
  fc.constantFrom(tcp(0, 65_535), tcp(80), tcp(80, 90), tcp(8000, 9000)),
  fc.constantFrom<PortRule>({ protocol: "TCP", name: "http" }, { protocol: "UDP", name: "dns" }),
  fc.constantFrom<PortRule>({ protocol: "ICMP", type: 8 }, { protocol: "UDP", first: 53, last: 53 }),
);
const rules = fc
  .tuple(
    fc.constantFrom("ingress" as const, "egress" as const),
    fc.option(fc.array(peer, { maxLength: 3 }), { nil: undefined }),
    fc.option(fc.array(portRule, { minLength: 1, maxLength: 3 }), { nil: undefined }),
    fc.constantFrom("allow" as const, "allow" as const, "deny" as const),
  )
  .map((parts) => rule(...parts));

const policyNames = fc.constantFrom("one", "two", "three");
const putPolicy = fc
  .record({
    name: policyNames,
    subject: requirements,
    rules: fc.array(rules, { maxLength: 4 }),
    deny: fc.option(fc.record({ ingress: fc.boolean(), egress: fc.boolean() }), { nil: undefined }),
    audit: fc.boolean(),
  })
  .map(({ name, deny, ...parts }): Change => {
    const made = policy(name, { ...parts, ...(deny && { defaultDeny: deny }) });
    return (tables) => tables.putPolicy(made);
  });

const ports: fc.Arbitrary<readonly NamedPort[]> = fc.constantFrom(
  [],
  [{ name: "http", port: 80, protocol: "TCP" as const }],
  [{ name: "http", port: 8080, protocol: "TCP" as const }],
  [
    { name: "http", port: 81, protocol: "TCP" as const },
    { name: "dns", port: 53, protocol: "UDP" as const },
  ],
);

/** Each pod has one address, and each device the address of one pod at most, so that nothing depends on who came first. */
const addressOf = (cluster: Cluster, index: number): string => `10.${cluster.id}.0.${index}`;

export const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 3, arbitrary: putPolicy },
  policyNames.map(
    (name): Change =>
      (tables) =>
        tables.remove(OWN.name, "policies", `CiliumNetworkPolicy/demo/${name}`),
  ),
  {
    weight: 3,
    arbitrary: fc.tuple(clusters, lows, namespaces, apps).map(
      ([cluster, low, namespace, app]): Change =>
        (tables) =>
          tables.putIdentity(cluster, { id: identityOf(cluster, low), labels: workload(cluster, namespace, app) }),
    ),
  },
  fc.tuple(clusters, lows).map(
    ([cluster, low]): Change =>
      (tables) =>
        tables.remove(cluster.name, "identities", String(identityOf(cluster, low))),
  ),
  {
    weight: 3,
    arbitrary: fc.tuple(clusters, lows, lows, ports).map(
      ([cluster, index, low, named]): Change =>
        (tables) =>
          putPod(tables, cluster, `demo/pod-${index}`, addressOf(cluster, index), identityOf(cluster, low), named),
    ),
  },
  fc.tuple(clusters, lows).map(
    ([cluster, index]): Change =>
      (tables) =>
        tables.remove(cluster.name, "ip", addressOf(cluster, index)),
  ),
  fc.uniqueArray(lows, { maxLength: 4 }).map(
    (indexes): Change =>
      (tables) =>
        tables.setNetwork({
          devices: indexes.map((index) => device(10 + index, addressOf(OWN, index))),
          ownAddresses: ["192.0.2.7"],
        }),
  ),
  fc.tuple(lows, fc.boolean()).map(
    ([index, audit]): Change =>
      (tables) =>
        tables.putEndpoint({ namespace: "demo", name: `pod-${index}`, audit }),
  ),
);

const LOWS = [1, 2, 3, 4];

/** Where every life starts: identities in both clusters, pods and their devices. */
export const populate: Change = (tables) => {
  for (const cluster of [OWN, AMSTERDAM]) {
    for (const low of LOWS) {
      const labels = workload(cluster, low > 2 ? "shop" : "demo", low % 2 === 0 ? "web" : "ledger");
      tables.putIdentity(cluster, { id: identityOf(cluster, low), labels });
      const named = [{ name: "http", port: 8000 + low, protocol: "TCP" as const }];
      putPod(tables, cluster, `demo/pod-${low}`, addressOf(cluster, low), identityOf(cluster, low), named);
    }
  }
  const devices = LOWS.map((low) => device(10 + low, addressOf(OWN, low)));
  tables.setNetwork({ devices, ownAddresses: ["192.0.2.7"] });
};
