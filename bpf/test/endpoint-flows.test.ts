// What is told of packets: flows counted, events for what is new, dropped or changed, and counters by verdict.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { testRun } from "../../src/kernel/test-run.ts";
import { FLOW_MAP } from "../../src/maps/flow-map.ts";
import { countersOf } from "./entries.ts";
import { arpPacket, echoReply, echoRequest, TCP, tcpPacket, udpPacket, unreachable } from "./packets.ts";
import { DROP_PACKET, IFINDEX, PEER, POD, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

/** A record of 72 bytes and its header, in 4 MiB; a ring is never quite full. */
const RING_EVENTS = Math.floor((4 * 1024 * 1024) / 80);
const LOST_EVENTS = 100;
const SOURCE_PORT_AT = 34;
const SECOND = 1_000_000_000n;

let stage: Stage;
let scene: Scene;

before(async () => {
  stage = new Stage();
  scene = await Scene.open(stage);
});

after(() => stage.close());

beforeEach(() => scene.reset());

const there = { source: PEER.v4, destination: POD.v4, sourcePort: 40_000, destinationPort: 80 } as const;
const back = { source: POD.v4, destination: PEER.v4, sourcePort: 80, destinationPort: 40_000 } as const;
const FLOW = "10.2.0.9|40000>10.1.0.5|80/6 ingress";

const tcp = (flags: number): Buffer => tcpPacket({ ...there, flags });

/** Moves the flow's last report and last packet back, as if time had passed. */
async function age(seconds: bigint): Promise<void> {
  const map = scene.map("flows");
  const { keys, values, count } = await map.dump();
  assert.equal(count, 1);
  const view = new DataView(values.buffer, values.byteOffset);
  for (const name of ["last_ns", "event_ns"]) {
    const at = FLOW_MAP.value.fields.find((field) => field.name === name)?.offset ?? 0;
    view.setBigUint64(at, view.getBigUint64(at, true) - seconds * SECOND, true);
  }
  await map.update({ keys, values, count });
}

test("a connection is one flow, its answers among it, told once", async () => {
  await scene.enforce("ingress", [{ identity: PEER.identity, rule: 5 }]);
  const first = scene.run("to_endpoint", tcp(TCP.syn));
  assert.deepEqual(first.events, [
    {
      kind: "new",
      verdict: "allowed",
      reason: "forwarded",
      rule: 5,
      identities: [PEER.identity, POD.identity],
      flow: FLOW,
      ifindex: IFINDEX,
    },
  ]);
  for (let index = 0; index < 10; index++) assert.deepEqual(scene.run("to_endpoint", tcp(TCP.ack)).events, []);
  const answer = tcpPacket({ ...back, flags: TCP.ack, payload: Buffer.alloc(100) });
  assert.deepEqual(scene.run("from_endpoint", answer).events, []);
  const flows = await scene.flows();
  assert.deepEqual([...flows.keys()], [FLOW]);
  const flow = flows.get(FLOW);
  assert(flow !== undefined);
  assert.deepEqual([flow.packets, flow.bytes], [12n, BigInt(11 * tcp(0).length + answer.length)]);
  assert.deepEqual([flow.sourceIdentity, flow.destinationIdentity, flow.rule], [PEER.identity, POD.identity, 5]);
  assert(flow.firstNs < flow.lastNs && flow.eventNs === flow.firstNs);
});

test("drops of a flow are told at once, then once a second", async () => {
  await scene.enforce("ingress", []);
  const packet = tcp(TCP.syn);
  const [event] = scene.run("to_endpoint", packet).events;
  assert.deepEqual([event?.kind, event?.verdict, event?.reason], ["dropped", "dropped", "policy-denied"]);
  for (let index = 0; index < 50; index++) assert.deepEqual(scene.run("to_endpoint", packet).events, []);
  await age(1n);
  assert.equal(scene.run("to_endpoint", packet).events.length, 1);
  assert.equal(scene.run("to_endpoint", packet).events.length, 0);
  assert.equal((await scene.flows()).get(FLOW)?.packets, 53n);
});

test("a changed verdict is told at once, both ways", async () => {
  const allowed = [{ identity: PEER.identity, rule: 5 }] as const;
  scene.run("to_endpoint", tcp(TCP.syn));
  const kinds: (string | undefined)[] = [];
  for (const entries of [[], allowed, [{ ...allowed[0], deny: true }]]) {
    await scene.enforce("ingress", entries);
    const [event] = scene.run("to_endpoint", tcp(TCP.ack)).events;
    kinds.push(`${event?.kind} ${event?.reason} ${event?.rule}`);
  }
  assert.deepEqual(kinds, ["changed policy-denied 0", "changed forwarded 5", "changed policy-deny-rule 5"]);
});

test("another reason of a drop is a change", async () => {
  await scene.enforce("ingress", []);
  scene.run("to_endpoint", tcp(TCP.syn));
  await scene.noEndpoint();
  const [event] = scene.run("to_endpoint", tcp(TCP.syn)).events;
  assert.deepEqual([event?.kind, event?.reason], ["changed", "endpoint-unknown"]);
});

test("a flow that rested a minute is new again, and so is a connection on the ports of an old one", async () => {
  scene.run("to_endpoint", udpPacket(there));
  await age(59n);
  assert.equal(scene.run("to_endpoint", udpPacket(there)).events.length, 0);
  await age(61n);
  assert.equal(scene.run("to_endpoint", udpPacket(there)).events[0]?.kind, "new");
  scene.run("to_endpoint", tcp(TCP.syn));
  scene.run("to_endpoint", tcp(TCP.rst));
  assert.equal(scene.run("to_endpoint", tcp(TCP.syn)).events[0]?.kind, "new");
});

test("ICMP: the port is the message's type, for requests and replies alike", async () => {
  for (const id of [1, 2, 3]) {
    scene.run("to_endpoint", echoRequest({ ...there, id }));
    scene.run("from_endpoint", echoReply({ ...back, id }));
  }
  const flow = "10.2.0.9|0>10.1.0.5|8/1 ingress";
  const flows = await scene.flows();
  assert.deepEqual([...flows.keys()], [flow]);
  assert.equal(flows.get(flow)?.packets, 6n);
  assert.equal(
    scene.run("from_endpoint", unreachable(back, udpPacket(there))).events[0]?.flow,
    "10.1.0.5|0>10.2.0.9|3/1 egress",
  );
});

test("every packet is counted by verdict, reason and direction; upkeep too", async () => {
  const delta = async (action: () => Promise<void> | void): Promise<Record<string, readonly number[]>> => {
    const before_ = await scene.verdicts();
    await action();
    const grown: Record<string, readonly number[]> = {};
    for (const [name, [packets, bytes]] of await scene.verdicts()) {
      const [had, hadBytes] = before_.get(name) ?? [0, 0];
      if (packets > had) grown[name] = [packets - had, bytes - hadBytes];
    }
    return grown;
  };
  const length = tcp(0).length;
  assert.deepEqual(
    await delta(async () => {
      for (let index = 0; index < 3; index++) scene.run("to_endpoint", tcp(TCP.syn));
      await scene.enforce("ingress", []);
      for (let index = 0; index < 2; index++) scene.run("to_endpoint", tcp(TCP.syn));
    }),
    { "allowed forwarded ingress": [3, 3 * length], "dropped policy-denied ingress": [2, 2 * length] },
  );
  assert.deepEqual(await delta(() => void scene.run("from_endpoint", arpPacket(back))), {
    "allowed forwarded egress": [1, arpPacket(back).length],
  });
});

test("events that nobody fetches are lost, counted, and the flows are counted all the same", async () => {
  const full = await Scene.open(stage, { pinDirectory: `${stage.pins}/full`, maxEntries: { flows: 131_072 } });
  await full.reset();
  await full.enforce("ingress", []);
  const lost = async (): Promise<number> => (await countersOf(full.object))["events-lost"];
  const packet = tcp(TCP.syn);
  for (let port = 0; port < RING_EVENTS + LOST_EVENTS; port++) {
    packet.writeUInt16BE(port, SOURCE_PORT_AT);
    assert.equal(testRun(full.object, "to_endpoint", { packet, ifindex: IFINDEX }).verdict, DROP_PACKET);
  }
  assert.equal(await lost(), LOST_EVENTS);
  const [packets] = (await full.verdicts()).get("dropped policy-denied ingress") ?? [];
  assert.equal(packets, RING_EVENTS + LOST_EVENTS);
  assert.equal(full.events().length, RING_EVENTS);
  const other = udpPacket(there);
  assert.equal(full.run("to_endpoint", other).events.length, 1, "with room again they are told");
  assert.equal(await lost(), LOST_EVENTS);
});
