// Services for packets that no socket program translated: to a backend and back, with right checksums.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { backendEntry, countersOf, entriesOf, type Place, serviceEntries } from "./entries.ts";
import {
  ipPacket,
  PROTOCOL,
  readPacket,
  TCP,
  tcpPacket,
  udpDatagram,
  udpPacket,
  unreachable,
  wireHex,
} from "./packets.ts";
import { PEER, POD, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

const SERVICE = { v4: "172.20.0.10", v6: "fd00:20::10" } as const;
const BACKENDS = { v4: ["10.3.0.1", "10.3.0.2", "10.3.0.3"], v6: ["fd00:3::1", "fd00:3::2", "fd00:3::3"] } as const;
const SERVICE_PORT = 80;
const BACKEND_PORT = 8080;
const CONNECTIONS = 200;

type Family = keyof typeof SERVICE;
/** What is left of a connection that is no longer allowed. */
const REFUSED = 64;

let stage: Stage;
let scene: Scene;

before(async () => {
  stage = new Stage();
  scene = await Scene.open(stage);
});

after(() => stage.close());

beforeEach(() => scene.reset());

/** A service of three backends, and the packets of those who ask it. */
function serviceOf(family: Family, protocol: "TCP" | "UDP") {
  const number = PROTOCOL[protocol];
  const frontend: Place = { address: SERVICE[family], port: SERVICE_PORT, protocol };
  const backends = BACKENDS[family].map((address): Place => ({ address, port: BACKEND_PORT, protocol }));
  const packetOf = (
    source: string,
    sourcePort: number,
    destination: string,
    destinationPort: number,
    flags: number,
  ) => {
    const ports = { source, destination, sourcePort, destinationPort };
    return protocol === "TCP" ? tcpPacket({ ...ports, flags }) : udpPacket(ports);
  };
  const ask = (sourcePort: number, flags: number = TCP.syn): Buffer =>
    packetOf(POD[family], sourcePort, SERVICE[family], SERVICE_PORT, flags);
  const answer = (backend: string, destinationPort: number, flags: number = TCP.ack): Buffer =>
    packetOf(backend, BACKEND_PORT, POD[family], destinationPort, flags);
  const hexes: string[] = BACKENDS[family].map(wireHex);

  /** The backend that the packet was sent to; everything else about it must be right. */
  const backendOf = (packet: Uint8Array, sourcePort: number): string => {
    const out = readPacket(packet);
    assert.deepEqual(
      { ...out, destination: "" },
      {
        source: wireHex(POD[family]),
        destination: "",
        protocol: number,
        sourcePort,
        destinationPort: BACKEND_PORT,
        checksumsRight: true,
      },
    );
    const index = hexes.indexOf(out.destination);
    assert(index >= 0, `${out.destination} is a backend`);
    return BACKENDS[family][index] ?? "";
  };
  const send = (sourcePort: number, flags?: number): string => {
    const { dropped, packet, events } = scene.run("from_endpoint", ask(sourcePort, flags));
    assert(!dropped, JSON.stringify(events));
    return backendOf(packet, sourcePort);
  };
  return { family, protocol, number, frontend, backends, packetOf, ask, answer, send };
}

type Service = ReturnType<typeof serviceOf>;

function translation({ family, number, frontend, backends, packetOf, answer, send }: Service): void {
  test("each connection gets a backend, keeps it, and sees the service's address in the answers", async () => {
    await scene.service(frontend, backends);
    const before_ = await countersOf(scene.object);
    const met = new Set<string>();
    for (let sourcePort = 30_000; sourcePort < 30_000 + CONNECTIONS; sourcePort++) {
      const backend = send(sourcePort);
      met.add(backend);
      for (let again = 0; again < 3; again++) assert.equal(send(sourcePort, TCP.ack), backend);
      const { dropped, packet } = scene.run("to_endpoint", answer(backend, sourcePort));
      assert(!dropped);
      assert.deepEqual(readPacket(packet), {
        source: wireHex(SERVICE[family]),
        destination: wireHex(POD[family]),
        protocol: number,
        sourcePort: SERVICE_PORT,
        destinationPort: sourcePort,
        checksumsRight: true,
      });
    }
    assert.deepEqual([...met].sort(), [...BACKENDS[family]]);
    assert.equal((await countersOf(scene.object)).translated, before_.translated + CONNECTIONS);
  });
  test("a SYN sent again, and all that follows, goes to the same backend", async () => {
    await scene.service(frontend, backends);
    const backend = send(31_000);
    for (let again = 0; again < 20; again++) assert.equal(send(31_000), backend);
  });
  test("session affinity: connections of one address go to one backend, until it goes", async () => {
    await scene.service(frontend, backends, 600);
    const first = send(31_100);
    for (let sourcePort = 31_101; sourcePort < 31_160; sourcePort++) assert.equal(send(sourcePort), first);
    const others = backends.flatMap(({ address }, index) => (address === first ? [] : [index + 1]));
    await scene.map("services").update(entriesOf(serviceEntries(frontend, others, 600)));
    const next = send(31_200);
    assert.notEqual(next, first);
    for (let sourcePort = 31_201; sourcePort < 31_260; sourcePort++) assert.equal(send(sourcePort), next);
  });
  test("other ports and directly asked backends are left alone", async () => {
    await scene.service(frontend, backends);
    const other = packetOf(POD[family], 32_000, SERVICE[family], SERVICE_PORT + 1, TCP.syn);
    assert.deepEqual(Buffer.from(scene.run("from_endpoint", other).packet), other);
    const direct = packetOf(POD[family], 32_001, BACKENDS[family][0], BACKEND_PORT, TCP.syn);
    assert.deepEqual(Buffer.from(scene.run("from_endpoint", direct).packet), direct);
    const back = answer(BACKENDS[family][0], 32_001);
    assert.deepEqual(Buffer.from(scene.run("to_endpoint", back).packet), back);
  });
}

function policyAndAnswers({ family, number, frontend, backends, packetOf, ask, answer, send }: Service): void {
  test("to the endpoint nothing is translated", async () => {
    await scene.service({ ...frontend, address: POD[family] }, backends);
    const packet = packetOf(PEER[family], 33_000, POD[family], SERVICE_PORT, TCP.syn);
    assert.deepEqual(Buffer.from(scene.run("to_endpoint", packet).packet), packet);
  });
  test("the policy is asked about the backend, not the service", async () => {
    await scene.service(frontend, backends.slice(0, 1));
    await scene.known(80_001, BACKENDS[family][0]);
    const byBackend = [{ identity: 80_001, protocol: number, port: [BACKEND_PORT, 16], rule: 9 }] as const;
    await scene.enforce("egress", byBackend);
    const { dropped, events } = scene.run("from_endpoint", ask(34_000));
    assert(!dropped);
    assert.deepEqual([events[0]?.identities, events[0]?.rule], [[POD.identity, 80_001], 9]);
    await scene.enforce("egress", [{ identity: 0, protocol: number, port: [SERVICE_PORT, 16] }]);
    const refused = scene.run("from_endpoint", ask(34_001));
    assert(refused.dropped);
    assert.equal(refused.events[0]?.reason, "policy-denied");
    assert(scene.run("from_endpoint", ask(34_000, TCP.ack)).dropped, "nor may the connection that was");
    const left = (await scene.connections()).map(([key, { flags }]) => [key.direction, flags & REFUSED]);
    assert.deepEqual(left, [[1, REFUSED]]);
  });
  test("answers pass an enforced ingress, with the service's address", async () => {
    await scene.service(frontend, backends.slice(0, 1));
    await scene.enforce("ingress", []);
    send(35_000);
    const { dropped, packet } = scene.run("to_endpoint", answer(BACKENDS[family][0], 35_000));
    assert(!dropped);
    assert.equal(readPacket(packet).source, wireHex(SERVICE[family]));
    assert(scene.run("to_endpoint", answer(BACKENDS[family][0], 35_001)).dropped);
  });
}

function whatCannotBe({ family, protocol, frontend, backends, packetOf, ask, send }: Service): void {
  test("a backend that is gone is not kept", async () => {
    await scene.service(frontend, backends.slice(0, 1));
    assert.equal(send(36_000), BACKENDS[family][0]);
    await scene.map("backends").update(entriesOf([backendEntry(1, backends[1] ?? frontend)]));
    assert.equal(send(36_000, TCP.ack), BACKENDS[family][1]);
  });
  test("a service without a usable backend refuses", async () => {
    await scene.service(frontend, []);
    const none = scene.run("from_endpoint", ask(37_000));
    assert(none.dropped);
    assert.equal(none.events[0]?.reason, "no-backend");
    const other = family === "v4" ? "v6" : "v4";
    await scene.service(frontend, [{ address: BACKENDS[other][0], port: BACKEND_PORT, protocol }]);
    const unreachableFamily = scene.run("from_endpoint", ask(37_001));
    assert(unreachableFamily.dropped);
    assert.equal(unreachableFamily.events[0]?.reason, "no-backend");
  });
  test("ports that a direct connection to the backend already has are not used twice", async () => {
    await scene.service(frontend, backends.slice(0, 1));
    scene.run("from_endpoint", packetOf(POD[family], 38_000, BACKENDS[family][0], BACKEND_PORT, TCP.syn));
    const { dropped, events } = scene.run("from_endpoint", ask(38_000));
    assert(dropped);
    assert.equal(events.at(-1)?.reason, "translation-failed");
  });
  test("an error about the translated packet passes, as the workload knows the packet", async () => {
    await scene.service(frontend, backends.slice(0, 1));
    await scene.enforce("ingress", []);
    const sent = scene.run("from_endpoint", ask(39_000)).packet;
    const ends = { source: BACKENDS[family][0], destination: POD[family] };
    const { dropped, packet } = scene.run("to_endpoint", unreachable(ends, sent));
    assert(!dropped);
    const known = ask(39_000);
    // The UDP checksum inside stays as it was on the wire.
    const checksumAt = (family === "v4" ? 34 : 54) + 6;
    if (protocol === "UDP") known.set(sent.subarray(checksumAt, checksumAt + 2), checksumAt);
    assert.deepEqual(Buffer.from(packet), unreachable(ends, known));
  });
}

for (const family of ["v4", "v6"] as const) {
  for (const protocol of ["TCP", "UDP"] as const) {
    describe(`${protocol} ${family}`, () => {
      const service = serviceOf(family, protocol);
      translation(service);
      policyAndAnswers(service);
      whatCannotBe(service);
    });
  }

  test(`UDP ${family} in pieces: all go to one backend, and come back whole`, async () => {
    const protocol = "UDP";
    await scene.service(
      { address: SERVICE[family], port: SERVICE_PORT, protocol },
      BACKENDS[family].map((address) => ({ address, port: BACKEND_PORT, protocol })),
    );
    const pieces = (source: string, sourcePort: number, destination: string, destinationPort: number): Buffer[] => {
      const ends = { source, destination };
      const datagram = udpDatagram({ ...ends, sourcePort, destinationPort }, Buffer.alloc(56, 3));
      const piece = (offset: number, end: number, more: boolean): Buffer =>
        ipPacket(ends, PROTOCOL.UDP, datagram.subarray(offset, end), { piece: { id: 77, offset, more } });
      return [piece(0, 32, true), piece(32, 64, false)];
    };
    const sent = pieces(POD[family], 40_000, SERVICE[family], SERVICE_PORT).map((p) => scene.run("from_endpoint", p));
    assert(sent.every(({ dropped }) => !dropped));
    const at = family === "v4" ? 30 : 38;
    const length = family === "v4" ? 4 : 16;
    const hex = Buffer.from(sent[0]?.packet.subarray(at, at + length) ?? []).toString("hex");
    const backend = BACKENDS[family].find((address) => wireHex(address) === hex) ?? "none";
    assert.deepEqual(
      sent.map(({ packet }) => Buffer.from(packet)),
      pieces(POD[family], 40_000, backend, BACKEND_PORT),
    );
    const back = pieces(backend, BACKEND_PORT, POD[family], 40_000).map((p) => scene.run("to_endpoint", p));
    assert.deepEqual(
      back.map(({ packet }) => Buffer.from(packet)),
      pieces(SERVICE[family], SERVICE_PORT, POD[family], 40_000),
    );
  });
}

test("a UDP checksum of 0 says that there is none, and stays", async () => {
  const backend = { address: BACKENDS.v4[0], port: BACKEND_PORT, protocol: "UDP" } as const;
  await scene.service({ address: SERVICE.v4, port: SERVICE_PORT, protocol: "UDP" }, [backend]);
  const ports = { sourcePort: 50_000, destinationPort: SERVICE_PORT };
  const packet = udpPacket({ source: POD.v4, destination: SERVICE.v4, ...ports, checksum: false });
  const out = Buffer.from(scene.run("from_endpoint", packet).packet);
  assert.equal(out.readUInt16BE(40), 0);
  assert.equal(readPacket(out).destination, wireHex(BACKENDS.v4[0]));
});
