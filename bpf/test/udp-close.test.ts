// Backends that end under real sockets: who is connected to one that is gone by UDP is told; nobody else notices anything.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SocketCloser } from "../../src/datapath/socket-closer.ts";
import type { LoadedObject, NodeSockets } from "../../src/kernel/door.ts";
import { inNamespace } from "../../src/kernel/namespace.ts";
import { nodeSockets } from "../../src/kernel/node-sockets.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { SHARED_KINDS } from "../../src/tables/tables-view.ts";
import type { Answer } from "./actor.ts";
import { backendEntry, entriesOf, mapOf, rowsOf, serviceEntries } from "./entries.ts";
import { type Actor, run, Stage } from "./stage.ts";

const OWN = { name: "amsterdam", id: 1 };
const SERVICE = { v4: "172.20.0.10", v6: "fd00:20::10" } as const;
const [OLD, NEW] = [
  { name: "old", v4: "10.1.0.1", v6: "fd00:1::1" },
  { name: "new", v4: "10.1.0.2", v6: "fd00:1::2" },
] as const;
const POD = { v4: "10.9.0.2", v6: "fd00:9::2" } as const;
const GATEWAY = { v4: "10.9.0.1", v6: "fd00:9::1" } as const;
const FAMILIES = ["v4", "v6"] as const;
const PROTOCOLS = ["TCP", "UDP"] as const;
const [PORT, SERVICE_PORT] = [8080, 80];
const WITHIN_MS = 20_000;
/** As an application names the service. */
const HOSTS = [SERVICE.v4, SERVICE.v6, `::ffff:${SERVICE.v4}`];
const direct = (server: typeof OLD | typeof NEW): string[] => [server.v4, server.v6, `::ffff:${server.v4}`];

let stage: Stage;
let object: LoadedObject;
let servers: Actor;
/** In the node's namespace and in a pod's. */
let clients: readonly Actor[];
let tables: AgentTables;
let closer: SocketCloser;
let sockets: NodeSockets;
const metrics = new Metrics();
const over = new AbortController();
let running: Promise<void>;

const idOf = (
  server: typeof OLD | typeof NEW,
  family: (typeof FAMILIES)[number],
  protocol: (typeof PROTOCOLS)[number],
) => 1 + [OLD, NEW].indexOf(server as typeof OLD) * 4 + FAMILIES.indexOf(family) * 2 + PROTOCOLS.indexOf(protocol);

function each<T>(make: (family: (typeof FAMILIES)[number], protocol: (typeof PROTOCOLS)[number]) => T): T[] {
  return FAMILIES.flatMap((family) => PROTOCOLS.map((protocol) => make(family, protocol)));
}

const entryOf = (server: typeof OLD | typeof NEW) =>
  each((family, protocol) =>
    backendEntry(idOf(server, family, protocol), { address: server[family], port: PORT, protocol }),
  );

/** The service has these backends; the maps are written as the agent does. */
async function serveBy(...of: readonly (typeof OLD | typeof NEW)[]): Promise<void> {
  const slots = each((family, protocol) =>
    serviceEntries(
      { address: SERVICE[family], port: SERVICE_PORT, protocol },
      of.map((server) => idOf(server, family, protocol)),
    ),
  );
  await mapOf(object, "services").update(entriesOf(slots.flat()));
}

/** No service uses it any more. */
async function withdraw(server: typeof OLD): Promise<void> {
  const entries = entryOf(server);
  await mapOf(object, "backends").remove(Buffer.concat(entries.map(([key]) => key)), entries.length);
  for (const [, value] of entries) closer.watcher.removed(value);
  closer.changed();
}

/** Its pod is gone. */
function end(server: typeof OLD): void {
  for (const family of FAMILIES) tables.remove(OWN.name, "ip", server[family]);
  closer.changed();
}

async function closed(): Promise<number> {
  return Number(/bulkhead_udp_sockets_closed_total (\d+)/.exec(await metrics.text())?.[1] ?? 0);
}

/** Opens, at every client, a UDP socket to each address. */
async function open(name: string, hosts: readonly string[], port: number): Promise<Answer[]> {
  return Promise.all(
    clients.flatMap((client) => hosts.map((host) => client.ask({ ask: "udp-open", host, port, name: name + host }))),
  );
}

async function use(name: string, hosts: readonly string[]): Promise<string[]> {
  const answers = clients.flatMap((client) =>
    hosts.map((host) => client.ask({ ask: "udp-use", host, port: 0, name: name + host })),
  );
  return (await Promise.all(answers)).map((answer) => answer.name ?? answer.error ?? "");
}

const times = (word: string): string[] => Array.from({ length: clients.length * HOSTS.length }, () => word);

before(async () => {
  stage = new Stage();
  const pod = stage.addPod();
  stage.addVeth("veth1", pod, [`${POD.v4}/24`, `${POD.v6}/64`]);
  for (const family of FAMILIES) {
    const flag = family === "v6" ? ["-6"] : [];
    const bits = family === "v6" ? 64 : 24;
    run(
      "ip",
      "-n",
      stage.name,
      "addr",
      "add",
      `${GATEWAY[family]}/${bits}`,
      "dev",
      "veth1",
      ...(flag.length ? ["nodad"] : []),
    );
    run("ip", "-n", pod, ...flag, "route", "add", "default", "via", GATEWAY[family]);
    for (const server of [OLD, NEW]) stage.addAddress(server[family]);
  }
  object = await stage.load();
  servers = stage.actor("outside");
  clients = [stage.actor("inside"), stage.actorInPod(pod)];
  for (const { name, ...at } of [OLD, NEW]) {
    for (const family of FAMILIES) {
      for (const ask of ["serve-udp", "serve-tcp"] as const) {
        assert.deepEqual(await servers.ask({ ask, host: at[family], port: PORT, name }), {});
      }
    }
  }
  tables = new AgentTables(OWN);
  for (const kind of [...SHARED_KINDS, "local-ip"] as const) tables.setSynced(OWN.id, kind, true);
  tables.takeChanges();
  const subject = { identity: 70_000, namespace: "demo", namedPorts: [], hostAddress: "" };
  for (const server of [OLD, NEW]) {
    for (const family of FAMILIES) tables.putIp(OWN, server[family], { ...subject, podName: server.name });
  }
  const there = nodeSockets(["/var/run/netns", "/no/such/folder"]);
  const inNode = <T>(action: () => T): T => inNamespace(stage.namespacePath(), action);
  sockets = {
    namespaces: () => inNode(() => there.namespaces()),
    closeUdp: (...given) => inNode(() => there.closeUdp(...given)),
  };
  const doors = { clock: systemClock, log: silentLogger, metrics };
  closer = new SocketCloser({ ...doors, sockets, reverseNat: mapOf(object, "reverse_nat"), view: tables });
  running = closer.run(over.signal);
  await mapOf(object, "backends").update(entriesOf([...entryOf(OLD), ...entryOf(NEW)]));
  await serveBy(OLD);
  await object.attachCgroup(stage.cgroup);
});

after(async () => {
  over.abort();
  await running;
  await stage.close();
});

test("namespaces are this node's own and those that its veths lead to, under any of their names", () => {
  const { paths, unreached } = sockets.namespaces();
  assert.equal(unreached, 0);
  assert.deepEqual(paths.slice(1), [stage.namespacePath(`${stage.name}-pod1`)]);
  const elsewhere = inNamespace(stage.namespacePath(), () => nodeSockets(["/no/such/folder"]).namespaces());
  assert.deepEqual([elsewhere.paths.length, elsewhere.unreached], [1, 1]);
});

test("an ending backend gets no new connections and keeps those it has; once it is gone its UDP clients are told, and nobody else", async () => {
  for (const client of clients) {
    assert.equal((await client.ask({ ask: "hold", host: SERVICE.v4, port: SERVICE_PORT })).name, "old");
  }
  for (const { name, from } of await open("service", HOSTS, SERVICE_PORT)) {
    assert.equal(name, "old");
    assert(
      HOSTS.some((host) => from === `${host}|${SERVICE_PORT}`),
      from,
    );
  }
  assert.deepEqual(new Set((await open("direct", direct(OLD), PORT)).map(({ name }) => name)), new Set(["old"]));
  await serveBy(NEW);
  assert.deepEqual(new Set((await open("other", HOSTS, SERVICE_PORT)).map(({ name }) => name)), new Set(["new"]));
  const remembered = (await rowsOf(mapOf(object, "reverse_nat"))).length;

  await withdraw(OLD);
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(await use("service", HOSTS), times("old"), "it answers who is connected");
    const anew = await clients[0]?.ask({ ask: "udp-connected", host: SERVICE.v4, port: SERVICE_PORT });
    assert.equal(anew?.name, "new");
  }
  assert.equal(await closed(), 0);

  end(OLD);
  const all = clients.length * HOSTS.length;
  for (const start = performance.now(); (await closed()) < all; ) {
    assert(performance.now() - start < WITHIN_MS, `${await closed()} of ${all} sockets were closed`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(await use("direct", direct(OLD)), times("old"), "sockets that never asked for the service");
  assert.deepEqual(await use("other", HOSTS), times("new"), "sockets to the backend that is there");
  assert.deepEqual(await use("service", HOSTS), times("ECONNABORTED"));
  for (const { name } of await open("service", HOSTS, SERVICE_PORT)) assert.equal(name, "new", "who connects again");
  assert.equal(await closed(), all);
  for (const client of clients) {
    assert.equal((await client.ask({ ask: "held", host: "", port: 0 })).name, "1", "its TCP connection goes on");
  }
  assert.equal(
    (await rowsOf(mapOf(object, "reverse_nat"))).length,
    remembered,
    "closed sockets left nothing, new ones are there",
  );
});
