/**
 * The decoders of peers' bytes, and what must hold for any bytes: nothing is thrown, a rejection has a known reason and one
 * bounded printable line, and what is accepted comes back unchanged when it is encoded and judged again.
 */
import assert from "node:assert/strict";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { type Policy, policyName } from "../../src/model/policy.ts";
import type { Judged } from "../../src/model/resource.ts";
import { adaptClusterConfig, encodeClusterConfig, judgeClusterConfig } from "../../src/wire/cluster-config.ts";
import { encodeDrain, judgeDrain } from "../../src/wire/drain.ts";
import { decodeEndpointSlice, encodeEndpointSlice, MAX_ENDPOINTS } from "../../src/wire/endpoint-slice.ts";
import { type EtcdConfig, parseEtcdConfig } from "../../src/wire/etcd-config.ts";
import { encodeEvent, judgeEvent } from "../../src/wire/event.ts";
import { Fields } from "../../src/wire/fields.ts";
import { encodeIdentity } from "../../src/wire/identity.ts";
import { encodeIp } from "../../src/wire/ip.ts";
import { JsonNumber, parseJson, type Tree } from "../../src/wire/json.ts";
import { encodeLocalEndpoint, judgeLocalEndpoint } from "../../src/wire/local-endpoint.ts";
import { encodeLocalService, judgeLocalService } from "../../src/wire/local-service.ts";
import { encodeNode } from "../../src/wire/node.ts";
import { parseManifests } from "../../src/wire/parse-manifests.ts";
import { parsePolicyManifest } from "../../src/wire/parse-policy.ts";
import { encodeGrades, encodePeerDetail, judgeGrades, judgePeerDetail } from "../../src/wire/peers.ts";
import { encodePolicy, judgePolicy } from "../../src/wire/policy.ts";
import { MessageWriter } from "../../src/wire/protobuf.ts";
import { judging, REJECTION_REASONS } from "../../src/wire/refusal.ts";
import { judge } from "../../src/wire/resources.ts";
import { encodeService } from "../../src/wire/service.ts";
import { encodeServiceExport } from "../../src/wire/service-export.ts";
import { validatePolicies } from "../../src/wire/validate-policies.ts";
import { expandZstd } from "../../src/wire/zstd.ts";
import { BERGEN, ENDPOINT_SLICE, EVENT_SUBJECT, golden } from "../golden/values.ts";
import { KUBE_TARGETS } from "./kube-targets.ts";

export interface Target {
  readonly name: string;
  readonly suffix: string;
  readonly seed: Uint8Array;
  /** Judges the bytes, checks what must hold, and says whether they were accepted. */
  readonly check: (suffix: string, bytes: Uint8Array) => boolean;
  /** How many times as long one run takes as one of the others; default 1. */
  readonly cost?: number;
}

const LONGEST_DETAIL = 400;
const REASONS: ReadonlySet<string> = new Set(REJECTION_REASONS);

function holds<T>(judged: Judged<T>, again: (value: T) => Judged<T>): boolean {
  if (judged.ok) {
    assert.deepEqual(again(judged.value), judged);
    return true;
  }
  const { reason, detail } = judged.rejection;
  assert(REASONS.has(reason), reason);
  assert.match(detail, /^[ -~]+$/);
  assert(detail.length <= LONGEST_DETAIL, detail);
  return false;
}

function target<T>(
  name: string,
  suffix: string,
  judgeBytes: (suffix: string, bytes: Uint8Array) => Judged<T>,
  encode: (value: T) => Uint8Array,
): Target {
  const check = (key: string, bytes: Uint8Array): boolean =>
    holds(judgeBytes(key, bytes), (value) => judgeBytes(key, encode(value)));
  return { name, suffix, seed: golden(name), check };
}

/** An accepted policy is what the agent reads of what the exporter would publish of the same document. */
function checkPolicy(suffix: string, bytes: Uint8Array): boolean {
  return holds(judgePolicy(suffix, bytes), ({ source }) => {
    const document = new Fields(parseJson(bytes)).fields("document");
    return judgePolicy(suffix, encodePolicy(parsePolicyManifest(document, source)));
  });
}

const FILE = "shop.yaml";
const LONGEST_PROBLEM = 1000;

/** Every problem is one printable line that names file and line, and every policy that is read reaches the agents as it was read. */
function checkPolicyText(_: string, bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  const { policies, problems } = validatePolicies(FILE, text);
  for (const problem of problems) {
    assert.match(problem, /^shop\.yaml:[1-9]\d*: [ -~]+$/);
    assert(problem.length <= LONGEST_PROBLEM, problem);
  }
  const published: Policy[] = [];
  for (const object of parseManifests(FILE, text).objects) {
    if (object.kind !== "Policy") continue;
    assert.equal(object.policy.source, object.source);
    const judged = judgePolicy(policyName(object.policy), encodePolicy(object));
    assert.deepEqual(judged, { ok: true, value: object.policy });
    published.push(object.policy);
  }
  for (const policy of policies) assert(published.some((other) => other.source === policy.source));
  return problems.length === 0;
}

const ETCD_CONFIG = `endpoints:
- https://osaka.mesh.cilium.io:2379
trusted-ca-file: /var/lib/cilium/clustermesh/ca.crt
cert-file: /var/lib/cilium/clustermesh/client.crt
key-file: /var/lib/cilium/clustermesh/client.key
cilium-host-aliases:
- hostname: osaka.mesh.cilium.io
  ips: ["198.51.100.20"]
`;

/** JSON is YAML: what was read, written down as that. */
function etcdConfigText(config: EtcdConfig): string {
  return JSON.stringify({
    endpoints: config.endpoints,
    "trusted-ca-file": config.caFile,
    "cert-file": config.certFile,
    "key-file": config.keyFile,
    "cilium-host-aliases": config.hostAliases,
    "bulkhead-allowed-cidrs": config.allowedCidrs,
  });
}

/** What is accepted names at least one place to dial, and reads the same when it is written down. */
function checkEtcdConfig(_: string, bytes: Uint8Array): boolean {
  return holds(parseEtcdConfig("osaka", new TextDecoder().decode(bytes)), (config) => {
    assert(config.endpoints.length > 0);
    for (const endpoint of config.endpoints) assert.match(endpoint, /^https?:\/\/[^/]+:\d{1,5}$/);
    const again = parseEtcdConfig("osaka", etcdConfigText(config));
    return again.ok ? { ok: true, value: { ...again.value, ignored: config.ignored } } : again;
  });
}

/** Names in all objects of a tree. */
function namesIn(tree: Tree): number {
  if (tree instanceof Map) return [...tree.values()].reduce((sum, member) => sum + namesIn(member), tree.size);
  return Array.isArray(tree) ? tree.reduce((sum: number, item) => sum + namesIn(item), 0) : 0;
}

/** The tree as JavaScript's own parser would give it. */
function plain(tree: Tree): unknown {
  if (tree instanceof JsonNumber) return Number(tree.text);
  if (Array.isArray(tree)) return tree.map(plain);
  if (!(tree instanceof Map)) return tree;
  return Object.fromEntries([...tree].map(([name, member]) => [name, plain(member)]));
}

/** What is accepted is what JavaScript's own parser reads, and every name that is written in it counts: outside of texts, a colon follows each. */
function checkJson(_: string, bytes: Uint8Array): boolean {
  const judged = judging("json", () => parseJson(bytes));
  return holds(judged, (tree) => {
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    assert.deepEqual(plain(tree), JSON.parse(text));
    assert.equal(namesIn(tree), text.replaceAll(/"(?:[^"\\]|\\.)*"/g, "").split(":").length - 1);
    return judged;
  });
}

const MOST_EXPANDED = 64 * 1024;

function checkFrame(_: string, bytes: Uint8Array): boolean {
  const judged = judging("frame", () => expandZstd(bytes, MOST_EXPANDED));
  return holds(judged, (expanded) => {
    assert(expanded.length <= MOST_EXPANDED);
    return judging("frame", () => expandZstd(zstdCompressSync(expanded), MOST_EXPANDED));
  });
}

/** The message inside a frame is damaged, not the frame: else nothing gets past the checksum. */
function checkSliceMessage(suffix: string, bytes: Uint8Array): boolean {
  const judged = judging("slice", () => decodeEndpointSlice(BERGEN, suffix, zstdCompressSync(bytes)));
  return holds(judged, (value) =>
    judging("slice", () => decodeEndpointSlice(BERGEN, suffix, encodeEndpointSlice(value))),
  );
}

const GOLDEN_MESSAGE = new Uint8Array(zstdDecompressSync(golden("endpoint-slice")));
/** With the golden ones, as many endpoints as a slice may have. */
const REPEATED = MAX_ENDPOINTS - ENDPOINT_SLICE.endpoints.length;

/** The same damage very many times over, which costs a sender next to nothing: here the limit on time is what matters. */
function checkRepeated(suffix: string, bytes: Uint8Array): boolean {
  const piece = Buffer.from(bytes);
  const frame = zstdCompressSync(Buffer.concat([GOLDEN_MESSAGE, Buffer.alloc(piece.length * REPEATED, piece)]));
  const judged = judging("slice", () => decodeEndpointSlice(BERGEN, suffix, frame));
  return holds(judged, () => judged);
}

const SLICE_NAME = "shop/cart-x7k2p";

export const TARGETS: readonly Target[] = [
  ...KUBE_TARGETS,
  target("ip-host", "10.31.4.17", (key, bytes) => judge("ip", BERGEN, key, bytes), encodeIp),
  target("ip-prefix", "2001:db8:31::/48", (key, bytes) => judge("ip", BERGEN, key, bytes), encodeIp),
  target(
    "identity",
    "197121",
    (key, bytes) => judge("identities", BERGEN, key, bytes),
    ({ labels }) => encodeIdentity(labels),
  ),
  target("node", "bgo-n1.example", (key, bytes) => judge("nodes", BERGEN, key, bytes), encodeNode),
  target("service", "shop/cart", (key, bytes) => judge("services", BERGEN, key, bytes), encodeService),
  target(
    "endpoint-slice",
    SLICE_NAME,
    (key, bytes) => judge("endpointslices", BERGEN, key, bytes),
    encodeEndpointSlice,
  ),
  {
    name: "endpoint-slice-message",
    suffix: SLICE_NAME,
    seed: GOLDEN_MESSAGE,
    check: checkSliceMessage,
    cost: 4,
  },
  {
    name: "endpoint-slice-repeated",
    suffix: SLICE_NAME,
    seed: new MessageWriter().bytes(8, new MessageWriter().text(1, "10.31.4.17").finish()).finish(),
    check: checkRepeated,
    cost: 16,
  },
  { name: "zstd-frame", suffix: "", seed: golden("endpoint-slice"), check: checkFrame },
  target(
    "service-export",
    "shop/cart",
    (key, bytes) => judge("serviceexports", BERGEN, key, bytes),
    encodeServiceExport,
  ),
  { name: "json", suffix: "", seed: golden("service"), check: checkJson },
  { name: "etcd-config", suffix: "", seed: new TextEncoder().encode(ETCD_CONFIG), check: checkEtcdConfig, cost: 4 },
  target("event", EVENT_SUBJECT, judgeEvent, encodeEvent),
  target("local-service", "shop/cart", judgeLocalService, encodeLocalService),
  target("local-endpoint", "shop/cart-7f9d", judgeLocalEndpoint, encodeLocalEndpoint),
  { name: "policy", suffix: "CiliumNetworkPolicy/shop/cart", seed: golden("policy"), check: checkPolicy },
  { name: "policy-yaml", suffix: "", seed: golden("policy-yaml"), check: checkPolicyText, cost: 8 },
  target("drain", "key", judgeDrain, encodeDrain),
  target("peer-grades", "key", judgeGrades, encodeGrades),
  target("peer-detail", "osaka", (name, bytes) => judgePeerDetail(name, "key", bytes), encodePeerDetail),
  target("cluster-config", "key", judgeClusterConfig, encodeClusterConfig),
  target(
    "cluster-config-cached",
    "key",
    (key, bytes) => adaptClusterConfig(bytes, key),
    (bytes) => bytes,
  ),
];
