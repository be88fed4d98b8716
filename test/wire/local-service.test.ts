/** Addresses beyond the cluster's own: on the wire, and as frontends like any other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { frontends } from "../../src/lb/select.ts";
import type { LocalService } from "../../src/model/resource.ts";
import { encodeLocalService, judgeLocalService } from "../../src/wire/local-service.ts";
import { LOCAL_SERVICE } from "../golden/values.ts";

const WEB = [{ name: "web", protocol: "TCP", port: 80 }] as const;
const EXTERNAL: LocalService = { ...LOCAL_SERVICE, external: new Map([["198.51.100.7", WEB]]) };

test("external addresses survive the way through the etcd, and nothing is written where there are none", () => {
  const judged = judgeLocalService("shop/cart", encodeLocalService(EXTERNAL));
  assert.ok(judged.ok);
  assert.deepEqual(judged.value.external, EXTERNAL.external);
  const text = new TextDecoder().decode(encodeLocalService(LOCAL_SERVICE));
  assert.ok(!text.includes("external"), text);
});

test("an external address is checked as any other", () => {
  const text = new TextDecoder().decode(encodeLocalService(EXTERNAL)).replace("198.51.100.7", "198.51.100.007");
  const judged = judgeLocalService("shop/cart", new TextEncoder().encode(text));
  assert.ok(!judged.ok);
  assert.match(judged.rejection.detail, /^external: /);
});

test("agents serve external addresses beside the cluster's own, by the same names of ports", () => {
  assert.deepEqual(frontends(EXTERNAL), [
    { ...WEB[0], address: "10.95.0.12" },
    { ...WEB[0], address: "198.51.100.7" },
  ]);
});
