// What the compiler makes of preferences, weights, drains and missing backends, counted by real connections.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { LoadedObject } from "../../src/kernel/door.ts";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import type { Cluster } from "../../src/model/cluster.ts";
import type { LocalService, Routing } from "../../src/model/resource.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { type DesiredMap, keyBytes } from "../../src/tables/desired-map.ts";
import { entriesOf, mapOf } from "./entries.ts";
import { type Actor, Stage } from "./stage.ts";

const OWN: Cluster = { name: "amsterdam", id: 1 };
const OSAKA: Cluster = { name: "osaka", id: 2 };
const VIRGINIA: Cluster = { name: "virginia", id: 3 };
/** Two backends each. */
const SERVERS: readonly (readonly [Cluster, string])[] = [OWN, OSAKA, VIRGINIA].flatMap((cluster) =>
  [1, 2].map((last) => [cluster, `10.${cluster.id}.0.${last}`] as const),
);
const SERVICE = "172.20.0.10";
const PORT = [{ name: "http", protocol: "TCP", port: 8080 }] as const;
const CONNECTIONS = 400;
/** Where one cluster is to get all: were another in one slot of six, it would be missed once in 50,000 runs. */
const FEW = 60;
/** Five standard deviations of a share of a half: one run in a million is beyond. */
const MARGIN = 5 * Math.sqrt(0.25 / CONNECTIONS);

let stage: Stage;
let object: LoadedObject;
let client: Actor;

before(async () => {
  stage = new Stage();
  object = await stage.load();
  client = stage.actor("inside");
  const outside = stage.actor("outside");
  for (const [{ name }, host] of SERVERS) {
    stage.addAddress(host);
    assert.deepEqual(await outside.ask({ ask: "serve-tcp", host, port: 8080, name }), {});
  }
  await object.attachCgroup(stage.cgroup);
});

after(() => stage.close());

interface World {
  readonly service?: Partial<LocalService>;
  readonly routing?: Partial<Routing>;
  /** Weights by cluster. */
  readonly drains?: Readonly<Record<string, number>>;
  /** Clusters without a data path. */
  readonly dead?: readonly Cluster[];
}

/** Programs the kernel as an agent would from nothing. */
async function program({ service, routing, drains = {}, dead = [] }: World): Promise<void> {
  const tables = new AgentTables(OWN);
  const named = { namespace: "demo", name: "hello", shared: true };
  const backendsOf = ({ name }: Cluster) =>
    new Map(SERVERS.filter(([cluster]) => cluster.name === name).map(([, address]) => [address, PORT] as const));
  tables.putLocalService({
    ...{ ...named, global: true, affinity: "none", backends: backendsOf(OWN) },
    ...{ ...service, frontends: new Map([[SERVICE, [{ ...PORT[0], port: 80 }]]]) },
    ...(routing ? { routing: { prefer: [], weights: new Map(), spillBelow: 0, unready: 0, ...routing } } : {}),
  });
  for (const cluster of [OSAKA, VIRGINIA]) {
    const offered = { frontends: new Map(), backends: backendsOf(cluster), labels: new Map(), selector: new Map() };
    tables.putClusterService(cluster, { ...named, ...offered, cluster: cluster.name, clusterId: cluster.id });
  }
  for (const [name, weight] of Object.entries(drains)) {
    const all = { weight, target: weight, step: 1, stepMs: 1000 };
    tables.setDrain(name, { all, services: new Map() });
  }
  const compiler = new ServiceCompiler(tables);
  compiler.update(tables.takeChanges(), new Map(dead.map(({ id }) => [id, "dead"])));
  for (const name of ["services", "backends"] as const) {
    const desired: DesiredMap = compiler.entries[name];
    const map = mapOf(object, name);
    const { keys, count } = await map.dump();
    await map.remove(keys, count);
    await map.update(entriesOf([...desired.entries()].map(([key, value]) => [keyBytes(key), value] as const)));
  }
}

/** Percentages of connections, by cluster. */
async function shares(connections: number): Promise<Readonly<Record<string, number>>> {
  const met = new Map<string, number>();
  for (let index = 0; index < connections; index++) {
    const { name = "", error } = await client.ask({ ask: "tcp", host: SERVICE, port: 80 });
    assert.equal(error, undefined);
    met.set(name, (met.get(name) ?? 0) + 1);
  }
  return Object.fromEntries([...met].map(([name, count]) => [name, (100 * count) / connections]));
}

const LOCAL_FIRST = { affinity: "local" } as const;
const ONE_READY = { ...LOCAL_FIRST, backends: new Map([["10.1.0.1", PORT]]) };

const CASES: readonly (readonly [what: string, world: World, expected: Readonly<Record<string, number>>])[] = [
  ["no wish: all alike", {}, { amsterdam: 100 / 3, osaka: 100 / 3, virginia: 100 / 3 }],
  [
    "weights by cluster",
    { routing: { weights: new Map([["osaka", 50]]) } },
    { amsterdam: 40, osaka: 20, virginia: 40 },
  ],
  [
    "weights by cluster, from a Maglev table",
    { service: { algorithm: "maglev" }, routing: { weights: new Map([["osaka", 50]]) } },
    { amsterdam: 40, osaka: 20, virginia: 40 },
  ],
  ["a drain on its way", { drains: { osaka: 50 } }, { amsterdam: 40, osaka: 20, virginia: 40 }],
  ["an ordered preference", { routing: { prefer: ["virginia", "osaka"] } }, { virginia: 100 }],
  [
    "its first cluster drained",
    { routing: { prefer: ["virginia", "osaka"] }, drains: { virginia: 0 } },
    { osaka: 100 },
  ],
  [
    "its first cluster drained by a half",
    { routing: { prefer: ["virginia", "osaka"] }, drains: { virginia: 50 } },
    { virginia: 50, osaka: 50 },
  ],
  ["its first cluster cut off", { routing: { prefer: ["virginia", "osaka"] }, dead: [VIRGINIA] }, { osaka: 100 }],
  [
    "local first, half of it ready, which is enough",
    { service: ONE_READY, routing: { spillBelow: 50, unready: 1 } },
    { amsterdam: 100 },
  ],
  [
    "local first, half of it ready, where all should be",
    { service: ONE_READY, routing: { spillBelow: 100, unready: 1 } },
    { amsterdam: 50, osaka: 25, virginia: 25 },
  ],
  [
    "the same, and Osaka cut off",
    { service: ONE_READY, routing: { spillBelow: 100, unready: 1 }, dead: [OSAKA] },
    { amsterdam: 50, virginia: 50 },
  ],
  [
    "a fifth of what should be ready, everything else cut off",
    { service: ONE_READY, routing: { spillBelow: 100, unready: 4 }, dead: [OSAKA, VIRGINIA] },
    { amsterdam: 100 },
  ],
  ["own backends that end", { service: { ...LOCAL_FIRST, ending: true } }, { osaka: 50, virginia: 50 }],
];

for (const [what, world, expected] of CASES) {
  test(`${what}: shares of connections`, async () => {
    await program(world);
    const found = await shares(Object.keys(expected).length === 1 ? FEW : CONNECTIONS);
    assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
    for (const [name, share] of Object.entries(expected)) {
      const difference = Math.abs((found[name] ?? 0) - share) / 100;
      assert(difference <= MARGIN, `${name}: ${found[name]} %, ${share} % expected`);
    }
  });
}
