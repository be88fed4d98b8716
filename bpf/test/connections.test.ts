// What the kernel counts of the TCP connections that a pod opens, by the cluster at the other end: real sockets through the socket programs and
// over a device with programs, and addresses that swallow what is sent there.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inNamespace } from "../../src/kernel/namespace.ts";
import {
  CONNECTION_OUTCOMES,
  type ConnectionOutcome,
  decodeConnectionKey,
  decodeConnectionValue,
} from "../../src/maps/connection-map.ts";
import { backendEntry, entriesOf, mapOf, serviceEntries } from "./entries.ts";
import { Scene } from "./scene.ts";
import { type Actor, run, Stage } from "./stage.ts";

const SERVICE = { v4: "172.20.0.10", v6: "fd00:20::10" } as const;
const FAMILIES = ["v4", "v6"] as const;
const POD = { v4: "10.9.0.2", v6: "fd00:9::2" } as const;
const GATEWAY = { v4: "10.9.0.1", v6: "fd00:9::1" } as const;
const WORLD = { v4: "10.4.0.1", v6: "fd00:4::1" } as const;
const POD_PORT = 9090;
const LIVE = { v4: "10.1.0.1", v6: "fd00:1::1" } as const;
/** As live as that, in another cluster. */
const REFUSING = { v4: "10.1.0.2", v6: "fd00:1::2" } as const;
const POD_IDENTITY = 5 * 65_536 + 300;
const HOLES = { v4: "10.3.0.0/24", v6: "fd00:3::/64" } as const;
const [LIVE_PORT, CLOSED_PORT, LATE_PORT] = [8080, 8081, 8082];
/** Of the service, by what its backends do. */
const PORTS = { answers: 80, refuses: 81, silent: 82, late: 83 } as const;
const CLUSTERS = { answers: 1, refuses: 2, silent: 200, late: 4 } as const;
const SILENT = [1, 2, 3, 4].map((host) => ({ v4: `10.3.0.${host}`, v6: `fd00:3::${host}` }));
const LATE = { v4: "10.3.0.9", v6: "fd00:3::9" } as const;
const WITHIN_MS = 20_000;

let stage: Stage;
let scene: Scene;
/** In the pod. */
let inside: Actor;
let outside: Actor;

const hosts = (): readonly string[] => [SERVICE.v4, SERVICE.v6, `::ffff:${SERVICE.v4}`];

/** By outcome; `places` of silent ones. */
async function counted(cluster: number): Promise<Record<ConnectionOutcome, number> & { readonly places: number }> {
  const { keys, values, count } = await scene.map("connections").dump();
  const found = Object.fromEntries(CONNECTION_OUTCOMES.map((name) => [name, 0])) as Record<ConnectionOutcome, number>;
  let places = 0;
  for (let index = 0; index < count; index++) {
    const { clusterId, outcome } = decodeConnectionKey(keys.subarray(index * 4, index * 4 + 4));
    const name = CONNECTION_OUTCOMES[outcome] ?? assert.fail();
    if (clusterId !== cluster) continue;
    found[name] += Number(decodeConnectionValue(values.subarray(index * 8, index * 8 + 8)).count);
    if (name === "silent") places++;
  }
  return { ...found, places };
}

async function until(cluster: number, outcome: ConnectionOutcome, count: number): Promise<void> {
  for (const start = performance.now(); (await counted(cluster))[outcome] < count; ) {
    assert(performance.now() - start < WITHIN_MS, JSON.stringify(await counted(cluster)));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function flag(family: (typeof FAMILIES)[number]): readonly string[] {
  return family === "v6" ? ["-6"] : [];
}

/** A pod with a device that runs the programs, in a cgroup that does; what is sent to the holes is addressed to nobody. */
async function build(): Promise<void> {
  run(
    "ip",
    "netns",
    "exec",
    stage.name,
    "sysctl",
    "-q",
    "-w",
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
  );
  const pod = stage.addPod();
  const veth = stage.addVeth("pod", pod, [`${POD.v4}/24`, `${POD.v6}/64`]);
  run("ip", "-n", stage.name, "link", "add", "hole", "type", "veth", "peer", "name", "hole-end");
  run("ip", "-n", stage.name, "link", "set", "hole", "arp", "off", "up");
  run("ip", "-n", stage.name, "link", "set", "hole-end", "up");
  run("ip", "-n", stage.name, "addr", "add", `${GATEWAY.v4}/24`, "dev", "pod");
  run("ip", "-n", stage.name, "addr", "add", `${GATEWAY.v6}/64`, "dev", "pod", "nodad");
  for (const family of FAMILIES) {
    run("ip", "-n", pod, ...flag(family), "route", "add", "default", "via", GATEWAY[family]);
    run("ip", "-n", stage.name, ...flag(family), "route", "add", HOLES[family], "dev", "hole");
    for (const { [family]: address } of [LIVE, REFUSING, WORLD]) stage.addAddress(address);
  }
  scene = await Scene.open(stage);
  await scene.reset();
  await scene.endpoint({ identity: POD_IDENTITY }, veth.ifindex);
  await scene.addresses([POD.v4, POD.v6], veth.ifindex);
  await inNamespace(stage.namespacePath(), () => scene.object.attachDevice(veth));
  outside = stage.actor("outside");
  inside = stage.actorInPod(pod);
  assert.deepEqual(await inside.ask({ ask: "serve-tcp", host: "::", port: POD_PORT, name: "pod" }), {});
  for (const family of FAMILIES) {
    for (const { [family]: host } of [LIVE, WORLD]) {
      assert.deepEqual(await outside.ask({ ask: "serve-tcp", host, port: LIVE_PORT, name: "live" }), {});
    }
  }
  assert.deepEqual(await outside.ask({ ask: "serve-tcp", host: "::", port: LATE_PORT, name: "late" }), {});
}

/** Services by what their backends do, each kind in a cluster of its own. */
async function program(): Promise<void> {
  const sockets = await stage.load();
  const places = [
    { kind: "answers", at: [LIVE], port: LIVE_PORT },
    { kind: "refuses", at: [REFUSING], port: CLOSED_PORT },
    { kind: "silent", at: SILENT, port: 1 },
    { kind: "late", at: [LATE], port: LATE_PORT },
  ] as const;
  let id = 0;
  for (const { kind, at, port } of places) {
    for (const family of FAMILIES) {
      const backends = at.map(({ [family]: address }) => backendEntry(++id, { address, port, protocol: "TCP" }));
      const ids = backends.map((_, index) => id - backends.length + 1 + index);
      await mapOf(sockets, "backends").update(entriesOf(backends));
      const frontend = { address: SERVICE[family], port: PORTS[kind], protocol: "TCP" } as const;
      await mapOf(sockets, "services").update(entriesOf(serviceEntries(frontend, ids)));
      await scene.known(CLUSTERS[kind] * 65_536 + 300, ...at.map(({ [family]: address }) => address));
    }
  }
  await sockets.attachCgroup(stage.cgroup);
}

before(async () => {
  stage = new Stage();
  await build();
  await program();
});

after(() => stage.close());

test("answered and refused connections are counted for their cluster, and for no other", async () => {
  for (const host of hosts()) {
    for (let index = 0; index < 3; index++) {
      assert.equal((await inside.ask({ ask: "tcp", host, port: PORTS.answers })).name, "live");
      assert.equal((await inside.ask({ ask: "tcp", host, port: PORTS.refuses })).error, "ECONNREFUSED");
    }
  }
  const none = { started: 0, established: 0, refused: 0, silent: 0, places: 0 };
  assert.deepEqual(await counted(CLUSTERS.answers), { ...none, started: 9, established: 9 });
  assert.deepEqual(await counted(CLUSTERS.refuses), { ...none, started: 9, refused: 9 });
  assert.deepEqual(await counted(CLUSTERS.silent), none);
});

test("who asks a backend itself is counted too; the world, datagrams, and connections to the pod are not", async () => {
  const before = await counted(CLUSTERS.answers);
  for (const host of [LIVE.v4, LIVE.v6, `::ffff:${LIVE.v4}`]) {
    assert.equal((await inside.ask({ ask: "tcp", host, port: LIVE_PORT })).name, "live");
  }
  const after = { ...before, started: before.started + 3, established: before.established + 3 };
  assert.deepEqual(await counted(CLUSTERS.answers), after);
  const rows = async (): Promise<Uint8Array> => (await scene.map("connections").dump()).values;
  const all = await rows();
  assert.equal((await inside.ask({ ask: "tcp", host: WORLD.v4, port: LIVE_PORT })).name, "live");
  assert.equal((await inside.ask({ ask: "udp-connected", host: LIVE.v4, port: CLOSED_PORT })).error, "ECONNREFUSED");
  for (const host of [POD.v4, POD.v6])
    assert.equal((await outside.ask({ ask: "tcp", host, port: POD_PORT })).name, "pod");
  assert.deepEqual(await rows(), all);
});

test("nobody answers: silent while they still wait, once each, in several places; who gives up at once says nothing", async () => {
  const port = PORTS.silent;
  await inside.ask({ ask: "dial", host: SERVICE.v4, port });
  await until(CLUSTERS.silent, "started", 1);
  await inside.ask({ ask: "release", host: "", port: 0 });
  for (let index = 0; index < 6; index++) for (const host of hosts()) await inside.ask({ ask: "dial", host, port });
  await until(CLUSTERS.silent, "silent", 18);
  const { places, ...outcomes } = await counted(CLUSTERS.silent);
  assert.deepEqual(outcomes, { started: 19, established: 0, refused: 0, silent: 18 });
  assert(places >= 2, `${places} places`);
  // Its two seconds hold one SYN that is repeated, or two; those of the others go on.
  assert.equal((await inside.ask({ ask: "tcp", host: SERVICE.v4, port })).error, "timeout");
  assert.deepEqual({ ...(await counted(CLUSTERS.silent)), places }, { ...outcomes, started: 20, silent: 19, places });
  await inside.ask({ ask: "release", host: "", port: 0 });
});

test("one that is answered late counts as silent, and then as established", async () => {
  for (const host of [SERVICE.v4, SERVICE.v6]) await inside.ask({ ask: "dial", host, port: PORTS.late });
  await until(CLUSTERS.late, "silent", 2);
  for (const family of FAMILIES) stage.addAddress(LATE[family]);
  await until(CLUSTERS.late, "established", 2);
  const { places: _, ...outcomes } = await counted(CLUSTERS.late);
  assert.deepEqual(outcomes, { started: 2, established: 2, refused: 0, silent: 2 });
  await inside.ask({ ask: "release", host: "", port: 0 });
});
