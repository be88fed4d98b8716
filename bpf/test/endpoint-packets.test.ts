// Packets that are not plain: pieces, IPv4 options, IPv6 extension headers, short ones, and rubbish.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  ETHER_TYPE,
  echoRequest,
  ethernet,
  type IpOptions,
  ip,
  ipPacket,
  PROTOCOL,
  TCP,
  tcpPacket,
  tcpSegment,
  udpDatagram,
  udpPacket,
} from "./packets.ts";
import { PEER, POD, type Program, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

const RANDOM_PACKETS = 6000;
/** The kernel runs no shorter ones. */
const SHORTEST_BYTES = 54;
const SEED = 20_261_122;

let stage: Stage;
let scene: Scene;

before(async () => {
  stage = new Stage();
  scene = await Scene.open(stage);
});

after(() => stage.close());

beforeEach(() => scene.reset());

function outcome(program: Program, packet: Uint8Array): string {
  const { dropped, events } = scene.run(program, packet);
  return dropped ? (events[0]?.reason ?? "dropped before") : "passes";
}

const ports = { sourcePort: 40_000, destinationPort: 80 } as const;
const allow80 = [{ identity: PEER.identity, protocol: PROTOCOL.UDP, port: [80, 16], rule: 1 }] as const;

for (const family of ["v4", "v6"] as const) {
  for (const [direction, program] of [
    ["ingress", "to_endpoint"],
    ["egress", "from_endpoint"],
  ] as const) {
    const ends =
      direction === "egress"
        ? { source: POD[family], destination: PEER[family] }
        : { source: PEER[family], destination: POD[family] };
    const datagram = (destinationPort: number): Buffer =>
      udpDatagram({ ...ends, ...ports, destinationPort }, Buffer.alloc(40, 1));
    const piece = (id: number, offset: number, bytes: Uint8Array, more: boolean, extra: IpOptions = {}): Buffer =>
      ipPacket(ends, PROTOCOL.UDP, bytes, { ...extra, piece: { id, offset, more } });

    describe(`pieces, ${direction} ${family}`, () => {
      test("the later ones follow the first, allowed or not", async () => {
        await scene.enforce(direction, allow80);
        assert.equal(outcome(program, piece(1, 0, datagram(80).subarray(0, 24), true)), "passes");
        assert.equal(outcome(program, piece(1, 24, datagram(80).subarray(24, 32), true)), "passes");
        assert.equal(outcome(program, piece(1, 32, datagram(80).subarray(32), false)), "passes");
        assert.equal(outcome(program, piece(2, 0, datagram(81).subarray(0, 24), true)), "policy-denied");
        assert.equal(outcome(program, piece(2, 24, datagram(81).subarray(24), false)), "dropped before");
      });
      test("before the first one they are unknown", async () => {
        await scene.enforce(direction, allow80);
        const later = piece(3, 24, datagram(80).subarray(24), false);
        assert.equal(outcome(program, later), "fragment-unknown");
        assert.equal(outcome(program, piece(3, 0, datagram(80).subarray(0, 24), true)), "passes");
        assert.equal(outcome(program, later), "passes");
        assert.equal(outcome(program, piece(4, 24, datagram(80).subarray(24), false)), "dropped before");
      });
      test("where nothing is enforced they pass", () => {
        assert.equal(outcome(program, piece(5, 24, datagram(80).subarray(24), false)), "passes");
      });
      test("a first one too small for its ports is malformed", async () => {
        await scene.enforce(direction, allow80);
        assert.equal(outcome(program, piece(6, 0, Buffer.alloc(4), true)), "malformed");
      });
      test("of an answer they pass with its connection", async () => {
        const other = direction === "ingress" ? "from_endpoint" : "to_endpoint";
        const back = { source: ends.destination, destination: ends.source };
        await scene.enforce(direction === "ingress" ? "egress" : "ingress", []);
        assert.equal(outcome(program, udpPacket({ ...ends, ...ports })), "passes");
        const answer = udpDatagram({ ...back, sourcePort: 80, destinationPort: 40_000 }, Buffer.alloc(40));
        const first = { piece: { id: 7, offset: 0, more: true } };
        const last = { piece: { id: 7, offset: 24, more: false } };
        assert.equal(outcome(other, ipPacket(back, PROTOCOL.UDP, answer.subarray(0, 24), first)), "passes");
        assert.equal(outcome(other, ipPacket(back, PROTOCOL.UDP, answer.subarray(24), last)), "passes");
      });
    });

    describe(`short ones, ${direction} ${family}`, () => {
      const whole = tcpPacket({ ...ends, ...ports });
      const headers = family === "v4" ? 34 : 54;
      // The kernel runs no frame that is shorter than a plain IP header.
      test("cut off right behind the IP header", () => {
        assert.equal(outcome(program, whole.subarray(0, headers)), "malformed");
      });
      test("shorter than the IP header says", () => {
        assert.equal(outcome(program, whole.subarray(0, whole.length - 1)), "malformed");
      });
      test("without a whole TCP header: dropped where something is enforced", async () => {
        const short = ipPacket(ends, PROTOCOL.TCP, tcpSegment({ ...ends, ...ports }, TCP.syn).subarray(0, 19));
        assert.equal(outcome(program, short), "passes");
        await scene.enforce(direction, [{ identity: PEER.identity }]);
        assert.equal(outcome(program, short), "malformed");
        assert.equal(outcome(program, whole), "passes");
      });
      test("padding behind the packet is not read as its header", async () => {
        await scene.enforce(direction, [{ identity: PEER.identity }]);
        const padded = Buffer.concat([ipPacket(ends, PROTOCOL.TCP, Buffer.alloc(4)), Buffer.alloc(40)]);
        assert.equal(outcome(program, padded), "malformed");
        assert.equal(outcome(program, Buffer.concat([whole, Buffer.alloc(6)])), "passes");
      });
      test("another IP version than the frame says", () => {
        const [type, other] = family === "v4" ? [ETHER_TYPE.ipv6, "v4"] : [ETHER_TYPE.ipv4, "v6"];
        assert.equal(other, family);
        assert.equal(outcome(program, ethernet(type, ip(ends, PROTOCOL.UDP, Buffer.alloc(60)))), "malformed");
      });
    });
  }
}

test("IPv4 header lengths that cannot be", () => {
  for (const words of [0, 4, 15]) {
    const packet = tcpPacket({ source: PEER.v4, destination: POD.v4, ...ports, sourcePort: words });
    packet[14] = 0x40 | words;
    assert.notEqual(outcome("to_endpoint", packet), "passes", `${words} words`);
  }
});

test("IPv4 options stand before the ports", async () => {
  const ends = { source: PEER.v4, destination: POD.v4 };
  await scene.enforce("ingress", allow80);
  const options = Buffer.from([1, 1, 1, 1, 1, 1, 1, 0]);
  assert.equal(outcome("to_endpoint", udpPacket({ ...ends, ...ports, options })), "passes");
  assert.equal(outcome("to_endpoint", udpPacket({ ...ends, ...ports, destinationPort: 81, options })), "policy-denied");
});

describe("IPv6 extension headers", () => {
  const ends = { source: PEER.v6, destination: POD.v6 };
  const hopByHop = { protocol: 0, rest: Buffer.from([0, 1, 4, 0, 0, 0, 0]) };
  const destination = { protocol: 60, rest: Buffer.concat([Buffer.from([1, 1, 12]), Buffer.alloc(12)]) };
  const routing = (left: number) => ({ protocol: 43, rest: Buffer.from([0, 4, left, 0, 0, 0, 0]) });
  const authentication = { protocol: 51, rest: Buffer.concat([Buffer.from([4, 0, 0]), Buffer.alloc(20)]) };
  const atomic = { protocol: 44, rest: Buffer.from([0, 0, 0, 0, 0, 0, 9]) };
  const cases: readonly (readonly [string, NonNullable<IpOptions["extensions"]>])[] = [
    ["hop-by-hop", [hopByHop]],
    ["all kinds", [hopByHop, destination, routing(0), authentication, atomic]],
    ["as many as are walked", [hopByHop, destination, destination, destination, destination, destination]],
  ];
  for (const [what, extensions] of cases) {
    test(`${what}: the ports behind them are judged`, async () => {
      await scene.enforce("ingress", allow80);
      assert.equal(outcome("to_endpoint", udpPacket({ ...ends, ...ports, extensions })), "passes");
      const other = udpPacket({ ...ends, ...ports, destinationPort: 81, extensions });
      assert.equal(outcome("to_endpoint", other), "policy-denied");
    });
  }
  test("a routing header with stations left hides the destination", () => {
    assert.equal(outcome("to_endpoint", udpPacket({ ...ends, ...ports, extensions: [routing(1)] })), "malformed");
  });
  test("more than are walked, and one longer than the packet", () => {
    const many = Array.from({ length: 7 }, () => destination);
    assert.equal(outcome("to_endpoint", udpPacket({ ...ends, ...ports, extensions: many })), "malformed");
    const long = { protocol: 60, rest: Buffer.from([200, 1, 4, 0, 0, 0, 0]) };
    assert.equal(
      outcome("to_endpoint", udpPacket({ ...ends, ...ports, sourcePort: 9, extensions: [long] })),
      "malformed",
    );
  });
});

/** xorshift32: the same packets each time. */
function* randomNumbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

/** A whole packet with some bytes changed and its end cut off, or bytes that were never a packet. */
function randomPacket(random: () => number): Buffer {
  const family = random() % 2 === 0 ? "v4" : "v6";
  const ends = { source: POD[family], destination: PEER[family] };
  const bases = [
    () => tcpPacket({ ...ends, ...ports, flags: random() % 64 }),
    () =>
      udpPacket({
        ...ends,
        ...ports,
        piece: { id: random() % 4, offset: 8 * (random() % 4), more: random() % 2 === 0 },
      }),
    () => echoRequest({ ...ends, id: random() % 8 }),
    () =>
      ipPacket(ends, random() % 256, Buffer.from(Array.from({ length: 20 + (random() % 44) }, () => random() % 256))),
    () => ethernet(random() % 65536, Buffer.from(Array.from({ length: 40 + (random() % 40) }, () => random() % 256))),
  ];
  const packet = bases[random() % bases.length]?.() ?? Buffer.alloc(14);
  for (let change = random() % 4; change > 0; change--) {
    packet[random() % 4 === 0 ? random() % packet.length : 14 + (random() % 40)] = random() % 256;
  }
  return packet.subarray(0, random() % 3 === 0 ? Math.max(SHORTEST_BYTES, random() % packet.length) : packet.length);
}

test(`${RANDOM_PACKETS} random packets: each passes or is dropped, and is counted`, async () => {
  const numbers = randomNumbers(SEED);
  const random = (): number => numbers.next().value;
  await scene.enforce("ingress", [{ identity: POD.identity, protocol: PROTOCOL.UDP }]);
  await scene.enforce("egress", [{ identity: PEER.identity }]);
  await scene.service({ address: PEER.v4, port: 80, protocol: "TCP" }, [
    { address: "10.3.0.1", port: 8080, protocol: "TCP" },
  ]);
  await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2 });
  const total = async (): Promise<number> =>
    [...(await scene.verdicts()).values()].reduce((sum, [packets]) => sum + packets, 0);
  const counted = await total();
  const seen = { dropped: 0, passed: 0 };
  for (let index = 0; index < RANDOM_PACKETS; index++) {
    const packet = randomPacket(random);
    const { dropped } = scene.run(index % 2 === 0 ? "from_endpoint" : "to_endpoint", packet);
    seen[dropped ? "dropped" : "passed"]++;
  }
  assert.equal((await total()) - counted, RANDOM_PACKETS);
  assert(seen.dropped > RANDOM_PACKETS / 20 && seen.passed > RANDOM_PACKETS / 20, JSON.stringify(seen));
});
