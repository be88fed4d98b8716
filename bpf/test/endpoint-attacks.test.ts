// What a workload, or somebody who talks to one, tries in order to get past its policy.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { testRun } from "../../src/kernel/test-run.ts";
import { encodeConntrackKey, encodeConntrackValue } from "../../src/maps/conntrack-map.ts";
import { ENDPOINT_FLAGS } from "../../src/maps/endpoint-map.ts";
import { RESERVED_IDENTITIES } from "../../src/model/identity.ts";
import { bytesOf, entriesOf } from "./entries.ts";
import { neighbourPacket, TCP, tcpPacket, udpPacket, unreachable } from "./packets.ts";
import { DROP_PACKET, IFINDEX, NEXT_PROGRAM, PEER, POD, type Program, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

const WORLD = { v4: "192.0.2.1", v6: "2001:db8::1" } as const;
const SERVER_SIDE = { sourcePort: 80, destinationPort: 40_000 } as const;
const CLIENT_SIDE = { sourcePort: 40_000, destinationPort: 80 } as const;
const IPV6_SOURCE_AT = 22;
const IPV6_DESTINATION_AT = 38;

let stage: Stage;
let scene: Scene;

before(async () => {
  stage = new Stage();
  scene = await Scene.open(stage);
});

after(() => stage.close());

beforeEach(() => scene.reset());

function passes(program: Program, packet: Uint8Array): void {
  const { dropped, events } = scene.run(program, packet);
  assert(!dropped, JSON.stringify(events));
}

function drops(program: Program, packet: Uint8Array): void {
  assert(scene.run(program, packet).dropped);
}

describe("IPv4 addresses in an IPv6 header are nobody's", () => {
  const ends = { source: PEER.v6, destination: POD.v6, ...CLIENT_SIDE };
  test("as the source: not the workload that has the IPv4 address", async () => {
    await scene.enforce("ingress", [{ identity: 70_003 }]);
    await scene.known(70_003, "10.3.0.3");
    const packet = udpPacket(ends);
    packet.set(bytesOf("10.3.0.3"), IPV6_SOURCE_AT);
    drops("to_endpoint", packet);
  });
  test("as the source of what a workload sends", () => {
    const packet = udpPacket({ source: POD.v6, destination: PEER.v6, ...CLIENT_SIDE });
    packet.set(bytesOf(POD.v4), IPV6_SOURCE_AT);
    drops("from_endpoint", packet);
  });
  test("as the destination", () => {
    const packet = udpPacket({ source: POD.v6, destination: PEER.v6, ...CLIENT_SIDE });
    packet.set(bytesOf(PEER.v4), IPV6_DESTINATION_AT);
    drops("from_endpoint", packet);
  });
});

describe("upkeep carries nothing past the policy", () => {
  beforeEach(async () => {
    await scene.enforce("ingress", []);
    await scene.enforce("egress", []);
    await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2 });
  });
  const dhcp = (source: string, destination: string, sourcePort: number, destinationPort: number): Buffer =>
    udpPacket({ source, destination, sourcePort, destinationPort });
  test("DHCP's ports to anybody", async () => {
    for (const flags of [0, ENDPOINT_FLAGS.denied]) {
      await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2, flags });
      drops("from_endpoint", dhcp(POD.v4, WORLD.v4, 68, 67));
      drops("from_endpoint", dhcp(POD.v4, PEER.v4, 68, 67));
      drops("from_endpoint", dhcp(POD.v6, WORLD.v6, 546, 547));
    }
  });
  test("DHCP's ports from anybody", () => {
    drops("to_endpoint", dhcp(WORLD.v4, POD.v4, 67, 68));
    drops("to_endpoint", dhcp(PEER.v4, POD.v4, 67, 68));
    drops("to_endpoint", dhcp(WORLD.v6, POD.v6, 547, 546));
  });
  test("neighbour discovery with those who are no neighbours", () => {
    drops("from_endpoint", neighbourPacket({ source: POD.v6, destination: WORLD.v6 }, 135, WORLD.v6));
    drops("from_endpoint", neighbourPacket({ source: POD.v6, destination: WORLD.v6 }, 136, POD.v6));
  });
});

describe("a connection that is cut stays cut", () => {
  const sides = [
    { direction: "ingress", forward: "to_endpoint", backward: "from_endpoint", client: PEER, server: POD },
    { direction: "egress", forward: "from_endpoint", backward: "to_endpoint", client: POD, server: PEER },
  ] as const;
  for (const { direction, forward, backward, client, server } of sides) {
    for (const family of ["v4", "v6"] as const) {
      const there = { source: client[family], destination: server[family], ...CLIENT_SIDE };
      const back = { source: server[family], destination: client[family], ...SERVER_SIDE };
      const what = `${direction} ${family}`;

      for (const [protocol, request, answer] of [
        ["TCP", tcpPacket({ ...there, flags: TCP.ack }), tcpPacket({ ...back, flags: TCP.ack })],
        ["UDP", udpPacket(there), udpPacket(back)],
      ] as const) {
        test(`${what}: an answer under way when ${protocol} is no longer allowed does not open it the other way`, async () => {
          await scene.enforce(direction, [{ identity: PEER.identity }]);
          if (protocol === "TCP") passes(forward, tcpPacket({ ...there, flags: TCP.syn }));
          passes(forward, request);
          passes(backward, answer);
          await scene.enforce(direction, []);
          drops(forward, request);
          scene.run(backward, answer);
          drops(forward, request);
          await scene.enforce(direction, [{ identity: PEER.identity }]);
          passes(forward, request);
          passes(backward, answer);
          assert.equal((await scene.connections()).length, 1);
        });
      }

      test(`${what}: nor does one that the other end made run out`, async () => {
        const tcp = (flags: number): Buffer => tcpPacket({ ...there, flags });
        await scene.enforce(direction, [{ identity: PEER.identity }]);
        passes(forward, tcp(TCP.syn));
        passes(backward, tcpPacket({ ...back, flags: TCP.syn | TCP.ack }));
        passes(forward, tcp(TCP.rst));
        await scene.expireConnections();
        scene.run(backward, tcpPacket({ ...back, flags: TCP.ack }));
        await scene.enforce(direction, []);
        drops(forward, tcp(TCP.ack));
      });

      test(`${what}: the server may open one of its own with the same ports`, async () => {
        await scene.enforce(direction, [{ identity: PEER.identity }]);
        passes(forward, tcpPacket({ ...there, flags: TCP.syn }));
        await scene.enforce(direction, []);
        drops(forward, tcpPacket({ ...there, flags: TCP.ack }));
        passes(backward, tcpPacket({ ...back, flags: TCP.syn }));
        passes(forward, tcpPacket({ ...there, flags: TCP.syn | TCP.ack }));
      });

      test(`${what}: nor may an ICMP error be about it`, async () => {
        await scene.enforce("ingress", direction === "ingress" ? [{ identity: PEER.identity }] : []);
        await scene.enforce("egress", direction === "egress" ? [{ identity: PEER.identity }] : []);
        await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2 });
        passes(forward, udpPacket(there));
        passes(backward, unreachable(back, udpPacket(there)));
        await scene.enforce(direction, []);
        await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2 });
        drops(forward, udpPacket(there));
        drops(backward, unreachable(back, udpPacket(there)));
      });
    }
  }
});

test("connections are the device's: whoever gets its addresses later does not get its answers", async () => {
  await scene.enforce("ingress", []);
  passes("from_endpoint", udpPacket({ source: POD.v4, destination: PEER.v4, ...CLIENT_SIDE }));
  const answer = udpPacket({ source: PEER.v4, destination: POD.v4, ...SERVER_SIDE });
  passes("to_endpoint", answer);
  const [row] = await scene.connections();
  assert(row !== undefined);
  const [key, value] = row;
  const map = scene.map("conntrack");
  await map.remove(encodeConntrackKey(key), 1);
  await map.update(entriesOf([[encodeConntrackKey({ ...key, ifindex: 99 }), encodeConntrackValue(value)]]));
  drops("to_endpoint", answer);
});

test("only what the node itself sends is the node's: a packet from outside with its address is the world's", async () => {
  await scene.enforce("ingress", [{ identity: RESERVED_IDENTITIES.host }]);
  await scene.known(RESERVED_IDENTITIES.host, WORLD.v4, WORLD.v6);
  for (const family of ["v4", "v6"] as const) {
    const packet = tcpPacket({ source: WORLD[family], destination: POD[family], ...CLIENT_SIDE });
    const judged = (ingressIfindex: number) =>
      testRun(scene.object, "to_endpoint", { packet, ifindex: IFINDEX, ingressIfindex }).verdict;
    assert.equal(judged(IFINDEX), DROP_PACKET);
    assert.equal(judged(0), NEXT_PROGRAM);
  }
});
