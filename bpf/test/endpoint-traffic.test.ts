// Two pods on one node and real sockets: policy, services per packet and ICMP errors over the programs at their devices.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { inNamespace } from "../../src/kernel/namespace.ts";
import { checksumInSoftware } from "./checksum-offload.ts";
import type { Place } from "./entries.ts";
import { PROTOCOL } from "./packets.ts";
import { PEER, POD, type PolicyEntry, Scene, type SeenEvent } from "./scene.ts";
import { Actor, read, run, Stage, type Veth } from "./stage.ts";

const ACTOR = fileURLToPath(new URL("actor.ts", import.meta.url));
const SERVER_PORT = 8080;
const BULK_PORT = 5201;
const BULK_BYTES = 20_000_000;
const SERVICE = { v4: "172.20.0.10", v6: "fd00:20::10" } as const;
const GATEWAY = { client: { v4: "10.1.0.1", v6: "fd00:1::1" }, server: { v4: "10.2.0.1", v6: "fd00:2::1" } } as const;
const INGRESS_OF_SERVER = 3;
const STREAM_PORT = 5202;
const STREAM_RATE = "20M";
/** Far less than flows in half a second. */
const STREAM_BYTES = 200_000;

let stage: Stage;
let scene: Scene;
let client: Veth;
let server: Veth;
let inClient: Actor;
let inServer: Actor;

function addPod(name: "client" | "server", own: typeof POD | typeof PEER): Veth {
  const pod = stage.addPod();
  const veth = stage.addVeth(name, pod, [`${own.v4}/24`, `${own.v6}/64`]);
  const gateway = GATEWAY[name];
  run("ip", "-n", stage.name, "addr", "add", `${gateway.v4}/24`, "dev", name);
  run("ip", "-n", stage.name, "addr", "add", `${gateway.v6}/64`, "dev", name, "nodad");
  run("ip", "-n", pod, "route", "add", "default", "via", gateway.v4);
  run("ip", "-n", pod, "-6", "route", "add", "default", "via", gateway.v6);
  checksumInSoftware(stage.namespacePath(), name);
  return veth;
}

before(async () => {
  stage = new Stage();
  scene = await Scene.open(stage);
  const forwarding = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
  run("ip", "netns", "exec", stage.name, "sysctl", "-q", "-w", ...forwarding);
  client = addPod("client", POD);
  server = addPod("server", PEER);
  for (const veth of [client, server]) {
    await inNamespace(stage.namespacePath(), () => scene.object.attachDevice(veth));
  }
  inClient = new Actor(stage.spawnInPod(client.pod, ACTOR));
  inServer = new Actor(stage.spawnInPod(server.pod, ACTOR));
  const port = SERVER_PORT;
  assert.deepEqual(await inServer.ask({ ask: "serve-tcp", host: "::", port, name: "server" }), {});
  for (const name of ["v4", "v6"] as const) {
    assert.deepEqual(await inServer.ask({ ask: "serve-udp", host: PEER[name], port, name }), {});
  }
});

after(() => stage.close());

beforeEach(async () => {
  await scene.reset();
  await scene.noEndpoint();
  await bothKnown();
});

async function bothKnown(serverPolicy = 0): Promise<void> {
  await scene.endpoint({ identity: POD.identity }, client.ifindex);
  await scene.endpoint({ identity: PEER.identity, ingressPolicy: serverPolicy }, server.ifindex);
  await scene.addresses([POD.v4, POD.v6], client.ifindex);
  await scene.addresses([PEER.v4, PEER.v6], server.ifindex);
}

async function enforceAtServer(entries: readonly PolicyEntry[]): Promise<void> {
  await scene.policy(INGRESS_OF_SERVER, entries);
  await bothKnown(INGRESS_OF_SERVER);
}

/** What was dropped at the server, whatever else goes on. */
function dropsAtServer(): readonly SeenEvent[] {
  return scene.events().filter(({ verdict, ifindex }) => verdict === "dropped" && ifindex === server.ifindex);
}

/** Bytes that the client is handed in this time. */
async function bytesToClient(milliseconds: number): Promise<number> {
  const handed = (): number => {
    const text = read("ip", "-n", stage.name, "-s", "-j", "link", "show", "dev", client.name);
    const [link] = JSON.parse(text) as [{ stats64: { tx: { bytes: number } } }];
    return link.stats64.tx.bytes;
  };
  const before = handed();
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return handed() - before;
}

for (const family of ["v4", "v6"] as const) {
  const host = PEER[family];
  const ask = (kind: "tcp" | "udp-sendto", to: string = host, port: number = SERVER_PORT) =>
    inClient.ask({ ask: kind, host: to, port });

  describe(family, () => {
    test("without policy everything passes", async () => {
      assert.equal((await ask("tcp")).name, "server");
      assert.equal((await ask("udp-sendto")).name, family);
    });
    test("what the policy names passes, the rest is dropped for that reason", async () => {
      await enforceAtServer([{ identity: POD.identity, protocol: PROTOCOL.TCP, port: [SERVER_PORT, 16], rule: 5 }]);
      scene.events();
      assert.equal((await ask("tcp")).name, "server");
      assert.deepEqual(dropsAtServer(), []);
      assert.equal((await ask("udp-sendto")).error, "timeout");
      const [drop] = dropsAtServer();
      assert.deepEqual([drop?.reason, drop?.identities], ["policy-denied", [POD.identity, PEER.identity]]);
    });
    test("another identity is refused", async () => {
      await enforceAtServer([{ identity: POD.identity + 1, protocol: PROTOCOL.TCP, rule: 5 }]);
      scene.events();
      assert.equal((await ask("tcp")).error, "timeout");
      assert.equal(dropsAtServer()[0]?.reason, "policy-denied");
    });
    test("a device without an entry lets nothing through", async () => {
      await scene.map("endpoints").remove(new Uint8Array(Uint32Array.of(server.ifindex).buffer), 1);
      scene.events();
      assert.equal((await ask("tcp")).error, "timeout");
      assert.equal(dropsAtServer()[0]?.reason, "endpoint-unknown");
    });
    test("services per packet: the client sees the service, TCP and UDP", async () => {
      for (const protocol of ["TCP", "UDP"] as const) {
        const frontend: Place = { address: SERVICE[family], port: 80, protocol };
        await scene.service(frontend, [{ address: host, port: SERVER_PORT, protocol }]);
        const kind = protocol === "TCP" ? "tcp" : "udp-sendto";
        const answer = await ask(kind, SERVICE[family], 80);
        assert.equal(answer.name, protocol === "TCP" ? "server" : family);
        assert.equal(protocol === "TCP" ? answer.peer : answer.from, `${SERVICE[family]}|80`);
      }
    });
    test(`${BULK_BYTES / 1e6} MB through a service, in large segments`, async () => {
      const backend: Place = { address: host, port: BULK_PORT, protocol: "TCP" };
      await scene.service({ address: SERVICE[family], port: BULK_PORT, protocol: "TCP" }, [backend]);
      const inPod = (veth: Veth, ...args: string[]): string => read("ip", "netns", "exec", veth.pod, "iperf3", ...args);
      inPod(server, "-s", "-1", "-D", "-p", String(BULK_PORT));
      const report = inPod(client, "-c", SERVICE[family], "-p", String(BULK_PORT), "-n", String(BULK_BYTES), "-J");
      const { end } = JSON.parse(report) as { end: { sum_sent: { bytes: number } } };
      assert(end.sum_sent.bytes >= BULK_BYTES);
    });
    test("a stream that is no longer allowed ends, though the server goes on sending", async () => {
      await enforceAtServer([{ identity: POD.identity, rule: 5 }]);
      read("ip", "netns", "exec", server.pod, "iperf3", "-s", "-1", "-D", "-p", String(STREAM_PORT));
      const stream = ["iperf3", "-c", host, "-p", String(STREAM_PORT), "-R", "-t", "10", "-b", STREAM_RATE];
      const reader = spawn("ip", ["netns", "exec", client.pod, ...stream], { stdio: "ignore" });
      try {
        const flowing = await bytesToClient(500);
        assert(flowing > STREAM_BYTES, `${flowing} bytes while it is allowed`);
        await enforceAtServer([]);
        await bytesToClient(200);
        const left = await bytesToClient(2000);
        assert(left < STREAM_BYTES / 10, `${left} bytes when it is not`);
      } finally {
        reader.kill("SIGKILL");
      }
    });
    test("a refused datagram's error comes back to the socket", async () => {
      await scene.policy(4, []);
      await scene.endpoint({ identity: POD.identity, ingressPolicy: 4 }, client.ifindex);
      const answer = await inClient.ask({ ask: "udp-connected", host, port: SERVER_PORT + 1 });
      assert.equal(answer.error, "ECONNREFUSED");
    });
  });
}
