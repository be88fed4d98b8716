// Connections: answers pass on their entry, the own direction is judged every time, and entries end.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { ENDPOINT_FLAGS } from "../../src/maps/endpoint-map.ts";
import { echoReply, echoRequest, sctpPacket, TCP, tcpPacket, udpPacket, unreachable } from "./packets.ts";
import { PEER, POD, type PolicyEntry, type Program, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

const FLAGS = { answered: 1, fin: 2, finAnswer: 4, reset: 8, audited: 32, refused: 64 } as const;
const SECOND = 1_000_000_000;
const ROUTER = { v4: "10.9.9.9", v6: "fd00:9::9" } as const;

let stage: Stage;
let scene: Scene;

before(async () => {
  stage = new Stage();
  scene = await Scene.open(stage);
});

after(() => stage.close());

beforeEach(() => scene.reset());

const families = ["v4", "v6"] as const;
type Family = (typeof families)[number];

/** A connection as the endpoint sees it: which program sees its own direction, which its answers, and who is at its ends. */
interface Side {
  readonly direction: "ingress" | "egress";
  readonly number: number;
  readonly forward: Program;
  readonly backward: Program;
  readonly client: typeof POD | typeof PEER;
  readonly server: typeof POD | typeof PEER;
}

const SIDES: readonly Side[] = [
  {
    direction: "egress",
    number: 1,
    forward: "from_endpoint",
    backward: "to_endpoint",
    client: POD,
    server: PEER,
  },
  {
    direction: "ingress",
    number: 0,
    forward: "to_endpoint",
    backward: "from_endpoint",
    client: PEER,
    server: POD,
  },
];

const ALLOWED: readonly PolicyEntry[] = [{ identity: PEER.identity, rule: 5 }];

function passes(program: Program, packet: Uint8Array): void {
  assert(!scene.run(program, packet).dropped);
}

function drops(program: Program, packet: Uint8Array): void {
  assert(scene.run(program, packet).dropped);
}

/** Seconds until the only connection ends, rounded: it was touched just now. */
async function secondsLeft(direction: number): Promise<number> {
  const entry = await scene.connection(direction);
  const flows = [...(await scene.flows()).values()];
  const last = flows.reduce((latest, { lastNs }) => (lastNs > latest ? lastNs : latest), 0n);
  return Math.round(Number(entry.expiresNs - last) / SECOND);
}

/** One connection of a side's: its packets, and a policy that allows nothing but its own direction. */
function lineOf(side: Side, family: Family) {
  const there = {
    source: side.client[family],
    destination: side.server[family],
    sourcePort: 40_000,
    destinationPort: 80,
  };
  const back = {
    source: there.destination,
    destination: there.source,
    sourcePort: there.destinationPort,
    destinationPort: there.sourcePort,
  };
  return {
    ...side,
    family,
    there,
    back,
    tcp: (flags: number): Buffer => tcpPacket({ ...there, flags }),
    answer: (flags: number): Buffer => tcpPacket({ ...back, flags }),
    onlyForward: async (flags = 0): Promise<void> => {
      await scene.enforce("ingress", side.direction === "ingress" ? ALLOWED : []);
      await scene.enforce("egress", side.direction === "egress" ? ALLOWED : []);
      await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2, flags });
    },
  };
}

type Line = ReturnType<typeof lineOf>;

function tcpStates({ number, forward, backward, back, tcp, answer, onlyForward }: Line): void {
  test("TCP: an answer passes with its connection, and not without", async () => {
    await onlyForward();
    drops(backward, answer(TCP.syn | TCP.ack));
    passes(forward, tcp(TCP.syn));
    passes(backward, answer(TCP.syn | TCP.ack));
    passes(backward, answer(TCP.ack));
    drops(backward, tcpPacket({ ...back, sourcePort: 81, flags: TCP.ack }));
    drops(backward, tcpPacket({ ...back, destinationPort: 40_001, flags: TCP.ack }));
    drops(backward, udpPacket(back));
  });
  test("TCP: a SYN against the connection is a connection of its own", async () => {
    await onlyForward();
    passes(forward, tcp(TCP.syn));
    drops(backward, answer(TCP.syn));
    passes(backward, answer(TCP.ack));
  });
  test("TCP: opening, established, half closed, closed, and anew", async () => {
    await onlyForward();
    passes(forward, tcp(TCP.syn));
    assert.equal(await secondsLeft(number), 60);
    passes(backward, answer(TCP.syn | TCP.ack));
    passes(forward, tcp(TCP.ack));
    assert.equal((await scene.connection(number)).flags, FLAGS.answered);
    assert.equal(await secondsLeft(number), 8000);
    passes(forward, tcp(TCP.fin | TCP.ack));
    assert.equal((await scene.connection(number)).flags, FLAGS.answered | FLAGS.fin);
    assert.equal(await secondsLeft(number), 8000);
    passes(backward, answer(TCP.fin | TCP.ack));
    const closed = await scene.connection(number);
    assert.equal(closed.flags, FLAGS.answered | FLAGS.fin | FLAGS.finAnswer);
    assert.equal(await secondsLeft(number), 10);
    passes(forward, tcp(TCP.ack));
    assert.equal((await scene.connection(number)).expiresNs, closed.expiresNs, "the last ACK keeps nothing");
    passes(forward, tcp(TCP.syn));
    const { flags, packets } = await scene.connection(number);
    assert.deepEqual([flags, packets], [0, 1n]);
    assert.equal(await secondsLeft(number), 60);
  });
  for (const [what, program, packet] of [
    ["its opener", forward, tcp(TCP.rst)],
    ["the other end", backward, answer(TCP.rst | TCP.ack)],
  ] as const) {
    test(`TCP: a reset by ${what} closes`, async () => {
      await onlyForward();
      passes(forward, tcp(TCP.syn));
      passes(program, packet);
      assert.notEqual((await scene.connection(number)).flags & FLAGS.reset, 0);
      assert.equal(await secondsLeft(number), 10);
    });
  }
}

function tcpEnds({ direction, number, forward, backward, tcp, answer, onlyForward }: Line): void {
  test("TCP: the other way round over a closed connection, judged by its own rules alone", async () => {
    await onlyForward();
    passes(forward, tcp(TCP.syn));
    passes(backward, answer(TCP.rst | TCP.ack));
    const other = direction === "ingress" ? "egress" : "ingress";
    await scene.enforce(other, ALLOWED);
    passes(backward, answer(TCP.syn));
    await scene.connection(1 - number);
    await scene.enforce(other, []);
    drops(backward, answer(TCP.ack));
  });
  test("past its time an entry is as if absent", async () => {
    await onlyForward();
    passes(forward, tcp(TCP.syn));
    passes(backward, answer(TCP.ack));
    await scene.expireConnections();
    drops(backward, answer(TCP.ack));
    passes(forward, tcp(TCP.ack));
    passes(backward, answer(TCP.ack));
  });
  test("what is no longer allowed ends at once, with its answers", async () => {
    await onlyForward();
    passes(forward, tcp(TCP.syn));
    passes(backward, answer(TCP.ack));
    await scene.enforce(direction, []);
    await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2 });
    passes(backward, answer(TCP.ack));
    drops(forward, tcp(TCP.ack));
    assert.equal((await scene.connection(number)).flags, FLAGS.answered | FLAGS.refused);
    drops(backward, answer(TCP.ack));
  });
}

function otherProtocols({ number, forward, backward, there, back, tcp, answer, onlyForward }: Line): void {
  test("the entry names peer, rule, packets and bytes", async () => {
    await onlyForward();
    passes(forward, tcp(TCP.syn));
    passes(backward, answer(TCP.ack));
    passes(forward, tcp(TCP.ack));
    const { identity, rule, packets, bytes } = await scene.connection(number);
    assert.deepEqual([identity, rule, packets, bytes], [PEER.identity, 5, 3n, BigInt(3 * tcp(0).length)]);
  });
  test("UDP: 60 s, 180 s when answered", async () => {
    await onlyForward();
    drops(backward, udpPacket(back));
    passes(forward, udpPacket(there));
    assert.equal(await secondsLeft(number), 60);
    passes(backward, udpPacket(back));
    assert.equal(await secondsLeft(number), 180);
    passes(forward, udpPacket(there));
    assert.equal(await secondsLeft(number), 180);
    drops(backward, udpPacket({ ...back, sourcePort: 53 }));
  });
  test("SCTP", async () => {
    await onlyForward();
    drops(backward, sctpPacket(back));
    passes(forward, sctpPacket(there));
    passes(backward, sctpPacket(back));
  });
  test("ICMP echo: the reply passes by its id, a reply alone opens nothing", async () => {
    await onlyForward();
    drops(backward, echoReply({ ...back, id: 7 }));
    passes(forward, echoRequest({ ...there, id: 7 }));
    assert.equal(await secondsLeft(number), 30);
    passes(backward, echoReply({ ...back, id: 7 }));
    drops(backward, echoReply({ ...back, id: 8 }));
    drops(backward, echoRequest({ ...back, id: 7 }));
    passes(forward, echoReply({ ...there, id: 9 }));
    drops(backward, echoRequest({ ...back, id: 9 }));
  });
}

function auditAndErrors({
  family,
  direction,
  number,
  forward,
  backward,
  there,
  back,
  tcp,
  answer,
  onlyForward,
}: Line): void {
  test("audit lets connections through with their answers, and marks both", async () => {
    const { auditIngress, auditEgress } = ENDPOINT_FLAGS;
    await onlyForward(direction === "ingress" ? auditIngress : auditEgress);
    await scene.enforce(direction, []);
    await scene.endpoint({
      ingressPolicy: 1,
      egressPolicy: 2,
      flags: direction === "ingress" ? auditIngress : auditEgress,
    });
    passes(forward, tcp(TCP.syn));
    passes(backward, answer(TCP.syn | TCP.ack));
    assert.equal((await scene.connection(number)).flags, FLAGS.audited | FLAGS.answered);
    const [flow] = [...(await scene.flows()).values()];
    assert.deepEqual([flow?.verdict, flow?.reason, flow?.packets], [3, 1, 2n]);
  });
  test("ICMP errors pass about this connection only, both ways", async () => {
    await onlyForward();
    const about = udpPacket(there);
    const toClient = unreachable(back, about);
    const fromRouter = unreachable({ source: ROUTER[family], destination: there.source }, about);
    const aboutAnswer = unreachable(there, udpPacket(back));
    const client = direction === "egress" ? "to_endpoint" : "from_endpoint";
    drops(client, toClient);
    passes(forward, about);
    passes(client, toClient);
    if (client === "to_endpoint") passes(client, fromRouter);
    else drops(client, fromRouter);
    const otherPort = { ...there, destinationPort: 81 };
    drops(client, unreachable(back, udpPacket(otherPort)));
    drops(client, unreachable(back, tcpPacket(there)));
    const elsewhere = { source: back.source, destination: ROUTER[family] };
    if (client === "from_endpoint") drops(client, unreachable(elsewhere, about));
    await scene.enforce(direction, []);
    await scene.endpoint({ ingressPolicy: 1, egressPolicy: 2 });
    passes(forward, aboutAnswer);
    drops(forward, unreachable(there, udpPacket({ ...back, sourcePort: 81 })));
  });
}

for (const family of families) {
  for (const side of SIDES) {
    describe(`${side.direction} ${family}`, () => {
      const line = lineOf(side, family);
      tcpStates(line);
      tcpEnds(line);
      otherProtocols(line);
      auditAndErrors(line);
    });
  }
}

test("open directions keep connections too, so that their answers pass", async () => {
  await scene.enforce("ingress", []);
  const there = { source: POD.v4, destination: PEER.v4, sourcePort: 40_000, destinationPort: 80 };
  passes("from_endpoint", udpPacket(there));
  passes("to_endpoint", udpPacket({ source: PEER.v4, destination: POD.v4, sourcePort: 80, destinationPort: 40_000 }));
});

test("nobody can speak about the connections of others on the node", async () => {
  await scene.enforce("egress", []);
  await scene.addresses(["10.1.0.77"]);
  const connection = { source: PEER.v4, destination: "10.1.0.77", sourcePort: 1, destinationPort: 2 };
  passes("to_endpoint", udpPacket(connection));
  passes("from_endpoint", unreachable({ source: "10.1.0.77", destination: PEER.v4 }, udpPacket(connection)));
  drops("from_endpoint", unreachable({ source: POD.v4, destination: PEER.v4 }, udpPacket(connection)));
});
