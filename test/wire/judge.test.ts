/** What is refused and for which reason, case by case: one change to a good value each. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RejectionReason } from "../../src/wire/refusal.ts";
import { judge, type ResourceKind } from "../../src/wire/resources.ts";
import { BERGEN, golden } from "../golden/values.ts";

const text = (name: string): string => new TextDecoder().decode(golden(name));
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

interface Base {
  readonly kind: ResourceKind;
  readonly golden: string;
  readonly suffix: string;
}

const IP: Base = { kind: "ip", golden: "ip-host", suffix: "10.31.4.17" };
const PREFIX: Base = { kind: "ip", golden: "ip-prefix", suffix: "2001:db8:31::/48" };
const IDENTITY: Base = { kind: "identities", golden: "identity", suffix: "197121" };
const NODE: Base = { kind: "nodes", golden: "node", suffix: "bgo-n1.example" };
const SERVICE: Base = { kind: "services", golden: "service", suffix: "shop/cart" };
const EXPORT: Base = { kind: "serviceexports", golden: "service-export", suffix: "shop/cart" };

/** Replaces `from` by `to` in the good value; `suffix` replaces the good key. */
type Case = readonly [RejectionReason, Base, string, string, string?];

const REFUSED: readonly Case[] = [
  ["wrong-key", IP, "", "", "10.31.4.18"],
  ["wrong-key", IP, "", "", "../10.31.4.17"],
  ["wrong-key", IP, "", "", "10.31.4.17/32"],
  ["wrong-key", IP, "", "", "10.31.4.17\u0000"],
  ["wrong-key", IP, '"IP":"10.31.4.17"', '"IP":"2001:db8::a"', "2001:0db8::a"],
  ["malformed", IP, '"IP":"10.31.4.17"', '"IP":"10.31.4.017"'],
  ["malformed", IP, '"IP":"10.31.4.17"', '"IP":17'],
  ["malformed", IP, '"ID":197121', '"ID":1.97121e5'],
  ["malformed", IP, '"ID":197121', '"ID":-0'],
  ["malformed", IP, '"ID":197121', '"ID":9007199254740993'],
  ["malformed", IP, '"ID":197121', '"ID":"197121"'],
  ["malformed", IP, '"HostIP":"192.0.2.21"', '"HostIP":"here"'],
  ["malformed", IP, '"Mask":null', '"Mask":""'],
  ["malformed", IP, "shop", "\\ud800"],
  ["malformed", IP, "}", "}}"],
  ["malformed", IP, '{"IP"', '\ufeff{"IP"'],
  ["duplicate-name", IP, '"Key":0', '"Key":0,"ID":197121'],
  ["duplicate-name", IP, '"Key":0', '"Key":0,"x":{"a":1,"a":2}'],
  ["folded-name", IP, '"Key":0', '"Key":0,"id":1'],
  ["folded-name", IP, '"Key":0', '"Key":0,"\u212aey":1'],
  ["folded-name", IP, '"Key":0', '"Key":0,"Ma\u017fk":null'],
  ["folded-name", IP, '"Name":"web"', '"Name":"web","port":1'],
  ["identity-range", IP, '"ID":197121', '"ID":262400'],
  ["identity-range", IP, '"ID":197121', '"ID":16777472'],
  ["identity-range", IP, '"ID":197121', '"ID":256'],
  ["reserved-identity", IP, '"ID":197121', '"ID":2'],
  ["reserved-identity", IP, '"ID":197121', '"ID":7'],
  ["reserved-identity", IP, '"ID":197121', '"ID":0'],
  ["reserved-identity", IP, '"ID":197121', '"ID":255'],
  ["reserved-identity", PREFIX, '"ID":197122', '"ID":6'],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"127.0.0.1"', "127.0.0.1"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"169.254.169.254"', "169.254.169.254"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"224.0.0.1"', "224.0.0.1"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"0.0.0.0"', "0.0.0.0"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"::"', "::"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"::1"', "::1"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"fe80::1"', "fe80::1"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"ff02::1"', "ff02::1"],
  ["forbidden-address", IP, '"IP":"10.31.4.17"', '"IP":"::ffff:127.0.0.1"', "127.0.0.1"],
  ["forbidden-address", IP, '"HostIP":"192.0.2.21"', '"HostIP":"127.0.0.1"'],
  ["forbidden-address", PREFIX, "////////AAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA==", "2001:db8:31::/0"],
  ["forbidden-address", PREFIX, '"2001:db8:31::","Mask":"////////AAAAAAAAAAAAAA=="', '"0.0.0.0","Mask":"AAAAAA=="'],
  ["forbidden-address", PREFIX, '"2001:db8:31::","Mask":"////////AAAAAAAAAAAAAA=="', '"128.0.0.0","Mask":"gAAAAA=="'],
  [
    "forbidden-address",
    PREFIX,
    '"2001:db8:31::","Mask":"////////AAAAAAAAAAAAAA=="',
    '"::fffe:0:0","Mask":"///////////////+AAAAAA=="',
    "::fffe:0:0/95",
  ],
  ["malformed", PREFIX, "////////AAAAAAAAAAAAAA==", "//8A/wAAAAAAAAAAAAAAAA=="],
  ["malformed", PREFIX, "////////AAAAAAAAAAAAAA==", "////AA=="],
  ["malformed", PREFIX, "2001:db8:31::", "2001:db8:31::1", "2001:db8:31::1/48"],
  ["wrong-key", PREFIX, "", "", "2001:db8:31::"],
  ["wrong-key", IDENTITY, "", "", "0197121"],
  ["wrong-key", IDENTITY, "", "", "197121 "],
  ["wrong-key", IDENTITY, "", "", "1e5"],
  ["wrong-key", IDENTITY, "", "", "99999999999"],
  ["identity-range", IDENTITY, "", "", "65792"],
  ["identity-range", IDENTITY, "", "", "6"],
  ["foreign-cluster", IDENTITY, "cluster=bergen", "cluster=oslo"],
  ["foreign-cluster", IDENTITY, "k8s:io.cilium.k8s.policy.cluster", "container:io.cilium.k8s.policy.cluster"],
  ["no-cluster-label", IDENTITY, "k8s:io.cilium.k8s.policy.cluster=bergen;", ""],
  ["ambiguous-labels", IDENTITY, "k8s:app=cart;", "k8s:app=cart;k8s:app=cart;"],
  ["ambiguous-labels", IDENTITY, "k8s:app=cart;k8s:empty=;", "k8s:empty=;k8s:app=cart;"],
  ["ambiguous-labels", IDENTITY, "k8s:empty=;", "k8s:empty;"],
  ["ambiguous-labels", IDENTITY, "k8s:empty=;", "k8s:empty=;;"],
  ["ambiguous-labels", IDENTITY, "k8s:app=cart;", "app=cart;"],
  ["ambiguous-labels", IDENTITY, "namespace=shop;", "namespace=shop"],
  ["forbidden-label", IDENTITY, "k8s:app=cart;", "reserved:app=cart;"],
  ["forbidden-label", IDENTITY, "k8s:app=cart;", "cidr:app=cart;"],
  ["forbidden-label", IDENTITY, "k8s:app=cart;", "fqdn:app=cart;"],
  ["forbidden-label", IDENTITY, "k8s:app=cart;", "$:app=cart;"],
  ["forbidden-label", IDENTITY, "k8s:app=cart;", ":app=cart;"],
  ["wrong-key", NODE, "", "", "bgo-n2.example"],
  ["wrong-key", NODE, "", "", "bgo-n1.example/"],
  ["malformed", NODE, "bgo-n1.example", "../x", "../x"],
  ["foreign-cluster", NODE, '"Cluster":"bergen"', '"Cluster":"bergen-2"'],
  ["wrong-cluster-id", NODE, '"ClusterID":3', '"ClusterID":4'],
  ["wrong-cluster-id", NODE, '"ClusterID":3,', ""],
  ["forbidden-address", NODE, "////AA==", "AAAAAA=="],
  [
    "malformed",
    NODE,
    '{"IP":"10.31.4.0","Mask":"////AA=="}',
    '{"IP":"2001:db8:32::","Mask":"////////AAAAAAAAAAAAAA=="}',
  ],
  ["malformed", NODE, '"IPv6HealthIP":""', '"IPv6HealthIP":"10.31.4.9"'],
  ["forbidden-address", NODE, '"IP":"192.0.2.21"', '"IP":"127.0.0.1"'],
  ["malformed", NODE, '"Labels":{', '"Labels":{"n":1,'],
  ["wrong-key", EXPORT, "", "", "shop/till"],
  ["foreign-cluster", EXPORT, '"cluster":"bergen"', '"cluster":"oslo"'],
  ["folded-name", EXPORT, '"type":', '"Type":"Headless","type":'],
  ["duplicate-name", EXPORT, '"labels":{', '"labels":{},"labels":{'],
  ["bad-port", EXPORT, '"port":80', '"port":0'],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "0001-01-01T00:00:00Z"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "yesterday"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "0001-01-01T00:00:00.0Z"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "0000-12-31T23:00:00-01:00"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "2026-13-02T10:11:12Z"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "2026-02-29T10:11:12Z"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "2026-03-02T24:11:12Z"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "2026-03-02T10:11:60Z"],
  ["malformed", EXPORT, "2026-03-02T10:11:12Z", "2026-03-02T10:11:12+24:00"],
  ["malformed", EXPORT, "10800", "2147483648"],
  ["malformed", EXPORT, '"type":"ClusterSetIP"', '"type":1'],
  ["folded-name", EXPORT, '"Labels":{', '"LABELS":{'],
  ["folded-name", EXPORT, '"port":80', '"port":80,"Port":81'],
  ["folded-name", EXPORT, '"timeoutSeconds":', '"TimeoutSeconds":1,"timeoutSeconds":'],
  ["wrong-key", SERVICE, "", "", "shop/cart/"],
  ["wrong-key", SERVICE, "", "", "shop/cart2"],
  ["malformed", SERVICE, '"name":"cart"', '"name":"a/b"', "shop/a/b"],
  ["foreign-cluster", SERVICE, '"cluster":"bergen"', '"cluster":"oslo"'],
  ["wrong-cluster-id", SERVICE, '"clusterID":3', '"clusterID":300'],
  ["bad-port", SERVICE, '{"Protocol":"UDP","Port":53}', "null"],
  ["bad-port", SERVICE, '"Port":53', '"Port":0'],
  ["malformed", SERVICE, '"Port":53', '"Port":65536'],
  ["bad-port", SERVICE, '"UDP"', '"udp"'],
  ["bad-port", SERVICE, '"UDP"', '"ANY"'],
  ["forbidden-address", SERVICE, '"10.31.4.17"', '"127.0.0.1"'],
  ["malformed", SERVICE, '"10.31.4.17"', '"10.31.4"'],
  ["duplicate-name", SERVICE, '"10.31.4.17"', '"2001:DB8:31::11":{},"10.31.4.17"'],
  ["folded-name", SERVICE, '"shared":true', '"shared":true,"Shared":false'],
  ["folded-name", SERVICE, '"Port":53', '"Port":53,"port":54'],
];

describe("refused", () => {
  for (const [reason, base, from, to, suffix = base.suffix] of REFUSED) {
    test(`${reason}: ${base.golden} at ${JSON.stringify(suffix)} with ${to.slice(0, 60) || "another key"}`, () => {
      const good = text(base.golden);
      assert(good.includes(from), "the case changes something");
      const judged = judge(base.kind, BERGEN, suffix, bytes(good.replace(from, () => to)));
      assert.equal(judged.ok, false);
      assert.equal(!judged.ok && judged.rejection.reason, reason);
    });
  }
});

/** The same, accepted: [what changes, to what, what the value then holds]. */
const ACCEPTED: readonly (readonly [string, Base, string, string, object, string?])[] = [
  ["a host becomes a remote node", IP, '"ID":197121', '"ID":1', { identity: 6 }],
  ["health", IP, '"ID":197121', '"ID":4', { identity: 4 }],
  ["ingress", IP, '"ID":197121', '"ID":8', { identity: 8 }],
  ["the whole range of the cluster", IP, '"ID":197121', '"ID":196608', { identity: 196608 }],
  ["unknown fields", IP, '"Key":0', '"Key":0,"New":{"__proto__":[1.5,-0,null]}', { identity: 197121 }],
  ["v4 in v6 clothes", IP, '"10.31.4.17"', '"::ffff:10.31.4.17"', { address: "10.31.4.17" }],
  ["nulls and absence", IP, ',"K8sPodName":"cart-7f9d"', ',"K8sPodName":null', { podName: "" }],
  [
    "a bad named port goes alone",
    IP,
    '"Port":8080',
    '"Port":0',
    { namedPorts: [{ name: "metrics", port: 9102, protocol: "TCP" }] },
  ],
  ["a withdrawn service", SERVICE, '"shared":true', '"shared":false', { shared: false }],
  [
    "a service without frontends",
    SERVICE,
    '{"10.95.0.12":{"":{"Protocol":"UDP","Port":53}}}',
    "null",
    { frontends: new Map() },
  ],
  [
    "labels that differ in case",
    SERVICE,
    '{"tier":"front"}',
    '{"a":"1","A":"2"}',
    {
      labels: new Map([
        ["a", "1"],
        ["A", "2"],
      ]),
    },
  ],
  [
    "a label of a prototype's name",
    SERVICE,
    '{"tier":"front"}',
    '{"__proto__":"1"}',
    { labels: new Map([["__proto__", "1"]]) },
  ],
  [
    "a leap day",
    EXPORT,
    "2026-03-02T10:11:12Z",
    "2028-02-29T10:11:12.5+05:30",
    { createdAt: "2028-02-29T10:11:12.5+05:30" },
  ],
  ["a word of a newer peer", EXPORT, '"ClusterSetIP"', '"Anycast"', { type: undefined, sessionAffinity: "ClientIP" }],
  [
    "another word of a newer peer",
    EXPORT,
    '"Cluster"',
    '"Nearby"',
    { internalTrafficPolicy: undefined, type: "ClusterSetIP" },
  ],
  ["a family of a newer peer", EXPORT, '"IPv6"', '"IPv7"', { ipFamilies: ["IPv4"] }],
  [
    "the older labels beside empty ones",
    EXPORT,
    '"labels":{"tier":"gold"}',
    '"labels":{}',
    { labels: new Map([["tier", "gold"]]) },
  ],
  [
    "labels that the older ones contradict",
    EXPORT,
    '"Labels":{"tier":"gold"}',
    '"Labels":{"tier":"tin"}',
    { labels: new Map([["tier", "gold"]]) },
  ],
  [
    "host names among a node's addresses",
    NODE,
    '{"Type":"InternalIP","IP":"192.0.2.21"},',
    '{"Type":"Hostname","IP":""},',
    {
      addresses: [
        { type: "InternalIP", address: "2001:db8::21" },
        { type: "CiliumInternalIP", address: "10.31.4.1" },
      ],
    },
  ],
];

describe("accepted", () => {
  for (const [name, base, from, to, held] of ACCEPTED) {
    test(name, () => {
      const good = text(base.golden);
      assert(good.includes(from), "the case changes something");
      const judged = judge(base.kind, BERGEN, base.suffix, bytes(good.replace(from, () => to)));
      assert(judged.ok, JSON.stringify(judged));
      const value = judged.value as object;
      const seen = Object.fromEntries(Object.keys(held).map((field) => [field, Reflect.get(value, field)]));
      assert.deepEqual(seen, held);
    });
  }
});

test("every limit is kept, to the byte", () => {
  const limits: Readonly<Record<string, number>> = {
    ip: 8 * 1024,
    identities: 32 * 1024,
    nodes: 64 * 1024,
    services: 1024 * 1024,
    serviceexports: 1024 * 1024,
  };
  for (const base of [IP, IDENTITY, NODE, SERVICE, EXPORT]) {
    const limit = limits[base.kind] ?? 0;
    const good = text(base.golden);
    const padded = (length: number): Uint8Array => {
      const room = length - good.length;
      return bytes(
        base.kind === "identities" ? good.replace("cart;", `cart${"x".repeat(room)};`) : good + " ".repeat(room),
      );
    };
    assert.equal(judge(base.kind, BERGEN, base.suffix, padded(limit)).ok, true);
    const judged = judge(base.kind, BERGEN, base.suffix, padded(limit + 1));
    assert.equal(!judged.ok && judged.rejection.reason, "too-large");
  }
});

test("nesting is bounded and no prototype is touched", () => {
  const deep = `${"[".repeat(1_000_000)}`;
  const judged = judge("services", BERGEN, "shop/cart", bytes(`{"x":${deep}`));
  assert.equal(!judged.ok && judged.rejection.reason, "malformed");
  judge(
    "services",
    BERGEN,
    "shop/cart",
    bytes('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
  );
  assert.equal(Reflect.get({}, "polluted"), undefined);
});

test("a rejection names the key and tells a person in one printable line", () => {
  const judged = judge("nodes", BERGEN, "n\u202e1\n", bytes(text("node")));
  assert(!judged.ok);
  assert.equal(judged.rejection.key, "cilium/state/nodes/v1/bergen/n\u202e1\n");
  assert.equal(judged.rejection.detail, 'the value is of bgo-n1.example, the key of "n\\u202e1\\u000a"');
});

test("the line of a rejection is bounded, however much of what it quotes has to be escaped", () => {
  for (const letter of ["x", "\u00e9", '\\"', "\\u0001"]) {
    const cluster = JSON.stringify("\u202e").slice(1, -1) + letter.repeat(2000);
    const judged = judge(
      "services",
      BERGEN,
      "shop/cart",
      bytes(text("service").replace('"bergen"', () => `"${cluster}"`)),
    );
    assert(!judged.ok);
    assert.equal(judged.rejection.reason, "foreign-cluster");
    assert.match(judged.rejection.detail, /^the value says it is of cluster "\\u202e[ -~]+\.\.\."$/);
    assert(judged.rejection.detail.length < 150, judged.rejection.detail);
  }
});
