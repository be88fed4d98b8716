/** What is ours, as the local etcd says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type KvClient, KvError } from "../../src/kv/client.ts";
import { ownRanges } from "../../src/mirror/own-ranges.ts";
import { localServiceKey } from "../../src/wire/keys.ts";
import { encodeLocalService } from "../../src/wire/local-service.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { FakeCluster } from "./fake-cluster.ts";

function localState() {
  const clock = new VirtualClock();
  const own = new FakeCluster("amsterdam", 1, clock);
  own.putNode("node-1");
  own.putNode("node-2", "10.1.255.2");
  own.put(own.nodeKey("bad"), "{");
  own.putService("cart", [1]);
  own.put(own.serviceKey("bad"), "[]");
  const port = { name: "", protocol: "TCP", port: 80 } as const;
  const named = {
    namespace: "shop",
    name: "till",
    backends: new Map(),
    global: false,
    shared: false,
    affinity: "none",
  } as const;
  own.put(
    localServiceKey("shop", "till"),
    encodeLocalService({ ...named, frontends: new Map([["10.100.9.9", [port]]]) }),
  );
  const kv = own.etcd.client({ timeoutMs: 1_000 });
  const options = { local: kv, clock, signal: new AbortController().signal, pageSize: 1 };
  const read = (local: KvClient) => clock.settle(ownRanges(own, { ...options, local }));
  return { kv, read };
}

/** Fails every listing below `prefix`. */
function failing(kv: KvClient, prefix: string, code: "denied" | "unavailable"): KvClient {
  const range: KvClient["range"] = (request, options) =>
    request.key.startsWith(prefix) ? Promise.reject(new KvError(code, "no")) : kv.range(request, options);
  return new Proxy(kv, { get: (of, name) => (name === "range" ? range : Reflect.get(of, name).bind(of)) });
}

test("nodes, and frontends of services that are shared and that are not; what cannot be read is left out", async () => {
  const { kv, read } = localState();
  const { nodes, frontends, denied } = await read(kv);
  assert.deepEqual(
    nodes?.map(({ name }) => name),
    ["node-1", "node-2"],
  );
  assert.deepEqual([...(frontends ?? [])].sort(), ["10.100.1.1", "10.100.9.9"]);
  assert.equal(denied, false);
});

test("a denied read is told and leaves the rest; another failure is one", async () => {
  const { kv, read } = localState();
  const withoutServices = await read(failing(kv, "bulkhead/v1/services/", "denied"));
  assert.equal(withoutServices.nodes?.length, 2);
  assert.equal(withoutServices.frontends, undefined);
  assert.equal(withoutServices.denied, true);
  const withoutNodes = await read(failing(kv, "cilium/state/nodes/", "denied"));
  assert.equal(withoutNodes.nodes, undefined);
  assert.equal(withoutNodes.frontends?.length, 2);
  assert.equal(withoutNodes.denied, true);
  await assert.rejects(read(failing(kv, "cilium/state/nodes/", "unavailable")), KvError);
});
