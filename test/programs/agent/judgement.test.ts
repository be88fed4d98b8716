import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ENDPOINT_FLAGS,
  ENDPOINT_MAP,
  encodeEndpointKey,
  encodeEndpointValue,
} from "../../../src/maps/endpoint-map.ts";
import {
  encodeIpcacheCidrKey,
  encodeIpcacheCidrValue,
  IPCACHE_CIDR_CLAIMED,
  IPCACHE_CIDR_MAP,
} from "../../../src/maps/ipcache-cidr-map.ts";
import { encodeIpcacheKey, encodeIpcacheValue, IPCACHE_MAP } from "../../../src/maps/ipcache-map.ts";
import { encodePolicyKey, encodePolicyValue, POLICY_FAMILY, VERDICT_ALLOWED } from "../../../src/maps/policy-map.ts";
import { parseAddress, parseCidr, prefixBits } from "../../../src/model/address.ts";
import type { Direction } from "../../../src/model/policy.ts";
import { compiledMaps, identityOf, judge } from "../../../src/programs/agent/judgement.ts";
import { DesiredMap, entryKey } from "../../../src/tables/desired-map.ts";

const bytes = (address: string) => parseAddress(address) as Uint8Array;

function filled(entries: readonly (readonly [Uint8Array, Uint8Array])[]): DesiredMap {
  const map = new DesiredMap();
  for (const [key, value] of entries) map.set(entryKey(key), value);
  return map;
}

function cidr(text: string, identity: number, flags = 0) {
  const { address, bits } = parseCidr(text) ?? assert.fail(text);
  const key = encodeIpcacheCidrKey({ prefixLength: prefixBits({ address, bits }), address });
  return [key, encodeIpcacheCidrValue({ identity, flags })] as const;
}

const endpoint = (ifindex: number, flags = 0) =>
  [
    encodeEndpointKey({ ifindex }),
    encodeEndpointValue({ identity: 500, ingressPolicy: 3, egressPolicy: 0, flags }),
  ] as const;

const maps = compiledMaps(
  new Map([
    [
      ENDPOINT_MAP.name,
      filled([endpoint(7), endpoint(8, ENDPOINT_FLAGS.denied), endpoint(9, ENDPOINT_FLAGS.auditIngress)]),
    ],
    [
      IPCACHE_MAP.name,
      filled([
        [encodeIpcacheKey({ address: bytes("10.1.0.5") }), encodeIpcacheValue({ identity: 300, clusterId: 1 })],
        [encodeIpcacheKey({ address: bytes("fd00::5") }), encodeIpcacheValue({ identity: 301, clusterId: 1 })],
      ]),
    ],
    [
      IPCACHE_CIDR_MAP.name,
      filled([
        cidr("10.0.0.0/8", 0, IPCACHE_CIDR_CLAIMED),
        cidr("203.0.112.0/20", 16_777_216),
        cidr("203.0.113.64/26", 16_777_217),
        cidr("fd00::/56", 0, IPCACHE_CIDR_CLAIMED),
        cidr("2001:db8::/33", 16_777_218),
      ]),
    ],
  ]),
  new Map([
    [
      POLICY_FAMILY.name,
      new Map([
        [
          3,
          filled([
            [
              encodePolicyKey({ prefixLength: 64, identity: 300, protocol: 6, port: 80 }),
              encodePolicyValue({ rule: 42, verdict: VERDICT_ALLOWED }),
            ],
          ]),
        ],
      ]),
    ],
  ]),
);

test("identities: the single address, else the longest prefix, else the world", () => {
  const expected: readonly (readonly [string, number])[] = [
    ["10.1.0.5", 300],
    ["10.1.0.6", 0],
    ["fd00::5", 301],
    ["fd00:0:0:ff::1", 0],
    ["fd00:0:0:100::1", 10],
    ["203.0.127.255", 16_777_216],
    ["203.0.113.63", 16_777_216],
    ["203.0.113.64", 16_777_217],
    ["203.0.128.0", 9],
    ["2001:db8:7fff::1", 16_777_218],
    ["2001:db8:8000::1", 10],
  ];
  for (const [address, identity] of expected) assert.equal(identityOf(maps, bytes(address)), identity, address);
});

test("judgements: flags, open directions, unknown identities, audit", async () => {
  const asked = async (ifindex: number, direction: Direction, peer: string, port = 80): Promise<string> => {
    const { verdict, reason, rule } = await judge(maps, ifindex, direction, { peer: bytes(peer), protocol: 6, port });
    return `${verdict} ${reason} ${rule}`;
  };
  assert.equal(await asked(7, "ingress", "10.1.0.5"), "allowed forwarded 42");
  assert.equal(await asked(7, "ingress", "10.1.0.5", 81), "dropped policy-denied 0");
  assert.equal(await asked(7, "ingress", "10.1.0.6"), "dropped identity-unknown 0");
  assert.equal(await asked(7, "egress", "10.1.0.6"), "allowed forwarded 0");
  assert.equal(await asked(8, "egress", "10.1.0.5"), "dropped endpoint-unknown 0");
  assert.equal(await asked(6, "egress", "10.1.0.5"), "dropped endpoint-unknown 0");
  assert.equal(await asked(9, "ingress", "10.1.0.5", 81), "audited policy-denied 0");
  assert.equal(await asked(9, "ingress", "10.1.0.6"), "audited identity-unknown 0");
});
