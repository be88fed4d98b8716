import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  canaryKey,
  canaryPrefix,
  clusterConfigKey,
  clusterOfConfigKey,
  localServiceKey,
  localServicesCanary,
  parseCanaryKey,
} from "../../src/wire/keys.ts";
import { cacheKey, parseCacheKey, RESOURCES, stateKey } from "../../src/wire/resources.ts";

test("keys are Cilium's", () => {
  assert.equal(clusterConfigKey("bergen"), "cilium/cluster-config/bergen");
  assert.equal(canaryKey("bergen", "cilium/state/ip/v1"), "cilium/synced/bergen/cilium/state/ip/v1");
  assert.equal(canaryPrefix("bergen"), "cilium/synced/bergen/");
  assert.equal(localServiceKey("shop", "cart"), "bulkhead/v1/services/shop/cart");
  assert.equal(localServicesCanary("bergen"), "cilium/synced/bergen/bulkhead/v1/services");
  const keys = RESOURCES.map(({ kind }) => [stateKey(kind, "bergen", "S"), cacheKey(kind, "bergen", "S")]);
  assert.deepEqual(keys, [
    ["cilium/state/nodes/v1/bergen/S", "cilium/cache/nodes/v1/bergen/S"],
    ["cilium/state/identities/v1/id/S", "cilium/cache/identities/v1/bergen/id/S"],
    ["cilium/state/ip/v1/default/S", "cilium/cache/ip/v1/bergen/S"],
    ["cilium/state/services/v1/bergen/S", "cilium/cache/services/v1/bergen/S"],
    ["cilium/state/endpointslices/v1/bergen/S", "cilium/cache/endpointslices/v1/bergen/S"],
    ["cilium/state/serviceexports/v1/bergen/S", "cilium/cache/serviceexports/v1/bergen/S"],
  ]);
  assert.deepEqual(
    RESOURCES.map(({ stateCanary, cacheCanary }) => [stateCanary, cacheCanary]),
    ["nodes", "identities", "ip", "services", "endpointslices", "serviceexports"].map((kind) => [
      `cilium/state/${kind}/v1`,
      `cilium/cache/${kind}/v1`,
    ]),
  );
});

test("a cache key comes apart as it was put together", () => {
  const kind = fc.constantFrom(...RESOURCES.map((resource) => resource.kind));
  const cluster = fc.stringMatching(/^[a-z0-9-]{1,8}$/);
  const suffix = fc.string({ minLength: 1, unit: fc.constantFrom("/", "a", ".", "\u0000", "é") });
  fc.assert(
    fc.property(kind, cluster, suffix, (kindOf, name, tail) => {
      assert.deepEqual(parseCacheKey(cacheKey(kindOf, name, tail)), { kind: kindOf, cluster: name, suffix: tail });
    }),
  );
});

test("other keys are not taken for cache keys", () => {
  const keys = [
    "",
    "cilium/cache/",
    "cilium/cache/ip/v1",
    "cilium/cache/ip/v1/",
    "cilium/cache/ip/v1/bergen",
    "cilium/cache/ip/v1/bergen/",
    "cilium/cache/ip/v1//10.0.0.1",
    "cilium/cache/ip/v2/bergen/10.0.0.1",
    "cilium/cache/identities/v1/bergen/197121",
    "cilium/cache/endpoints/v1/bergen/shop/cart-1",
    "cilium/state/ip/v1/default/10.0.0.1",
    "xcilium/cache/ip/v1/bergen/10.0.0.1",
  ];
  for (const key of keys) assert.equal(parseCacheKey(key), undefined, key);
});

test("config and canary keys come apart", () => {
  assert.equal(clusterOfConfigKey("cilium/cluster-config/bergen"), "bergen");
  for (const key of ["cilium/cluster-config/", "cilium/cluster-config/a/b", "cilium/cluster-confi", ""]) {
    assert.equal(clusterOfConfigKey(key), undefined, key);
  }
  const canary = { cluster: "bergen", prefix: "cilium/cache/ip/v1" };
  assert.deepEqual(parseCanaryKey("cilium/synced/bergen/cilium/cache/ip/v1"), canary);
  for (const key of ["cilium/synced/", "cilium/synced/bergen", "cilium/synced/bergen/", "cilium/synced//x", "x"]) {
    assert.equal(parseCanaryKey(key), undefined, key);
  }
});

test("what a cluster offers follows from its capabilities", () => {
  const config = { id: 3, syncedCanaries: true, cached: false, maxConnectedClusters: 255 };
  const offered = (mode: string, exports?: boolean) => {
    const flags = exports === undefined ? {} : { serviceExportsEnabled: exports };
    const said = { ...config, endpointSlicesExportMode: mode, ...flags };
    return RESOURCES.filter(({ offers }) => offers(said))
      .map(({ kind }) => kind)
      .slice(3);
  };
  assert.deepEqual(offered(""), ["services"]);
  assert.deepEqual(offered("services-and-endpointslices", false), ["services", "endpointslices", "serviceexports"]);
  assert.deepEqual(offered("endpointslices-only", true), ["endpointslices", "serviceexports"]);
});
