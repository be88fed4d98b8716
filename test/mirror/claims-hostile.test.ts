/** A remote that says anything: through the decoders and the claims, nothing that is not its own is ever accepted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Claims } from "../../src/mirror/claims.ts";
import { parseAddress, parseCidr, prefixBits } from "../../src/model/address.ts";
import { type Cluster, identityRange } from "../../src/model/cluster.ts";
import type { ClusterService, IpEntry, Node } from "../../src/model/resource.ts";
import { cidrOf, maskText } from "../../src/wire/addresses.ts";
import { judge } from "../../src/wire/resources.ts";
import { rounds } from "../support/rounds.ts";

const OWN: Cluster = { name: "amsterdam", id: 1 };
const VICTIM: Cluster = { name: "virginia", id: 3 };
const EVIL: Cluster = { name: "osaka", id: 2 };
const OURS = ["10.1.0.0/16", "fd00:1::/48", "172.16.1.1/32", "10.96.0.0/12", "203.0.113.5/32"];
const VICTIMS = ["10.3.0.0/16", "fd00:3::/48", "172.16.3.1/32"];
const NEVER = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "::/127",
  "fe80::/10",
  "ff00::/8",
  "fd00:ec2::254/128",
];

interface Span {
  readonly first: bigint;
  readonly last: bigint;
}

/** As a table with keys of 16 bytes sees it. Written apart from what it checks. */
function span(text: string): Span {
  const cidr = parseCidr(text.includes("/") ? text : `${text}/${text.includes(".") ? 32 : 128}`);
  assert(cidr, text);
  const free = BigInt(128 - prefixBits(cidr));
  const first = cidr.address.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return { first, last: first + (1n << free) - 1n };
}

const meet = (left: Span, right: Span): boolean => left.first <= right.last && right.first <= left.last;
const holds = (outer: Span, inner: Span): boolean => outer.first <= inner.first && inner.last <= outer.last;
/** What nobody may have, and what others have as well. */
const BARE = NEVER.map(span);
const SETTLED = [...OURS, ...VICTIMS].map(span).concat(BARE);

function node(
  { name: cluster, id: clusterId }: Cluster,
  podCidrs: readonly string[],
  addresses: readonly string[],
): Node {
  const typed = addresses.map((address) => ({ type: "InternalIP", address }));
  return { cluster, clusterId, name: "n1", addresses: typed, podCidrs, reservedAddresses: [], labels: new Map() };
}

function settledClaims(): Claims {
  const claims = new Claims(OWN, ["10.96.0.0/12"]);
  claims.setOwn({
    nodes: [node(OWN, ["10.1.0.0/16", "fd00:1::/48"], ["172.16.1.1"])],
    frontends: ["203.0.113.5"],
    complete: true,
  });
  const virginia = node(VICTIM, ["10.3.0.0/16", "fd00:3::/48"], ["172.16.3.1"]);
  claims.ownership(VICTIM.name).came("nodes", "n1", virginia);
  return claims;
}

/** Around what belongs to others, across the edges of the families, and anywhere. */
const anchor = fc.constantFrom(
  ...OURS,
  ...VICTIMS,
  ...NEVER,
  "10.2.0.0/16",
  "fd00:2::/48",
  "::ffff:0:0",
  "::fffe:0:0",
  "64:ff9b::",
  "2002::",
  "8.8.8.8",
);
const bytes16 = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Uint8Array.from(bytes)),
  fc.tuple(anchor, fc.nat(15), fc.nat(255)).map(([text, at, byte]) => {
    const bytes = parseAddress(text.split("/")[0] ?? "") ?? new Uint8Array(16);
    if (byte > 100) bytes[at] = byte;
    return bytes;
  }),
);
/** Address text and prefix length within its family; bits beyond it are zero. */
const prefix = fc.tuple(bytes16, fc.nat(128)).map(([bytes, wide]) => {
  const isV4 = bytes.subarray(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 255));
  const bits = isV4 ? Math.max(wide, 96) : wide;
  const masked = bytes.map((byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * at))));
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((masked[2 * at] ?? 0) << 8) | (masked[2 * at + 1] ?? 0)).toString(16),
  );
  return isV4
    ? `${masked.subarray(12).join(".")}/${bits - 96}`
    : `${new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1)}/${bits}`;
});

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const host = (text: string): string => text.split("/")[0] ?? "";
const said = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("node" as const),
      cidrs: fc.array(prefix, { maxLength: 2 }),
      address: prefix,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("ip" as const),
      prefix,
      isHost: fc.boolean(),
      identity: fc.constantFrom(1, 4, 6, 8, identityRange(2).first),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("service" as const), prefix }) },
);

function nets(cidrs: readonly string[], v4: boolean) {
  const family = cidrs.filter((text) => text.includes(".") === v4);
  return family.map((text) => ({ IP: host(text), Mask: maskText(cidrOf(text)) }));
}

interface Seen {
  accepted: number;
  refused: number;
}

/** A registry, what its hostile remote has so far, and what that may never touch. */
interface Scene {
  readonly claims: Claims;
  readonly mine: Span[];
  readonly forbidden: readonly Span[];
}

/** One value of the hostile remote; `mine` is filled with what its accepted nodes declare. */
function say(
  { claims, mine, forbidden }: Scene,
  one: typeof said extends fc.Arbitrary<infer T> ? T : never,
  seen: Seen,
): void {
  const ownership = claims.ownership(EVIL.name);
  if (one.kind === "node") {
    const [first4 = null, ...more4] = nets(one.cidrs, true);
    const [first6 = null, ...more6] = nets(one.cidrs, false);
    const value = {
      Name: "n1",
      Cluster: "osaka",
      ClusterID: 2,
      IPAddresses: [{ Type: "InternalIP", IP: host(one.address) }],
      IPv4AllocCIDR: first4,
      IPv4SecondaryAllocCIDRs: more4,
      IPv6AllocCIDR: first6,
      IPv6SecondaryAllocCIDRs: more6,
    };
    const judged = judge("nodes", EVIL, "n1", json(value));
    const accepted = judged.ok && ownership.judge("nodes", judged.value).kind === "accepted";
    seen[accepted ? "accepted" : "refused"]++;
    if (!accepted) return;
    ownership.came("nodes", "n1", judged.value);
    mine.splice(0, mine.length, ...[...one.cidrs, host(one.address)].map(span));
    for (const range of mine) assert(!forbidden.some((other) => meet(range, other)), JSON.stringify(value));
    return;
  }
  const text = one.kind === "ip" && !one.isHost ? one.prefix : host(one.prefix);
  const judged =
    one.kind === "ip"
      ? judge(
          "ip",
          EVIL,
          text,
          json({ IP: host(text), Mask: one.isHost ? null : maskText(cidrOf(text)), HostIP: "", ID: one.identity }),
        )
      : judge(
          "services",
          EVIL,
          "shop/cart",
          json({
            cluster: "osaka",
            clusterID: 2,
            namespace: "shop",
            name: "cart",
            backends: { [text]: {} },
            shared: true,
          }),
        );
  const value = judged.ok ? (judged.value as IpEntry | ClusterService) : undefined;
  const accepted =
    value !== undefined && ownership.judge(one.kind === "ip" ? "ip" : "services", value).kind === "accepted";
  seen[accepted ? "accepted" : "refused"]++;
  if (!accepted) return;
  assert(!forbidden.some((other) => meet(span(text), other)), `${one.kind} ${text}`);
  if (one.kind === "ip" && one.identity < 256)
    assert(
      mine.some((range) => holds(range, span(text))),
      `reserved on ${text}`,
    );
}

test("S03, S04, S05, S13: of thousands of hostile values none that is accepted touches what is ours, another's or nobody's", () => {
  const seen: Seen = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(said, { minLength: 50, maxLength: 50 }), fc.boolean(), (values, isSettled) => {
      const scene = isSettled
        ? { claims: settledClaims(), mine: [], forbidden: SETTLED }
        : { claims: new Claims(OWN), mine: [], forbidden: BARE };
      for (const one of values) say(scene, one, seen);
    }),
    { numRuns: rounds(120, 600) },
  );
  assert(seen.accepted > 1_500 && seen.refused > 1_500, `the values must be of both sorts: ${JSON.stringify(seen)}`);
});

test("S15: whatever the order in which nodes and addresses come, the same addresses are accepted in the end", () => {
  const octet = fc.integer({ min: 0, max: 7 });
  const nodes = fc.uniqueArray(octet, { minLength: 1, maxLength: 5 });
  const addresses = fc.uniqueArray(fc.tuple(octet, octet), { maxLength: 20, selector: ([a, b]) => `${a}.${b}` });
  const entry = (third: number, last: number, node: number): IpEntry => ({
    address: `10.2.${third}.${last}`,
    hostAddress: `172.16.2.${node}`,
    identity: identityRange(2).first,
    namespace: "",
    podName: "",
    serviceAccount: "",
    namedPorts: [],
  });
  fc.assert(
    fc.property(nodes, addresses, fc.infiniteStream(fc.nat()), (thirds, pods, random) => {
      const values = [
        ...thirds.map((third) => ({ ...node(EVIL, [`10.2.${third}.0/24`], [`172.16.2.${third}`]), name: `n${third}` })),
        ...pods.map(([third, last]) => entry(third, last, third)),
      ];
      const shuffled = values.map((value) => ({ value, at: random.next().value })).sort((a, b) => a.at - b.at);
      const claims = settledClaims();
      const ownership = claims.ownership(EVIL.name);
      // Until a first node is known nothing tells this cluster from one whose nodes declare no ranges.
      ownership.came("nodes", "n", { ...node(EVIL, ["10.2.99.0/24"], ["172.16.2.99"]), name: "n" });
      const accepted = new Set<string>();
      let parked: IpEntry[] = [];
      const judged = (value: IpEntry): void => {
        const { kind } = ownership.judge("ip", value);
        if (kind === "accepted") accepted.add(value.address);
        else if (kind === "parked") parked.push(value);
      };
      for (const { value } of shuffled) {
        if (!("podCidrs" in value)) judged(value);
        else if (ownership.came("nodes", value.name, value)) {
          const waiting = parked;
          parked = [];
          waiting.forEach(judged);
        }
      }
      const expected = pods.filter(([third]) => thirds.includes(third)).map(([third, last]) => `10.2.${third}.${last}`);
      assert.deepEqual([...accepted].sort(), expected.sort());
    }),
    { numRuns: rounds(100, 500) },
  );
});
