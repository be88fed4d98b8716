// Who may speak at all: unknown workloads, addresses that are not one's own, and what passes whatever the policy says.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { ENDPOINT_FLAGS } from "../../src/maps/endpoint-map.ts";
import type { DropReason } from "../../src/model/flow.ts";
import { arpPacket, ethernet, icmpPacket, neighbourPacket, tcpPacket, udpPacket } from "./packets.ts";
import { PEER, POD, type Program, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

const HOST = { identity: 1, v4: "10.1.0.1" } as const;
const OTHER = { v4: "10.1.0.6", v6: "fd00:1::6" } as const;
const LINK_LOCAL = "fe80::5";
const ALL_NODES = "ff02::1";
const GATEWAY = "fd00:1::1";

let stage: Stage;
let scene: Scene;

before(async () => {
  stage = new Stage();
  scene = await Scene.open(stage);
});

after(() => stage.close());

beforeEach(async () => {
  await scene.reset();
  await scene.known(HOST.identity, HOST.v4, GATEWAY);
});

function passes(program: Program, packet: Uint8Array): void {
  const { dropped, events } = scene.run(program, packet);
  assert(!dropped, JSON.stringify(events));
}

function drops(program: Program, packet: Uint8Array, reason: DropReason): void {
  const { dropped, events } = scene.run(program, packet);
  assert(dropped);
  assert.deepEqual(
    events.map((event) => [event.kind, event.verdict, event.reason]),
    [["dropped", "dropped", reason]],
  );
}

const families = ["v4", "v6"] as const;
const tcp = (source: string, destination: string): Buffer =>
  tcpPacket({ source, destination, sourcePort: 40_000, destinationPort: 80 });
const icmpv6 = (source: string, destination: string, type: number, hopLimit = 255): Buffer =>
  icmpPacket({ source, destination, hopLimit }, type, Buffer.alloc(16));

describe("an address that is not the workload's", () => {
  for (const family of families) {
    test(`${family}: its own passes, another's is spoofed`, () => {
      passes("from_endpoint", tcp(POD[family], PEER[family]));
      drops("from_endpoint", tcp(OTHER[family], PEER[family]), "spoofed-source");
    });
    test(`${family}: is not looked at while nothing is enforced on a workload that is not known`, async () => {
      await scene.endpoint({ flags: ENDPOINT_FLAGS.unverified });
      passes("from_endpoint", tcp(OTHER[family], PEER[family]));
    });
  }
  test("ARP", () => {
    passes("from_endpoint", arpPacket({ source: POD.v4, destination: OTHER.v4 }));
    passes("from_endpoint", arpPacket({ source: "0.0.0.0", destination: POD.v4 }));
    passes("to_endpoint", arpPacket({ source: OTHER.v4, destination: POD.v4 }));
    drops("from_endpoint", arpPacket({ source: OTHER.v4, destination: PEER.v4 }, 2), "spoofed-source");
    drops("from_endpoint", ethernet(0x0806, Buffer.alloc(10)), "malformed");
  });
  test("link-local addresses are for upkeep only", () => {
    drops("from_endpoint", tcp(LINK_LOCAL, PEER.v6), "spoofed-source");
  });
});

test("who the other end is, is told of such drops too", async () => {
  const spoofed = scene.run("from_endpoint", tcp(OTHER.v4, PEER.v4));
  assert.deepEqual(spoofed.events[0]?.identities, [POD.identity, PEER.identity]);
  await scene.noEndpoint();
  const unknown = scene.run("to_endpoint", tcp(PEER.v6, POD.v6));
  assert.deepEqual(unknown.events[0]?.identities, [PEER.identity, 0]);
});

describe("a workload that is not known", () => {
  const unknown = [
    ["no entry", () => scene.noEndpoint()],
    ["denied", () => scene.endpoint({ flags: ENDPOINT_FLAGS.denied })],
  ] as const;
  for (const [what, arrange] of unknown) {
    test(`${what}: packets are dropped both ways`, async () => {
      await arrange();
      for (const family of families) {
        drops("from_endpoint", tcp(POD[family], PEER[family]), "endpoint-unknown");
        drops("to_endpoint", tcp(PEER[family], POD[family]), "endpoint-unknown");
      }
      drops("from_endpoint", ethernet(0x88cc, Buffer.alloc(46)), "endpoint-unknown");
    });
    test(`${what}: ARP, neighbour discovery, MLD and DHCP pass`, async () => {
      await arrange();
      passes("from_endpoint", arpPacket({ source: POD.v4, destination: OTHER.v4 }));
      passes("to_endpoint", arpPacket({ source: OTHER.v4, destination: POD.v4 }, 2));
      for (const [program, packet] of UPKEEP) passes(program, packet);
      for (const [program, packet] of NOT_QUITE) drops(program, packet, "endpoint-unknown");
    });
  }
});

const dhcp = (source: string, destination: string, sourcePort: number, destinationPort: number): Buffer =>
  udpPacket({ source, destination, sourcePort, destinationPort });

const UPKEEP: readonly (readonly [Program, Buffer])[] = [
  ["from_endpoint", dhcp("0.0.0.0", "255.255.255.255", 68, 67)],
  ["to_endpoint", dhcp(HOST.v4, POD.v4, 67, 68)],
  ["to_endpoint", dhcp(OTHER.v4, "255.255.255.255", 67, 68)],
  ["from_endpoint", dhcp(POD.v4, HOST.v4, 68, 67)],
  ["from_endpoint", dhcp(LINK_LOCAL, "ff02::1:2", 546, 547)],
  ["to_endpoint", dhcp("fe80::1", LINK_LOCAL, 547, 546)],
  ["from_endpoint", icmpv6(LINK_LOCAL, "ff02::2", 133)],
  ["from_endpoint", neighbourPacket({ source: "::", destination: "ff02::1:ff00:5" }, 135, POD.v6)],
  ["from_endpoint", neighbourPacket({ source: POD.v6, destination: GATEWAY }, 135, GATEWAY)],
  ["from_endpoint", neighbourPacket({ source: POD.v6, destination: GATEWAY }, 136, POD.v6)],
  ["from_endpoint", neighbourPacket({ source: LINK_LOCAL, destination: GATEWAY }, 136, LINK_LOCAL)],
  ["from_endpoint", icmpv6(LINK_LOCAL, "ff02::16", 143, 1)],
  ["to_endpoint", neighbourPacket({ source: GATEWAY, destination: POD.v6 }, 135, POD.v6)],
  ["to_endpoint", neighbourPacket({ source: GATEWAY, destination: POD.v6 }, 136, GATEWAY)],
  ["to_endpoint", icmpv6("fe80::1", ALL_NODES, 134)],
  ["to_endpoint", icmpv6("fe80::1", ALL_NODES, 130, 1)],
];

/** The same ports and types, but not what they pretend to be. */
const NOT_QUITE: readonly (readonly [Program, Buffer])[] = [
  ["from_endpoint", dhcp("0.0.0.0", "255.255.255.255", 67, 68)],
  ["from_endpoint", dhcp(POD.v6, PEER.v6, 68, 67)],
  ["to_endpoint", dhcp(HOST.v4, POD.v4, 68, 67)],
  ["from_endpoint", icmpv6(LINK_LOCAL, "ff02::2", 133, 64)],
  ["from_endpoint", icmpv6(LINK_LOCAL, "ff02::16", 143, 64)],
  ["to_endpoint", icmpv6("fe80::1", ALL_NODES, 134, 254)],
  ["to_endpoint", icmpv6("fe80::1", ALL_NODES, 133, 64)],
];

test("upkeep passes where everything else is denied, and leaves no flow", async () => {
  await scene.enforce("ingress", []);
  for (const [program, packet] of UPKEEP) if (program === "to_endpoint") passes(program, packet);
  await scene.enforce("egress", []);
  for (const [program, packet] of UPKEEP) if (program === "from_endpoint") passes(program, packet);
  assert.equal((await scene.flows()).size, 0);
  drops(
    "from_endpoint",
    udpPacket({ source: POD.v4, destination: PEER.v4, sourcePort: 68, destinationPort: 53 }),
    "policy-denied",
  );
});

test("upkeep in another's name is spoofed", () => {
  for (const packet of [
    dhcp(OTHER.v4, "255.255.255.255", 68, 67),
    dhcp(OTHER.v6, "ff02::1:2", 546, 547),
    neighbourPacket({ source: OTHER.v6, destination: GATEWAY }, 135, GATEWAY),
    neighbourPacket({ source: POD.v6, destination: GATEWAY }, 136, OTHER.v6),
    neighbourPacket({ source: LINK_LOCAL, destination: GATEWAY }, 136, GATEWAY),
    icmpv6(OTHER.v6, "ff02::16", 143, 1),
  ]) {
    drops("from_endpoint", packet, "spoofed-source");
  }
});

test("a workload is no router", async () => {
  for (const type of [134, 137]) drops("from_endpoint", icmpv6(LINK_LOCAL, ALL_NODES, type), "router-advertisement");
  await scene.endpoint({ flags: ENDPOINT_FLAGS.denied });
  drops("from_endpoint", icmpv6(POD.v6, ALL_NODES, 134), "router-advertisement");
  await scene.endpoint({ flags: ENDPOINT_FLAGS.unverified });
  passes("from_endpoint", icmpv6(POD.v6, ALL_NODES, 137));
});

test("neither IP nor ARP: its sender cannot be checked", async () => {
  const frame = ethernet(0x88cc, Buffer.alloc(46));
  drops("from_endpoint", frame, "unsupported-protocol");
  passes("to_endpoint", frame);
  await scene.enforce("ingress", []);
  const { dropped } = scene.run("to_endpoint", frame);
  assert(dropped);
  await scene.endpoint({ flags: ENDPOINT_FLAGS.unverified });
  passes("from_endpoint", frame);
});
