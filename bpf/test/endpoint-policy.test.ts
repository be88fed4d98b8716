// What the policy maps say to an identity, a protocol and a port; who is behind an address; audit.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { ENDPOINT_FLAGS } from "../../src/maps/endpoint-map.ts";
import { echoRequest, icmpPacket, ipPacket, PROTOCOL, sctpPacket, tcpPacket, udpPacket } from "./packets.ts";
import { INGRESS_SLOT, PEER, POD, type PolicyEntry, Scene } from "./scene.ts";
import { Stage } from "./stage.ts";

const { TCP, UDP, ICMP, ICMPv6, SCTP } = PROTOCOL;
const ANYBODY = 0;
const STRANGER = { v4: "192.0.2.7", v6: "2001:db8::7" } as const;

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
type Direction = "ingress" | "egress";

/** Each packet is a connection of its own. */
let sourcePort = 1024;

function packetOf(
  direction: Direction,
  family: Family,
  protocol: number,
  port: number,
  peer: string = PEER[family],
): Buffer {
  const [source, destination] = direction === "egress" ? [POD[family], peer] : [peer, POD[family]];
  const ports = { source, destination, sourcePort: sourcePort++, destinationPort: port };
  if (protocol === TCP) return tcpPacket(ports);
  if (protocol === UDP) return udpPacket(ports);
  if (protocol === SCTP) return sctpPacket(ports);
  if (protocol === ICMP || protocol === ICMPv6) return icmpPacket(ports, port, Buffer.alloc(4));
  return ipPacket(ports, protocol, Buffer.alloc(20));
}

/** `verdict reason rule` of a packet, as its event tells. */
function judged(direction: Direction, packet: Uint8Array): string {
  const { dropped, events } = scene.run(direction === "egress" ? "from_endpoint" : "to_endpoint", packet);
  assert.equal(events.length, 1, JSON.stringify(events));
  const [event] = events;
  assert.equal(event?.verdict === "dropped", dropped);
  return `${event?.verdict} ${event?.reason} ${event?.rule}`;
}

interface Case {
  readonly what: string;
  readonly entries: readonly PolicyEntry[];
  /** `protocol/port` (ICMP: type) to `verdict reason rule`. */
  readonly expected: Readonly<Record<string, string>>;
}

const DENIED = "dropped policy-denied 0";
const peer = PEER.identity;

const CASES: readonly Case[] = [
  { what: "nothing is allowed", entries: [], expected: { "6/80": DENIED, "17/53": DENIED, "47/0": DENIED } },
  {
    what: "identity and port",
    entries: [{ identity: peer, protocol: TCP, port: [80, 16], rule: 5 }],
    expected: { "6/80": "allowed forwarded 5", "6/81": DENIED, "17/80": DENIED, "132/80": DENIED },
  },
  {
    what: "identity and protocol",
    entries: [{ identity: peer, protocol: UDP, rule: 6 }],
    expected: { "17/53": "allowed forwarded 6", "17/65535": "allowed forwarded 6", "6/53": DENIED },
  },
  {
    what: "identity alone",
    entries: [{ identity: peer, rule: 7 }],
    expected: { "6/1": "allowed forwarded 7", "132/9": "allowed forwarded 7", "47/0": "allowed forwarded 7" },
  },
  {
    what: "another identity",
    entries: [{ identity: peer + 1, rule: 7 }],
    expected: { "6/1": DENIED },
  },
  {
    what: "anybody at a port",
    entries: [{ identity: ANYBODY, protocol: TCP, port: [443, 16], rule: 8 }],
    expected: { "6/443": "allowed forwarded 8", "6/442": DENIED },
  },
  {
    what: "a range of ports: 8080 to 8095 by prefix",
    entries: [{ identity: peer, protocol: TCP, port: [8080, 12], rule: 9 }],
    expected: { "6/8080": "allowed forwarded 9", "6/8095": "allowed forwarded 9", "6/8096": DENIED, "6/8079": DENIED },
  },
  {
    what: "SCTP is a protocol like others",
    entries: [{ identity: peer, protocol: SCTP, port: [9, 16], rule: 1 }],
    expected: { "132/9": "allowed forwarded 1", "132/10": DENIED },
  },
  {
    what: "a protocol without ports",
    entries: [{ identity: peer, protocol: 47, rule: 2 }],
    expected: { "47/0": "allowed forwarded 2", "50/0": DENIED },
  },
  {
    what: "deny for the identity beats allow for anybody",
    entries: [
      { identity: peer, deny: true, rule: 10 },
      { identity: ANYBODY, protocol: TCP, port: [80, 16], rule: 11 },
    ],
    expected: { "6/80": "dropped policy-deny-rule 10", "6/81": "dropped policy-deny-rule 10" },
  },
  {
    what: "deny for anybody beats allow for the identity, however exact",
    entries: [
      { identity: peer, protocol: TCP, port: [80, 16], rule: 12 },
      { identity: ANYBODY, deny: true, rule: 13 },
    ],
    expected: { "6/80": "dropped policy-deny-rule 13", "17/80": "dropped policy-deny-rule 13" },
  },
  {
    what: "two allow: the longer match names the rule, at equal length the identity's",
    entries: [
      { identity: peer, rule: 20 },
      { identity: peer, protocol: TCP, port: [443, 16], rule: 21 },
      { identity: ANYBODY, protocol: TCP, port: [80, 16], rule: 22 },
      { identity: ANYBODY, protocol: TCP, port: [443, 16], rule: 23 },
      { identity: ANYBODY, protocol: TCP, port: [8080, 12], rule: 24 },
      { identity: ANYBODY, protocol: UDP, rule: 25 },
    ],
    expected: {
      "6/80": "allowed forwarded 22",
      "6/443": "allowed forwarded 21",
      "6/8081": "allowed forwarded 24",
      "17/1": "allowed forwarded 25",
      "132/1": "allowed forwarded 20",
    },
  },
  {
    what: "two deny: the longer match names the rule",
    entries: [
      { identity: peer, deny: true, rule: 30 },
      { identity: ANYBODY, protocol: TCP, port: [80, 16], deny: true, rule: 31 },
    ],
    expected: { "6/80": "dropped policy-deny-rule 31", "6/81": "dropped policy-deny-rule 30" },
  },
  {
    what: "an exception inside a denied range is hidden from the kernel by no other row",
    entries: [
      { identity: peer, protocol: TCP, rule: 40 },
      { identity: peer, protocol: TCP, port: [22, 16], deny: true, rule: 41 },
    ],
    expected: { "6/80": "allowed forwarded 40", "6/22": "dropped policy-deny-rule 41" },
  },
];

for (const direction of ["ingress", "egress"] as const) {
  for (const family of families) {
    describe(`${direction} ${family}`, () => {
      for (const { what, entries, expected } of CASES) {
        test(what, async () => {
          await scene.enforce(direction, entries);
          for (const [tuple, outcome] of Object.entries(expected)) {
            const [protocol = 0, port = 0] = tuple.split("/").map(Number);
            assert.equal(judged(direction, packetOf(direction, family, protocol, port)), outcome, tuple);
          }
        });
      }
      test("ICMP by type", async () => {
        const [protocol, type, other] = family === "v4" ? [ICMP, 8, 13] : [ICMPv6, 128, 129];
        await scene.enforce(direction, [{ identity: peer, protocol, port: [type, 16], rule: 3 }]);
        assert.equal(judged(direction, packetOf(direction, family, protocol, type)), "allowed forwarded 3");
        assert.equal(judged(direction, packetOf(direction, family, protocol, other)), DENIED);
      });
      test("the other direction is open", async () => {
        await scene.enforce(direction, []);
        const other = direction === "ingress" ? "egress" : "ingress";
        assert.equal(judged(other, packetOf(other, family, TCP, 80)), "allowed forwarded 0");
      });
      test("who is behind an address", async () => {
        const stranger = STRANGER[family];
        const ask = (): string => judged(direction, packetOf(direction, family, TCP, 80, stranger));
        const world = family === "v4" ? 9 : 10;
        await scene.enforce(direction, [
          { identity: world, rule: 1 },
          { identity: 2 ** 24, rule: 2 },
        ]);
        assert.equal(ask(), "allowed forwarded 1", "world");
        await scene.cidr(family === "v4" ? "192.0.2.0/24" : "2001:db8::/32", 2 ** 24);
        assert.equal(ask(), "allowed forwarded 2", "a CIDR of a policy");
        await scene.cidr(family === "v4" ? "192.0.2.0/25" : "2001:db8::/64", 2 ** 24 + 1);
        assert.equal(ask(), DENIED, "a longer one, of another identity");
        await scene.cidr(family === "v4" ? "192.0.2.7/32" : "2001:db8::7/128", "claimed");
        assert.equal(ask(), "dropped identity-unknown 0");
        await scene.known(2 ** 24, stranger);
        assert.equal(ask(), "allowed forwarded 2", "an entry of its own comes before every CIDR");
      });
      test("an unknown identity is dropped before any rule is asked, and passes where nothing is enforced", async () => {
        await scene.cidr(family === "v4" ? "192.0.2.0/24" : "2001:db8::/32", "claimed");
        const packet = (): Buffer => packetOf(direction, family, TCP, 80, STRANGER[family]);
        assert.equal(judged(direction, packet()), "allowed forwarded 0");
        await scene.enforce(direction, [{ identity: ANYBODY, rule: 1 }]);
        assert.equal(judged(direction, packet()), "dropped identity-unknown 0");
      });
      test("a slot without a map drops", async () => {
        await scene.endpoint(
          direction === "ingress" ? { ingressPolicy: INGRESS_SLOT } : { egressPolicy: INGRESS_SLOT },
        );
        assert.equal(judged(direction, packetOf(direction, family, TCP, 80)), "dropped policy-missing 0");
        await scene.endpoint(direction === "ingress" ? { ingressPolicy: 1_000_000 } : { egressPolicy: 1_000_000 });
        assert.equal(judged(direction, packetOf(direction, family, TCP, 80)), "dropped policy-missing 0");
      });
      test("audit lets through what no rule allows, not what a rule denies", async () => {
        const { auditIngress, auditEgress } = ENDPOINT_FLAGS;
        const [own, other] = direction === "ingress" ? [auditIngress, auditEgress] : [auditEgress, auditIngress];
        const entries = [{ identity: peer, protocol: TCP, port: [22, 16], deny: true, rule: 4 }] as const;
        await scene.cidr(family === "v4" ? "192.0.2.0/24" : "2001:db8::/32", "claimed");
        await scene.enforce(direction, entries, own);
        const unknown = (): Buffer => packetOf(direction, family, TCP, 80, STRANGER[family]);
        assert.equal(judged(direction, packetOf(direction, family, TCP, 80)), "audited policy-denied 0");
        assert.equal(judged(direction, unknown()), "audited identity-unknown 0");
        assert.equal(judged(direction, packetOf(direction, family, TCP, 22)), "dropped policy-deny-rule 4");
        await scene.enforce(direction, entries, other);
        assert.equal(judged(direction, packetOf(direction, family, TCP, 80)), DENIED);
        assert.equal(judged(direction, unknown()), "dropped identity-unknown 0");
      });
    });
  }
}

test("both identities are in the event", async () => {
  await scene.enforce("ingress", []);
  const { events } = scene.run("to_endpoint", packetOf("ingress", "v4", TCP, 80));
  assert.deepEqual(events[0]?.identities, [PEER.identity, POD.identity]);
  await scene.enforce("egress", []);
  const out = scene.run("from_endpoint", echoRequest({ source: POD.v6, destination: STRANGER.v6, id: 1 }));
  assert.deepEqual(out.events[0]?.identities, [POD.identity, 10]);
});
