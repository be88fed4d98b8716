/** Byte for byte: what we write is what the hand-made golden files hold, and what they hold reads back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { adaptClusterConfig, encodeClusterConfig, judgeClusterConfig } from "../../src/wire/cluster-config.ts";
import { encodeDrain, judgeDrain } from "../../src/wire/drain.ts";
import { decodeEndpointSlice, encodeEndpointSlice, MAX_EXPANDED_BYTES } from "../../src/wire/endpoint-slice.ts";
import { encodeEvent, judgeEvent } from "../../src/wire/event.ts";
import { encodeIdentity } from "../../src/wire/identity.ts";
import { encodeIp } from "../../src/wire/ip.ts";
import { encodeLocalEndpoint, judgeLocalEndpoint } from "../../src/wire/local-endpoint.ts";
import { encodeLocalService, judgeLocalService } from "../../src/wire/local-service.ts";
import { encodeNode } from "../../src/wire/node.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { encodeGrades, encodePeerDetail, judgeGrades, judgePeerDetail } from "../../src/wire/peers.ts";
import { encodePolicy, judgePolicy } from "../../src/wire/policy.ts";
import { judge } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { encodeServiceExport } from "../../src/wire/service-export.ts";
import { expandZstd } from "../../src/wire/zstd.ts";
import {
  BERGEN,
  CLUSTER_CONFIG,
  DRAIN,
  ENDPOINT_SLICE,
  EVENT,
  EVENT_SUBJECT,
  golden,
  goldenPolicyText,
  IDENTITY,
  IP_HOST,
  IP_PREFIX,
  LOCAL_ENDPOINT,
  LOCAL_SERVICE,
  NODE,
  PEER_DETAIL,
  PEER_GRADES,
  POLICY,
  SERVICE,
  SERVICE_EXPORT,
} from "../golden/values.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function policyBytes(): Uint8Array {
  const [object] = parseManifests("shop.yaml", goldenPolicyText()).objects;
  assert(object?.kind === "Policy");
  return encodePolicy(object);
}

const CASES = [
  ["event", encodeEvent(EVENT), judgeEvent(EVENT_SUBJECT, golden("event")), EVENT],
  ["ip-host", encodeIp(IP_HOST), judge("ip", BERGEN, "10.31.4.17", golden("ip-host")), IP_HOST],
  ["ip-prefix", encodeIp(IP_PREFIX), judge("ip", BERGEN, "2001:db8:31::/48", golden("ip-prefix")), IP_PREFIX],
  ["identity", encodeIdentity(IDENTITY.labels), judge("identities", BERGEN, "197121", golden("identity")), IDENTITY],
  ["node", encodeNode(NODE), judge("nodes", BERGEN, "bgo-n1.example", golden("node")), NODE],
  ["service", encodeService(SERVICE), judge("services", BERGEN, "shop/cart", golden("service")), SERVICE],
  [
    "service-export",
    encodeServiceExport(SERVICE_EXPORT),
    judge("serviceexports", BERGEN, "shop/cart", golden("service-export")),
    SERVICE_EXPORT,
  ],
  [
    "local-service",
    encodeLocalService(LOCAL_SERVICE),
    judgeLocalService("shop/cart", golden("local-service")),
    LOCAL_SERVICE,
  ],
  ["policy", policyBytes(), judgePolicy("CiliumNetworkPolicy/shop/cart", golden("policy")), POLICY],
  [
    "local-endpoint",
    encodeLocalEndpoint(LOCAL_ENDPOINT),
    judgeLocalEndpoint("shop/cart-7f9d", golden("local-endpoint")),
    LOCAL_ENDPOINT,
  ],
  [
    "cluster-config",
    encodeClusterConfig(CLUSTER_CONFIG),
    judgeClusterConfig("key", golden("cluster-config")),
    CLUSTER_CONFIG,
  ],
  ["drain", encodeDrain(DRAIN), judgeDrain("key", golden("drain")), DRAIN],
  ["peer-grades", encodeGrades(PEER_GRADES), judgeGrades("key", golden("peer-grades")), PEER_GRADES],
  ["peer-detail", encodePeerDetail(PEER_DETAIL), judgePeerDetail("osaka", "key", golden("peer-detail")), PEER_DETAIL],
] as const;

for (const [name, encoded, judged, value] of CASES) {
  test(`${name}: encoding equals the golden bytes`, () => assert.equal(text(encoded), text(golden(name))));
  test(`${name}: the golden bytes read back`, () => assert.deepEqual(judged, { ok: true, value }));
}

test("the order in which labels, addresses and ports are given does not change the bytes", () => {
  assert.equal(text(encodeIdentity([...IDENTITY.labels].reverse())), text(golden("identity")));
  const backends = new Map([...SERVICE.backends].reverse().map(([address, ports]) => [address, [...ports].reverse()]));
  assert.equal(text(encodeService({ ...SERVICE, backends })), text(golden("service")));
});

test("a mirrored cluster config says canaries and cache, and nothing else changes", () => {
  const adapted = adaptClusterConfig(golden("cluster-config"));
  assert(adapted.ok);
  assert.equal(text(adapted.value), text(golden("cluster-config-cached")));
  const again = adaptClusterConfig(adapted.value);
  assert(again.ok);
  assert.equal(text(again.value), text(golden("cluster-config-cached")));
});

test("endpoint-slice: what another implementation wrote reads, and ours is the same message", () => {
  const bytes = golden("endpoint-slice");
  assert.deepEqual(decodeEndpointSlice(BERGEN, "shop/cart-x7k2p", bytes), ENDPOINT_SLICE);
  const expanded = (frame: Uint8Array) => expandZstd(frame, MAX_EXPANDED_BYTES);
  assert.deepEqual(expanded(encodeEndpointSlice(ENDPOINT_SLICE)), expanded(bytes));
});
