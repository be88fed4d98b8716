/** Which sockets are closed when backends leave, over tables and sockets in memory, on a virtual clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SocketCloser } from "../../src/datapath/socket-closer.ts";
import { KernelError } from "../../src/kernel/door.ts";
import { MemoryMap } from "../../src/kernel/memory.ts";
import { MemorySockets } from "../../src/kernel/memory-sockets.ts";
import { encodeBackendValue } from "../../src/maps/backend-map.ts";
import { encodeReverseNatKey, encodeReverseNatValue, REVERSE_NAT_MAP } from "../../src/maps/reverse-nat-map.ts";
import { parseAddress } from "../../src/model/address.ts";
import type { Cluster } from "../../src/model/cluster.ts";
import { silentLogger } from "../../src/runtime/log.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { AgentTables } from "../../src/tables/agent-tables.ts";
import { SHARED_KINDS } from "../../src/tables/tables-view.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { OSAKA, OWN } from "../tables/world.ts";

const bytes = (address: string): Uint8Array => parseAddress(address) ?? assert.fail(address);
const [POD, OTHER, FOREIGN] = ["10.1.0.1", "10.1.0.2", "192.0.2.53"];
const DNS = [{ name: "dns", protocol: "UDP" as const, port: 53 }];

function stage() {
  const clock = new VirtualClock();
  const tables = new AgentTables(OWN);
  const sockets = new MemorySockets();
  const reverseNat = new MemoryMap(REVERSE_NAT_MAP, 65_536);
  const metrics = new Metrics();
  const closer = new SocketCloser({ sockets, reverseNat, view: tables, clock, log: silentLogger, metrics });
  const over = new AbortController();
  const running = closer.run(over.signal);
  const value = (address: string, protocol = 17, { id: clusterId }: Cluster = OSAKA): Uint8Array =>
    encodeBackendValue({ address: bytes(address), port: 53, protocol, clusterId });
  let cookie = 0n;
  /** A compile is over. */
  const changed = (): void => {
    tables.takeChanges();
    closer.changed();
  };
  for (const kind of SHARED_KINDS) tables.setSynced(OSAKA.id, kind, true);
  return {
    ...{ clock, tables, sockets, reverseNat, metrics, closer, value, changed },
    pod(address: string, podName = "dns", cluster = OSAKA): void {
      const subject = { identity: 70_000, namespace: "shop", podName, namedPorts: [], hostAddress: "" };
      tables.putIp(cluster, address, subject);
    },
    unpod: (address: string, cluster = OSAKA): void => tables.remove(cluster.name, "ip", address),
    /** A connected socket; `asked`: for a service. */
    async socket(address: string, namespace = "pod", asked = true): Promise<bigint> {
      const socket = { cookie: ++cookie, address: bytes(address), port: 53 };
      sockets.open(namespace, socket);
      const service = encodeReverseNatValue({ address: bytes("10.9.0.1"), port: 53 });
      if (asked) await reverseNat.update({ count: 1, keys: encodeReverseNatKey(socket), values: service });
      return socket.cookie;
    },
    withdraw(address: string, protocol = 17, cluster = OSAKA): void {
      closer.watcher.removed(value(address, protocol, cluster));
    },
    async look(): Promise<readonly bigint[]> {
      changed();
      await clock.advance(2_500);
      return sockets.cookies();
    },
    async stop(): Promise<void> {
      over.abort();
      await clock.settle(running);
      assert.equal(clock.pending, 0);
    },
  };
}

test("a backend whose pod is gone: its sockets are closed, those of services only, and their entries go; others stay", async () => {
  const world = stage();
  for (const address of [POD, OTHER]) world.pod(address);
  await world.socket(POD);
  const direct = await world.socket(POD, "pod", false);
  const other = await world.socket(OTHER, "elsewhere");
  await world.socket(POD, "elsewhere");
  world.unpod(POD);
  world.withdraw(POD);
  assert.deepEqual(await world.look(), [direct, other]);
  assert.equal((await world.reverseNat.dump()).count, 1);
  assert.match(await world.metrics.text(), /bulkhead_udp_sockets_closed_total 2/);
  assert.match(await world.metrics.text(), /bulkhead_socket_namespaces\{state="reached"\} 2/);
  await world.stop();
});

test("drained, demoted, not ready or ending: the pod is there, so nothing is closed until it is not", async () => {
  const world = stage();
  world.pod(POD);
  const cookie = await world.socket(POD);
  world.withdraw(POD);
  assert.deepEqual(await world.look(), [cookie]);
  assert.deepEqual(await world.look(), [cookie]);
  world.unpod(POD);
  assert.deepEqual(await world.look(), []);
  await world.stop();
});

test("an address that another pod has by now is not the one that was connected to", async () => {
  const world = stage();
  world.pod(POD);
  await world.socket(POD);
  world.withdraw(POD);
  assert.equal((await world.look()).length, 1);
  world.pod(POD, "db");
  assert.deepEqual(await world.look(), []);
  await world.stop();
});

test("what a cluster does not say counts only when all that it says is known", async () => {
  const world = stage();
  world.pod(POD);
  const cookie = await world.socket(POD);
  world.withdraw(POD);
  world.tables.setSynced(OSAKA.id, "ip", false);
  world.unpod(POD);
  assert.deepEqual(await world.look(), [cookie]);
  world.tables.setSynced(OSAKA.id, "ip", true);
  assert.deepEqual(await world.look(), []);
  await world.stop();
});

test("a cluster that was complete at the last compile, and is not now, proves nothing by what it lacks", async () => {
  const world = stage();
  world.pod(POD);
  const cookie = await world.socket(POD);
  world.withdraw(POD);
  world.changed();
  world.tables.setSynced(OSAKA.id, "ip", false);
  world.unpod(POD);
  await world.clock.advance(2_500);
  assert.deepEqual(world.sockets.cookies(), [cookie]);
  world.tables.setSynced(OSAKA.id, "ip", true);
  assert.deepEqual(await world.look(), []);
  await world.stop();
});

test("of the own cluster, pods that stay at home must be known too", async () => {
  const world = stage();
  for (const kind of SHARED_KINDS) world.tables.setSynced(OWN.id, kind, true);
  world.pod(POD, "dns", OWN);
  const cookie = await world.socket(POD);
  world.unpod(POD, OWN);
  world.withdraw(POD, 17, OWN);
  assert.deepEqual(await world.look(), [cookie]);
  world.tables.setSynced(OWN.id, "local-ip", true);
  assert.deepEqual(await world.look(), []);
  await world.stop();
});

test("an address that is no pod's is gone when no service names it, unless it is a node's", async () => {
  const world = stage();
  const cookie = await world.socket(FOREIGN);
  const named = { namespace: "shop", name: "dns", frontends: new Map([["10.9.0.1", DNS]]), shared: false };
  const offer = (host: string): void => {
    const more = { cluster: OSAKA.name, clusterId: OSAKA.id, labels: new Map(), selector: new Map() };
    world.tables.putClusterService(OSAKA, { ...named, ...more, backends: new Map([[host, DNS]]) });
  };
  world.tables.putLocalService({ ...named, backends: new Map(), global: true, affinity: "none" });
  const node = { cluster: OSAKA.name, clusterId: OSAKA.id, name: "n1", podCidrs: [], reservedAddresses: [] };
  offer(FOREIGN);
  world.withdraw(FOREIGN);
  assert.deepEqual(await world.look(), [cookie], "offered, and not used");
  offer(OTHER);
  world.tables.putNode(OSAKA, { ...node, addresses: [{ type: "InternalIP", address: FOREIGN }], labels: new Map() });
  assert.deepEqual(await world.look(), [cookie], "a node's own");
  world.tables.remove(OSAKA.name, "nodes", "n1");
  assert.deepEqual(await world.look(), []);
  await world.stop();
});

test("TCP is left alone, and so is who is a backend again before anybody looked", async () => {
  const world = stage();
  const [tcp, back] = [await world.socket(POD), await world.socket(OTHER)];
  world.withdraw(POD, 6);
  world.withdraw(OTHER);
  world.closer.watcher.writing(world.value(OTHER));
  assert.deepEqual(await world.look(), [tcp, back]);
  world.withdraw(OTHER);
  assert.deepEqual(await world.look(), [tcp]);
  await world.stop();
});

test("no more than a thousand are closed in one look; the others in the next, a second later", async () => {
  const world = stage();
  for (let index = 0; index < 1_500; index++) await world.socket(POD, index % 2 ? "a" : "b");
  world.withdraw(POD);
  world.changed();
  await world.clock.advance(900);
  assert.equal(world.sockets.cookies().length, 500);
  await world.clock.advance(1_000);
  assert.equal(world.sockets.cookies().length, 0);
  assert.equal((await world.reverseNat.dump()).count, 0);
  await world.stop();
});

test("a kernel that cannot close sockets is told, once something was to be closed, until it can", async () => {
  const world = stage();
  const stays = await world.socket(POD, "broken");
  await world.socket(POD, "pod");
  const { sockets } = world;
  const closeUdp = sockets.closeUdp.bind(sockets);
  sockets.closeUdp = (namespace, ...more) => {
    if (namespace === "broken") throw new KernelError("reading the network: EOPNOTSUPP", 95);
    return closeUdp(namespace, ...more);
  };
  await world.look();
  assert.deepEqual(world.closer.problems(), []);
  world.withdraw(POD);
  assert.deepEqual(await world.look(), [stays], "the other namespace is none the worse for it");
  assert.match(world.closer.problems().join(), /connected to backends that are gone.*EOPNOTSUPP/);
  sockets.closeUdp = closeUdp;
  world.withdraw(OTHER);
  await world.look();
  assert.deepEqual(world.closer.problems(), []);
  await world.stop();
});
