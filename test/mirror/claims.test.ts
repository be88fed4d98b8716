/** Whose an address is: every rule, and a model that is slow and obvious. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import fc from "fast-check";
import { Claims, MAX_NODE_RANGES, MAX_REMOTE_RANGES } from "../../src/mirror/claims.ts";
import type { Verdict } from "../../src/mirror/ownership.ts";
import { cidrContains, parseAddress, parseCidr } from "../../src/model/address.ts";
import { identityRange } from "../../src/model/cluster.ts";
import type { IpEntry, Node } from "../../src/model/resource.ts";

const IDS = { osaka: 2, virginia: 3, amsterdam: 1 } as const;
type Name = keyof typeof IDS;

let claims: Claims;
beforeEach(() => {
  claims = new Claims({ name: "amsterdam", id: 1 }, ["10.96.0.0/12"]);
  claims.setOwn({
    nodes: [node("amsterdam", { podCidrs: ["10.1.0.0/16"], addresses: ["172.16.1.1"] })],
    frontends: [],
    complete: true,
  });
});

interface Declared {
  readonly name?: string;
  readonly podCidrs?: readonly string[];
  readonly addresses?: readonly string[];
  readonly reserved?: readonly string[];
}

function node(cluster: Name, declared: Declared): Node {
  const { name = "n1", podCidrs = [], addresses = [], reserved = [] } = declared;
  return {
    cluster,
    clusterId: IDS[cluster],
    name,
    podCidrs,
    addresses: addresses.map((address) => ({ type: "InternalIP", address })),
    reservedAddresses: reserved,
    labels: new Map(),
  };
}

function ip(cluster: Name, address: string, more: Partial<IpEntry> = {}): IpEntry {
  const empty = { hostAddress: "", namespace: "", podName: "", serviceAccount: "", namedPorts: [] };
  return { address, identity: identityRange(IDS[cluster]).first, ...empty, ...more };
}

const word = (verdict: Verdict): string => (verdict.kind === "rejected" ? verdict.reason : verdict.kind);

function add(cluster: Name, declared: Declared): string {
  const ownership = claims.ownership(cluster);
  const value = node(cluster, declared);
  const verdict = ownership.judge("nodes", value);
  if (verdict.kind === "accepted") ownership.came("nodes", value.name, value);
  return word(verdict);
}

const judgeIp = (cluster: Name, address: string, more?: Partial<IpEntry>): string =>
  word(claims.ownership(cluster).judge("ip", ip(cluster, address, more)));

function judgeBackends(cluster: Name, ...backends: readonly string[]): string {
  const value = {
    cluster,
    clusterId: IDS[cluster],
    namespace: "shop",
    name: "cart",
    frontends: new Map(),
    backends: new Map(backends.map((address) => [address, []])),
    shared: true,
    labels: new Map(),
    selector: new Map(),
  };
  return word(claims.ownership(cluster).judge("services", value));
}

test("S04: an address counts inside the pod ranges that its cluster's nodes declare, and waits for a node elsewhere", () => {
  assert.equal(add("osaka", { podCidrs: ["10.2.0.0/16", "fd00:2::/48"], addresses: ["172.16.2.1"] }), "accepted");
  assert.equal(judgeIp("osaka", "10.2.3.4"), "accepted");
  assert.equal(judgeIp("osaka", "fd00:2::5"), "accepted");
  assert.equal(judgeIp("osaka", "172.16.2.1"), "accepted");
  assert.equal(judgeIp("osaka", "10.9.0.1"), "parked");
  assert.equal(judgeIp("osaka", "10.2.4.0", { bits: 24 }), "accepted");
  assert.equal(judgeIp("osaka", "10.0.0.0", { bits: 14 }), "foreign-address", "it holds a part of ours");
});

test("S04: nothing of ours may be spoken of: pod range, node address, service range", () => {
  add("osaka", { podCidrs: ["10.2.0.0/16"] });
  for (const address of ["10.1.0.9", "172.16.1.1", "10.96.0.1"]) {
    assert.equal(judgeIp("osaka", address), "foreign-address", address);
    assert.equal(judgeBackends("osaka", "10.2.0.1", address), "foreign-address", address);
    assert.equal(add("osaka", { name: "n2", addresses: [address] }), "foreign-address", address);
  }
  assert.equal(add("osaka", { name: "n2", podCidrs: ["10.96.7.0/24"] }), "foreign-address");
  assert.equal(judgeBackends("osaka", "10.2.0.1", "203.0.113.7"), "accepted", "a backend outside of every cluster");
});

test("S05: the first to claim a range or an address has it; the other's node is refused, its other nodes stay", () => {
  assert.equal(
    add("osaka", { podCidrs: ["10.2.0.0/16"], addresses: ["172.16.2.1"], reserved: ["10.2.0.9"] }),
    "accepted",
  );
  for (const overlapping of ["10.2.5.0/24", "10.0.0.0/8", "10.2.0.0/16"]) {
    assert.equal(add("virginia", { name: "bad", podCidrs: [overlapping] }), "foreign-address", overlapping);
  }
  assert.equal(add("virginia", { name: "bad", addresses: ["172.16.2.1"] }), "foreign-address");
  assert.equal(add("virginia", { podCidrs: ["10.3.0.0/16"] }), "accepted");
  assert.equal(judgeIp("virginia", "10.2.5.1"), "foreign-address");
  assert.equal(judgeIp("virginia", "10.3.5.1"), "accepted");
  claims.ownership("osaka").gone("nodes", "n1");
  assert.equal(add("virginia", { name: "bad", podCidrs: ["10.2.5.0/24"] }), "accepted", "nobody holds it any more");
});

test("S05: nobody owns half of the Internet", () => {
  for (const wide of ["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/7", "2000::/3"]) {
    assert.equal(add("osaka", { podCidrs: [wide] }), "too-wide", wide);
  }
});

test("S03, S15: reserved identities only on addresses of the remote's own nodes; before the node is known they wait", () => {
  const health = { identity: 4 };
  const remoteNode = { identity: 6 };
  assert.equal(judgeIp("osaka", "172.16.2.1", remoteNode), "parked");
  assert.equal(judgeIp("osaka", "10.2.0.9", health), "parked");
  add("osaka", { podCidrs: ["10.2.0.0/16"], addresses: ["172.16.2.1"], reserved: ["10.2.0.9"] });
  assert.equal(judgeIp("osaka", "172.16.2.1", remoteNode), "accepted");
  assert.equal(judgeIp("osaka", "10.2.0.9", health), "accepted");
  assert.equal(judgeIp("osaka", "10.2.0.9", remoteNode), "parked");
  assert.equal(judgeIp("osaka", "172.16.2.1", health), "parked");
  assert.equal(judgeIp("osaka", "10.2.0.7", remoteNode), "parked");
  assert.equal(judgeIp("osaka", "172.16.1.1", remoteNode), "foreign-address", "our own node");
});

test("S15: an address waits for the node that it says it is on", () => {
  add("osaka", { podCidrs: ["10.2.0.0/16"], addresses: ["172.16.2.1"] });
  assert.equal(judgeIp("osaka", "10.2.0.5", { hostAddress: "172.16.2.1" }), "accepted");
  assert.equal(judgeIp("osaka", "10.2.0.5", { hostAddress: "172.16.2.2" }), "parked");
});

test("a cluster whose nodes declare no pod ranges may speak of any address that nobody claims", () => {
  add("virginia", { podCidrs: ["10.3.0.0/16"] });
  assert.equal(add("osaka", { addresses: ["172.16.2.1"] }), "accepted");
  assert.equal(judgeIp("osaka", "10.77.0.1"), "accepted");
  assert.equal(judgeIp("osaka", "10.3.0.1"), "foreign-address");
});

test("an operator's ranges bind nodes and addresses, and stand for the nodes' own", () => {
  claims.allow("osaka", ["10.2.0.0/16", "172.16.2.0/24"]);
  assert.equal(add("osaka", { podCidrs: ["10.9.0.0/16"] }), "not-allowed");
  assert.equal(add("osaka", { addresses: ["172.16.3.1"] }), "not-allowed");
  assert.equal(add("osaka", { podCidrs: ["10.2.1.0/24"], addresses: ["172.16.2.1"] }), "accepted");
  assert.equal(judgeIp("osaka", "10.2.200.1"), "accepted", "no node declares it");
  assert.equal(judgeIp("osaka", "10.9.0.1"), "not-allowed");
  claims.allow("osaka", ["10.0.0.0/8"]);
  assert.equal(judgeIp("osaka", "10.1.0.1"), "foreign-address", "ours all the same");
  claims.allow("osaka", undefined);
  assert.equal(judgeIp("osaka", "10.2.200.1"), "parked");
});

test("S05: an operator's ranges beat who came first; where two overlap the incumbent stays and a line says so", () => {
  assert.equal(add("virginia", { podCidrs: ["10.2.7.0/24"], addresses: ["10.2.8.1"] }), "accepted", "it squats");
  assert.equal(add("osaka", { podCidrs: ["10.2.0.0/16"] }), "foreign-address");
  claims.allow("osaka", ["10.2.0.0/16"]);
  assert.equal(add("osaka", { podCidrs: ["10.2.0.0/16"] }), "accepted");
  assert.equal(judgeIp("osaka", "10.2.7.1"), "accepted");
  claims.allow("osaka", ["10.2.0.0/16", "10.8.0.0/16"]);
  assert.equal(add("virginia", { name: "n2", podCidrs: ["10.8.1.0/24"] }), "foreign-address", "meant, not claimed yet");
  assert.equal(judgeIp("virginia", "10.2.7.1"), "foreign-address", "claimed first, meant for another");
  assert.equal(judgeBackends("virginia", "10.2.7.1"), "foreign-address");
  assert.equal(add("virginia", { name: "n2", podCidrs: ["10.3.0.0/16"] }), "accepted");
  assert.deepEqual(claims.problems(), []);
  claims.allow("virginia", ["10.2.7.0/24", "10.3.0.0/16"]);
  assert.equal(judgeIp("osaka", "10.2.7.1"), "foreign-address", "both are meant: virginia has it");
  assert.equal(judgeIp("osaka", "10.2.9.1"), "accepted");
  assert.deepEqual(claims.problems(), [
    "bulkhead-allowed-cidrs of osaka and virginia overlap: the first to claim an address there has it; make them disjoint",
  ]);
  claims.allow("osaka", undefined);
  assert.deepEqual(claims.problems(), []);
});

test("S05: our services' frontends are ours, but for a remote that held the range before", () => {
  assert.equal(add("virginia", { podCidrs: ["10.3.0.0/16"] }), "accepted");
  claims.setOwn({ nodes: undefined, frontends: ["203.0.113.5", "10.3.0.5"], complete: true });
  assert.equal(judgeIp("osaka", "203.0.113.5"), "foreign-address");
  assert.equal(judgeBackends("osaka", "203.0.113.5"), "foreign-address");
  assert.equal(add("osaka", { podCidrs: ["203.0.113.0/24"] }), "foreign-address");
  assert.equal(judgeIp("osaka", "172.16.1.1"), "foreign-address", "nodes that could not be read stay as known");
  assert.equal(judgeIp("virginia", "10.3.0.5"), "accepted");
  assert.equal(add("virginia", { podCidrs: ["10.3.0.0/16"] }), "accepted", "written again");
  claims.setOwn({ nodes: undefined, frontends: [], complete: true });
  assert.equal(add("osaka", { podCidrs: ["203.0.113.0/24"] }), "accepted");
});

test("I7: neither a node nor all nodes of a remote may declare without end", () => {
  const many = (count: number, of = 0): readonly string[] =>
    Array.from({ length: count }, (_, n) => `20.${of >> 8}.${of & 0xff}.${n}`);
  assert.equal(add("osaka", { name: "big", addresses: many(MAX_NODE_RANGES) }), "accepted");
  assert.equal(add("osaka", { name: "bigger", addresses: [...many(MAX_NODE_RANGES), "20.1.0.1"] }), "too-many-ranges");
  const nodes = Math.floor(MAX_REMOTE_RANGES / MAX_NODE_RANGES);
  const full = Array.from({ length: nodes }, (_, n) =>
    node("osaka", { name: `n${n}`, addresses: many(MAX_NODE_RANGES, n) }),
  );
  claims.loadNodes("osaka", { nodes: full, complete: true });
  assert.equal(add("osaka", { name: "n0", addresses: many(MAX_NODE_RANGES) }), "accepted", "in place of itself");
  assert.equal(add("osaka", { name: "more", addresses: many(MAX_NODE_RANGES, nodes) }), "too-many-ranges");
  assert.equal(add("virginia", { addresses: many(MAX_NODE_RANGES, nodes) }), "accepted", "another's bound is its own");
  claims.ownership("osaka").gone("nodes", "n0");
  assert.equal(add("osaka", { name: "more", addresses: many(MAX_NODE_RANGES) }), "accepted", "there is room again");
});

test("what is freed is told once: a node gone, a node that declares less, a frontend gone, an operator's word; a node written again is none", () => {
  const osaka = claims.ownership("osaka");
  const first = node("osaka", { podCidrs: ["10.2.0.0/16"] });
  assert.equal(osaka.came("nodes", "n1", first), true);
  claims.takeFreed();
  assert.equal(osaka.came("nodes", "n1", { ...first, labels: new Map([["a", "b"]]) }), false, "no address changed");
  osaka.gone("nodes", "unknown");
  assert.equal(claims.takeFreed(), false);
  assert.equal(osaka.came("nodes", "n1", node("osaka", { podCidrs: ["10.4.0.0/16"] })), true);
  assert.equal(claims.takeFreed(), true);
  assert.equal(claims.takeFreed(), false);
  osaka.gone("nodes", "n1");
  assert.equal(claims.takeFreed(), true);
  claims.setOwn({ nodes: undefined, frontends: ["203.0.113.5"], complete: true });
  assert.equal(claims.takeFreed(), false);
  claims.setOwn({ nodes: undefined, frontends: [], complete: true });
  assert.equal(claims.takeFreed(), true);
  claims.setOwn({ nodes: [], frontends: undefined, complete: true });
  assert.equal(claims.takeFreed(), true, "our own node went");
  claims.allow("osaka", undefined);
  assert.equal(claims.takeFreed(), false, "nobody said anything, before and after");
  claims.allow("osaka", ["10.2.0.0/16"]);
  assert.equal(claims.takeFreed(), true);
});

test("what was cached before a restart is claimed", () => {
  claims.loadNodes("osaka", { nodes: [node("osaka", { podCidrs: ["10.2.0.0/16"] })], complete: true });
  assert.equal(add("virginia", { podCidrs: ["10.2.0.0/16"] }), "foreign-address");
  claims.release("osaka");
  assert.equal(add("virginia", { podCidrs: ["10.2.0.0/16"] }), "accepted");
});

test("W13: what a local etcd that lost its data cannot tell stays claimed, until somebody vouches for less", () => {
  const range = { podCidrs: ["10.2.0.0/16"] };
  const osaka = node("osaka", range);
  const own = node("amsterdam", { podCidrs: ["10.1.0.0/16"] });
  claims.load(new Map([["osaka", 2]]), new Set(["osaka"]));
  claims.loadNodes("osaka", { nodes: [osaka], complete: true });
  claims.setOwn({ nodes: [own], frontends: ["203.0.113.5"], complete: true });

  claims.load(new Map(), new Set(["osaka"]));
  claims.loadNodes("osaka", { nodes: [], complete: false });
  claims.setOwn({ nodes: [], frontends: [], complete: false });
  assert.match(claims.take("virginia", 2) ?? "", /which osaka holds already/);
  assert.equal(add("virginia", range), "foreign-address");
  assert.equal(add("virginia", { podCidrs: ["10.1.0.0/16"] }), "foreign-address");
  assert.equal(add("virginia", { podCidrs: ["203.0.113.5/32"] }), "foreign-address");

  claims.ownership("osaka").only("nodes", new Set());
  claims.setOwn({ nodes: [], frontends: [], complete: true });
  for (const cidr of ["10.2.0.0/16", "10.1.0.0/16", "203.0.113.5/32"]) {
    assert.equal(add("virginia", { podCidrs: [cidr] }), "accepted");
  }
  claims.load(new Map(), new Set());
  assert.equal(claims.take("virginia", 2), undefined, "nobody configures osaka any more");
});

const NAMES = ["osaka", "virginia"] as const;
const octet = fc.integer({ min: 0, max: 3 });
const cidr = fc
  .tuple(octet, octet, fc.constantFrom(14, 16, 24, 30))
  .map(([second, third, bits]) => `10.${bits < 16 ? second & ~3 : second}.${bits < 24 ? 0 : third}.0/${bits}`);
const address = fc.tuple(octet, octet, octet).map(([a, b, c]) => `10.${a}.${b}.${c}`);
const step = fc.oneof(
  fc.record({
    kind: fc.constant("set" as const),
    who: fc.constantFrom(...NAMES),
    name: fc.constantFrom("n1", "n2"),
    cidr,
    address,
  }),
  fc.record({ kind: fc.constant("gone" as const), who: fc.constantFrom(...NAMES), name: fc.constantFrom("n1", "n2") }),
);

const inside = (range: string, point: string): boolean => {
  const [outer, inner] = [parseCidr(range), parseAddress(point)];
  return outer !== undefined && inner !== undefined && cidrContains(outer, inner);
};
const overlap = (left: string, right: string): boolean =>
  inside(left, right.split("/")[0] ?? "") || inside(right, left.split("/")[0] ?? "");

test("whatever comes and goes: no range has two holders, and no address is accepted that its cluster does not hold", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30 }),
      fc.array(address, { minLength: 5, maxLength: 10 }),
      (steps, points) => {
        claims = new Claims({ name: "amsterdam", id: 1 }, ["10.3.3.0/24"]);
        /** `who name` -> what is held, by the slow model. */
        const held = new Map<string, { readonly who: Name; readonly ranges: readonly string[] }>();
        for (const one of steps) {
          const key = `${one.who} ${one.name}`;
          if (one.kind === "gone") {
            claims.ownership(one.who).gone("nodes", one.name);
            held.delete(key);
            continue;
          }
          const ranges = [one.cidr, `${one.address}/32`];
          const others = [...held.values()].filter(({ who }) => who !== one.who).flatMap(({ ranges: of }) => of);
          const free = ranges.every((range) => ![...others, "10.3.3.0/24"].some((other) => overlap(range, other)));
          const said = add(one.who, { name: one.name, podCidrs: [one.cidr], addresses: [one.address] });
          assert.equal(said, free ? "accepted" : "foreign-address");
          if (free) held.set(key, { who: one.who, ranges });
        }
        for (const who of NAMES) {
          const mine = [...held.values()].filter((one) => one.who === who).flatMap(({ ranges }) => ranges);
          const theirs = [...held.values()].filter((one) => one.who !== who).flatMap(({ ranges }) => ranges);
          for (const point of points) {
            const foreign = [...theirs, "10.3.3.0/24"].some((range) => inside(range, point));
            const own = mine.length === 0 || mine.some((range) => inside(range, point));
            assert.equal(
              judgeIp(who, point),
              foreign ? "foreign-address" : own ? "accepted" : "parked",
              `${who} ${point}`,
            );
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});
