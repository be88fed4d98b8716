// New objects over old pins while traffic runs: another layout of `backends`, larger maps (of connections too, which wait for a boot), and back again. Nobody's connection notices.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { LoadedObject, LoadRequest } from "../../src/kernel/door.ts";
import { inNamespace } from "../../src/kernel/namespace.ts";
import { BACKEND_MAP, type BackendKey, type BackendValue } from "../../src/maps/backend-map.ts";
import { ENDPOINT_OBJECT, type ObjectLayout, SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import { address, be16, struct, u8, u32 } from "../../src/maps/struct.ts";
import { AgentObjects } from "../../src/programs/agent/objects.ts";
import { agentSettings } from "../../src/programs/agent/settings.ts";
import { compileBpf } from "./compile.ts";
import { bytesOf, entriesOf, mapOf, type Place, rowsOf, serviceEntries } from "./entries.ts";
import { PEER, POD, Scene } from "./scene.ts";
import { type Actor, kernel, loadRequest, run, Stage, type Veth } from "./stage.ts";

const SOURCES = fileURLToPath(new URL("..", import.meta.url));
const SERVER_PORT = 8080;
const STREAM_PORT = 5202;
const INGRESS_OF_CLIENT = 1;
const SWAPS = 3;
/** One row per processor: written by programs alone. */
const COUNTERS = ["metrics", "verdict_counters", "connections"];
const SERVER = "10.3.0.1";
const GATEWAY = { client: "10.1.0.1", server: "10.2.0.1" } as const;
const PLACES: readonly Place[] = (["TCP", "UDP"] as const).map((protocol) => ({
  address: "172.20.0.10",
  port: 80,
  protocol,
}));
const OLD_PLACE: Place = { address: "172.20.0.99", port: 80, protocol: "TCP" };

/** What an agent of one version loads and writes. */
interface Version {
  readonly layoutVersion: number;
  /** Backend ids start here: a new version numbers them anew. */
  readonly firstId: number;
  readonly objects?: string;
  readonly capacity: number;
  readonly conntrackMax: number;
  readonly backends: typeof narrow;
}

const backendStruct = (pad: number) => ({
  key: struct<BackendKey>("backend_key", { id: u32 }),
  value: struct<BackendValue>("backend_value", { address, port: be16, protocol: u8, clusterId: u8 }, pad),
});
const narrow = backendStruct(4);
const OLD: Version = { layoutVersion: 1, firstId: 1, capacity: 1024, conntrackMax: 4096, backends: narrow };

let stage: Stage;
let client: Veth;
let server: Veth;
let inside: Actor;

/** The sources with larger backends, compiled. */
function wideObjects(): string {
  const folder = join(stage.temporary, "wide");
  for (const part of ["lib", "sock_lb.bpf.c", "endpoint.bpf.c"]) {
    cpSync(join(SOURCES, part), join(folder, part), { recursive: true });
  }
  const header = join(folder, "lib", "backend.h");
  const text = readFileSync(header, "utf8");
  const wide = text.replace("__u8 pad[4];", "__u8 pad[12];");
  assert.notEqual(wide, text);
  writeFileSync(header, wide);
  for (const { file } of [SOCK_LB_OBJECT, ENDPOINT_OBJECT]) {
    compileBpf(join(folder, file.replace(/\.o$/, ".c")), join(folder, file), folder);
  }
  return folder;
}

class Agent {
  readonly sockets: LoadedObject;
  readonly scene: Scene;
  readonly #version: Version;

  private constructor(version: Version, sockets: LoadedObject, scene: Scene) {
    this.#version = version;
    this.sockets = sockets;
    this.scene = scene;
  }

  static async load(version: Version): Promise<Agent> {
    const { layoutVersion, objects, capacity, conntrackMax, backends } = version;
    const layout = { ...BACKEND_MAP, key: backends.key.layout, value: backends.value.layout };
    const request = (object: ObjectLayout): Partial<LoadRequest> => ({
      layoutVersion,
      layouts: object.maps.map((map) => (map.name === BACKEND_MAP.name ? layout : map)),
      maxEntries: { services: capacity, backends: capacity, conntrack: conntrackMax, flows: 8192, fragments: 1024 },
      ...(objects && { objectPath: join(objects, object.file) }),
    });
    const sockets = stage.keep(await kernel.load(loadRequest(SOCK_LB_OBJECT, stage.pins, request(SOCK_LB_OBJECT))));
    const shared = [...sockets.maps.keys()];
    return new Agent(version, sockets, await Scene.open(stage, { ...request(ENDPOINT_OBJECT), shared }));
  }

  async services(...places: readonly Place[]): Promise<void> {
    const { backends, firstId } = this.#version;
    for (const [index, place] of places.entries()) {
      const id = firstId + index;
      const value = {
        address: bytesOf(SERVER),
        port: SERVER_PORT,
        protocol: place.protocol === "TCP" ? 6 : 17,
        clusterId: 1,
      };
      const pair = [backends.key.encode({ id }), backends.value.encode(value)] as const;
      await mapOf(this.sockets, "backends").update(entriesOf([pair]));
      await mapOf(this.sockets, "services").update(entriesOf(serviceEntries(place, [id])));
    }
  }

  /** Only answers may come to the client; anything to the server. */
  async policies(): Promise<void> {
    const { scene } = this;
    await scene.policy(INGRESS_OF_CLIENT, []);
    await scene.endpoint({ identity: POD.identity, ingressPolicy: INGRESS_OF_CLIENT }, client.ifindex);
    await scene.endpoint({ identity: PEER.identity }, server.ifindex);
    await scene.addresses([POD.v4], client.ifindex);
    await scene.addresses([PEER.v4], server.ifindex);
    for (const { identity, v4 } of [POD, PEER]) await scene.known(identity, v4);
  }

  async attach(): Promise<readonly string[]> {
    const outcomes = Object.values(await this.sockets.attachCgroup(stage.cgroup));
    for (const veth of [client, server]) {
      const atDevice = await inNamespace(stage.namespacePath(), () => this.scene.object.attachDevice(veth));
      outcomes.push(...Object.values(atDevice));
    }
    return outcomes;
  }

  /** As an agent does: everything is in the maps before a program uses them. */
  async start(): Promise<readonly string[]> {
    await this.services(...PLACES);
    await this.policies();
    return await this.attach();
  }

  async drops(): Promise<number> {
    const dropped = [...(await this.scene.verdicts())].filter(([what]) => what.startsWith("dropped"));
    return dropped.reduce((sum, [, [packets]]) => sum + packets, 0);
  }

  close(): void {
    this.sockets.close();
    this.scene.object.close();
  }
}

function addPod(name: "client" | "server", address: string): Veth {
  const pod = stage.addPod();
  const veth = stage.addVeth(name, pod, [`${address}/24`]);
  run("ip", "-n", stage.name, "addr", "add", `${GATEWAY[name]}/24`, "dev", name);
  run("ip", "-n", pod, "route", "add", "default", "via", GATEWAY[name]);
  return veth;
}

before(async () => {
  stage = new Stage();
  // A device without IPv6 reports no multicast groups, which the client's policy would drop.
  for (const setting of ["net.ipv4.ip_forward=1", "net.ipv6.conf.default.disable_ipv6=1"])
    run("ip", "netns", "exec", stage.name, "sysctl", "-q", "-w", setting);
  client = addPod("client", POD.v4);
  server = addPod("server", PEER.v4);
  stage.addAddress(SERVER);
  inside = stage.actor("inside");
  const outside = stage.actor("outside");
  for (const ask of ["serve-tcp", "serve-udp"] as const) {
    assert.deepEqual(await outside.ask({ ask, host: SERVER, port: SERVER_PORT, name: "a" }), {});
  }
});

after(() => stage.close());

/** One connection to the client, which only answers may reach, until it is ended; resolves to how many bytes came. */
function stream(context: TestContext): () => Promise<number> {
  const iperf = (pod: string, ...args: string[]) =>
    spawn("ip", ["netns", "exec", pod, "iperf3", "-p", String(STREAM_PORT), ...args], {
      stdio: ["ignore", "pipe", "ignore"],
    });
  const serving = iperf(server.pod, "-s", "-1");
  const reading = iperf(client.pod, "-c", PEER.v4, "-R", "-t", "60", "-b", "20M", "-J");
  context.after(() => {
    for (const child of [serving, reading]) child.kill("SIGKILL");
  });
  let report = "";
  reading.stdout.on("data", (text) => {
    report += text;
  });
  return async () => {
    const over = new Promise((resolve) => reading.once("exit", resolve));
    reading.kill("SIGINT");
    await over;
    const { end } = JSON.parse(report) as { end: { sum_received?: { bytes: number } } };
    return end.sum_received?.bytes ?? assert.fail(report.slice(-600));
  };
}

/** Calls of the service by TCP, and by one socket of UDP, one after the other; resolves to how many were made, all well. */
function calls(): () => Promise<number> {
  let going = true;
  const at = { host: PLACES[0]?.address ?? "", port: 80 };
  const peer = `${at.host}|${at.port}`;
  const made = (async () => {
    let count = 0;
    for (; going; count++) {
      assert.deepEqual(await inside.ask({ ask: "tcp", ...at }), { name: "a", peer });
      assert.deepEqual(await inside.ask({ ask: "udp-again", ...at }), { name: "a", from: peer });
    }
    return count;
  })();
  return () => {
    going = false;
    return made;
  };
}

const flowing = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const markOf = (objects: AgentObjects, name: string): Uint8Array => new Uint8Array(objects.map({ name }).keySize);

/** An entry whose key and value are zero. */
async function mark(objects: AgentObjects, name: string): Promise<void> {
  const { keySize, valueSize } = objects.map({ name });
  await objects.map({ name }).update({ count: 1, keys: new Uint8Array(keySize), values: new Uint8Array(valueSize) });
}

test("upgraded and downgraded under traffic: no call fails, no packet is dropped, connections go on in their maps", async (context) => {
  const wide = {
    ...{ layoutVersion: 2, firstId: 500, objects: wideObjects(), backends: backendStruct(12) },
    ...{ capacity: 4096, conntrackMax: 8192 },
  };
  let running = await Agent.load(OLD);
  await running.services(OLD_PLACE);
  await running.start();
  const [endStream, endCalls] = [stream(context), calls()];
  await flowing(700);
  const connections = (await running.scene.connections()).length;
  assert(connections > 0, "the stream is tracked");
  for (let swap = 0; swap < SWAPS; swap++) {
    const next = await Agent.load(swap % 2 === 0 ? wide : OLD);
    assert.deepEqual(await rowsOf(mapOf(next.sockets, "services")), [], "what an older agent left does not come back");
    assert((await next.scene.connections()).length >= connections, "its connections are there before its programs are");
    const outcomes = await next.start();
    assert.deepEqual([...new Set(outcomes)].sort(), ["replaced", "unchanged"]);
    running.close();
    running = next;
    await flowing(400);
  }
  assert.equal(await running.drops(), 0);
  assert((await endStream()) > 100_000);
  assert((await endCalls()) > SWAPS);
  assert.equal(mapOf(running.sockets, "backends").valueSize, wide.backends.value.layout.sizeBytes);
  assert.equal(mapOf(running.sockets, "services").maxEntries, wide.capacity);
  assert.equal(
    running.scene.map("conntrack").maxEntries,
    OLD.conntrackMax,
    "rather its old capacity than no connections",
  );
  running.close();
});

test("an agent that died before it swapped leaves maps that nobody takes for whole", async () => {
  const running = await Agent.load({ ...OLD, layoutVersion: 3 });
  await running.start();
  const later = { ...OLD, layoutVersion: 4 };
  const died = await Agent.load(later);
  await died.services(OLD_PLACE);
  died.close();
  const next = await Agent.load(later);
  assert.deepEqual(await rowsOf(mapOf(next.sockets, "services")), []);
  assert.deepEqual((await inside.ask({ ask: "tcp", host: "172.20.0.10", port: 80 })).name, "a");
  await next.start();
  next.close();
  running.close();
  const again = await Agent.load(later);
  assert.notDeepEqual(await rowsOf(mapOf(again.sockets, "services")), [], "swapped, they are taken over");
  assert.equal(existsSync(join(stage.pins, "services_v4")), true);
  again.close();
});

test("an agent's objects find every map again at the next start, attached or not", async () => {
  const settings = agentSettings.parse({
    ...{ cluster: "osaka", clusterId: 1, node: "n1", etcdConfig: "unused", cgroup: stage.cgroup },
    ...{ bpfDir: join(stage.pins, "agent"), conntrackMax: 4096, flowsMax: 8192 },
  });
  for (const attaches of [false, true, true]) {
    const objects = await AgentObjects.load(settings, kernel);
    const names = [...objects.maps.keys()].filter((name) => !COUNTERS.includes(name));
    const marks = names.map((name) => (objects.map({ name }).lookup(markOf(objects, name)) ? "kept" : "new"));
    assert.deepEqual(new Set(marks), new Set([marks[0] ?? ""]));
    assert.equal(marks[0], attaches ? "kept" : "new");
    for (const name of names) await mark(objects, name);
    if (attaches) await objects.attachCgroup();
    if (attaches) await inNamespace(stage.namespacePath(), () => objects.attachDevice({ ...client, addresses: [] }));
    objects.close();
  }
});
