import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointText } from "../../src/lb/backend.ts";
import { candidates, frontends, select } from "../../src/lb/select.ts";
import { ServiceCompiler } from "../../src/lb/service-compiler.ts";
import { FULL_WEIGHT } from "../../src/model/drain.ts";
import type { Affinity, ClusterService, LocalService, ServicePort } from "../../src/model/resource.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { OSAKA, OWN, VIRGINIA } from "../tables/world.ts";

const http: readonly ServicePort[] = [{ name: "http", protocol: "TCP", port: 80 }];

function local(given: Partial<LocalService> = {}): LocalService {
  return {
    namespace: "billing",
    name: "ledger",
    frontends: new Map([["10.9.0.1", http]]),
    backends: new Map([["10.2.0.1", http]]),
    global: true,
    shared: true,
    affinity: "none",
    ...given,
  };
}

function remote(cluster: typeof OSAKA, addresses: readonly string[], ports = http, shared = true): ClusterService {
  const empty = { frontends: new Map(), labels: new Map(), selector: new Map() };
  const backends = new Map(addresses.map((address) => [address, ports]));
  return {
    ...empty,
    cluster: cluster.name,
    clusterId: cluster.id,
    namespace: "billing",
    name: "ledger",
    backends,
    shared,
  };
}

function chosen(service: LocalService, ...remotes: readonly ClusterService[]): readonly string[] {
  return chosenWithout([], service, ...remotes);
}

function chosenWithout(
  demoted: readonly (typeof OSAKA)[],
  service: LocalService,
  ...remotes: readonly ClusterService[]
) {
  const [frontend] = frontends(service);
  assert(frontend);
  const demotions = new Map(demoted.map(({ id, name }) => [id, `demoted: data path to ${name} is dead`]));
  return select(service, frontend, candidates(OWN, service, remotes), () => FULL_WEIGHT, demotions)
    .used.map((backend) => `${backend.cluster} ${endpointText(backend)}`)
    .sort();
}

const inOsaka = remote(OSAKA, ["10.1.0.1"]);
const inVirginia = remote(VIRGINIA, ["10.3.0.1"]);
const LOCAL = "amsterdam 10.2.0.1:80/TCP";
const REMOTE = ["osaka 10.1.0.1:80/TCP", "virginia 10.3.0.1:80/TCP"];

for (const [affinity, withBoth, withoutLocal, withoutRemote] of [
  ["none", [LOCAL, ...REMOTE], REMOTE, [LOCAL]],
  ["local", [LOCAL], REMOTE, [LOCAL]],
  ["remote", REMOTE, REMOTE, [LOCAL]],
] as const satisfies readonly (readonly [Affinity, ...(readonly string[])[]])[]) {
  test(`affinity ${affinity}`, () => {
    assert.deepEqual(chosen(local({ affinity }), inOsaka, inVirginia), withBoth);
    assert.deepEqual(chosen(local({ affinity, backends: new Map() }), inOsaka, inVirginia), withoutLocal);
    assert.deepEqual(chosen(local({ affinity })), withoutRemote);
  });
}

for (const [affinity, both, osakaDead, bothDead, bothDeadNoLocal] of [
  ["none", [LOCAL, ...REMOTE], [LOCAL, REMOTE[1]], [LOCAL], REMOTE],
  ["local", [LOCAL], [LOCAL], [LOCAL], REMOTE],
  ["remote", REMOTE, [REMOTE[1]], [LOCAL], REMOTE],
] as const) {
  test(`demoted clusters serve only where nobody else can: affinity ${affinity}`, () => {
    const service = local({ affinity });
    const dead = [OSAKA, VIRGINIA];
    assert.deepEqual(chosenWithout([], service, inOsaka, inVirginia), both);
    assert.deepEqual(chosenWithout([OSAKA], service, inOsaka, inVirginia), osakaDead);
    assert.deepEqual(chosenWithout(dead, service, inOsaka, inVirginia), bothDead);
    assert.deepEqual(
      chosenWithout(dead, local({ affinity, backends: new Map() }), inOsaka, inVirginia),
      bothDeadNoLocal,
    );
  });
}

for (const [affinity, withRemotes] of [
  ["none", REMOTE],
  ["local", REMOTE],
  ["remote", REMOTE],
] as const) {
  test(`own backends that are about to end count where there are no others that live: affinity ${affinity}`, () => {
    const service = local({ affinity, ending: true });
    assert.deepEqual(chosen(service, inOsaka, inVirginia), withRemotes);
    assert.deepEqual(chosen(service), [LOCAL]);
    assert.deepEqual(chosen(local({ affinity, ending: true, global: false }), inOsaka), [LOCAL]);
    assert.deepEqual(chosenWithout([OSAKA, VIRGINIA], service, inOsaka, inVirginia), [LOCAL]);
  });
}

test("a preference and a spill among what can be reached", () => {
  const routing = { prefer: ["osaka", "amsterdam"], weights: new Map(), spillBelow: 0, unready: 0 };
  const service = local({ routing });
  assert.deepEqual(chosen(service, inOsaka, inVirginia), [REMOTE[0]]);
  assert.deepEqual(chosenWithout([OSAKA], service, inOsaka, inVirginia), [LOCAL]);
  assert.deepEqual(chosenWithout([OSAKA], local({ routing, backends: new Map() }), inOsaka, inVirginia), [REMOTE[1]]);
  const spilling = local({ affinity: "local", routing: { ...routing, prefer: [], spillBelow: 100, unready: 1 } });
  assert.deepEqual(chosen(spilling, inOsaka, inVirginia), [LOCAL, ...REMOTE]);
  assert.deepEqual(chosenWithout([OSAKA], spilling, inOsaka, inVirginia), [LOCAL, REMOTE[1]]);
  assert.deepEqual(chosenWithout([OSAKA, VIRGINIA], spilling, inOsaka, inVirginia), [LOCAL]);
});

test("a service that is not global uses its own backends only, whatever its affinity", () => {
  assert.deepEqual(chosen(local({ global: false, affinity: "remote" }), inOsaka), [LOCAL]);
});

test("what a cluster does not share is not used", () => {
  assert.deepEqual(chosen(local(), remote(OSAKA, ["10.1.0.1"], http, false)), [LOCAL]);
});

test("backends match by port name, protocol and family", () => {
  const misfits: readonly ServicePort[] = [
    { name: "admin", protocol: "TCP", port: 80 },
    { name: "http", protocol: "UDP", port: 80 },
  ];
  assert.deepEqual(chosen(local(), remote(OSAKA, ["10.1.0.1"], misfits)), [LOCAL]);
  assert.deepEqual(chosen(local(), remote(OSAKA, ["fd00::1"])), [LOCAL]);
});

test("a frontend without a port name takes backends of any name, as Cilium's does; a named one takes its own", () => {
  const unnamed: readonly ServicePort[] = [{ name: "", protocol: "TCP", port: 80 }];
  const alone = { backends: new Map() };
  assert.deepEqual(chosen(local({ ...alone, frontends: new Map([["10.9.0.1", unnamed]]) }), inOsaka), [REMOTE[0]]);
  assert.deepEqual(chosen(local(alone), remote(OSAKA, ["10.1.0.1"], unnamed)), []);
});

test("one address, port and protocol: the own cluster wins, then the lowest id", () => {
  const clash = ["10.2.0.1", "10.5.0.5"];
  assert.deepEqual(chosen(local(), remote(OSAKA, clash), remote(VIRGINIA, clash)), [LOCAL, "osaka 10.5.0.5:80/TCP"]);
});

test("status says of each backend whether it is used, and why not", () => {
  const tables = new AgentTables(OWN);
  tables.putLocalService(local({ affinity: "local" }));
  tables.putClusterService(OSAKA, remote(OSAKA, ["10.1.0.1", "10.2.0.1"]));
  tables.putClusterService(VIRGINIA, remote(VIRGINIA, ["10.3.0.1"], [{ name: "admin", protocol: "TCP", port: 1 }]));
  const compiler = new ServiceCompiler(tables);
  compiler.update(tables.takeChanges());
  const [status] = compiler.status();
  assert.deepEqual(status?.frontends, ["10.9.0.1:80/TCP"]);
  assert.deepEqual(
    status?.backends.map(({ cluster, address, used, why }) => [cluster, address, used, why]),
    [
      ["amsterdam", "10.2.0.1:80/TCP", true, "used"],
      ["osaka", "10.1.0.1:80/TCP", false, "affinity local: local backends exist"],
      ["osaka", "10.2.0.1:80/TCP", false, "claimed by amsterdam"],
      ["virginia", "10.3.0.1:1/TCP", false, "no frontend port named admin"],
    ],
  );
});

test("a frontend that two services claim belongs to the lower name, and falls to the other when that goes", () => {
  const tables = new AgentTables(OWN);
  tables.putLocalService(local({ name: "rates", backends: new Map([["10.2.0.9", http]]) }));
  tables.putLocalService(local());
  const compiler = new ServiceCompiler(tables);
  const why = () => compiler.status().map(({ name, backends }) => [name, backends[0]?.why]);
  compiler.update(tables.takeChanges());
  assert.deepEqual(why(), [
    ["ledger", "used"],
    ["rates", "frontend belongs to billing/ledger"],
  ]);
  tables.remove(OWN.name, "services", "billing/ledger");
  compiler.update(tables.takeChanges());
  assert.deepEqual(why(), [["rates", "used"]]);
});
