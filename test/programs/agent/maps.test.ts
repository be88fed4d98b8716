import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemoryKernel } from "../../../src/kernel/memory.ts";
import { BACKEND_MAP, encodeBackendKey, encodeBackendValue } from "../../../src/maps/backend-map.ts";
import { LAYOUT_VERSION } from "../../../src/maps/layout.ts";
import { SOCK_LB_OBJECT } from "../../../src/maps/objects.ts";
import { decodeServiceKey, SERVICE_MAP } from "../../../src/maps/service-map.ts";
import { parseAddress } from "../../../src/model/address.ts";
import type { MapLayout } from "../../../src/model/layout.ts";
import { mapsText } from "../../../src/report/maps.ts";
import { settings, start, world } from "./stage.ts";

async function mapOf(kernel: MemoryKernel, { name }: MapLayout) {
  const { objects: _, bpfDir: pinDirectory } = settings;
  const request = { objectPath: "", pinDirectory, layoutVersion: LAYOUT_VERSION, layouts: SOCK_LB_OBJECT.maps };
  return (await kernel.load(request)).maps.get(name) ?? assert.fail("no map");
}

const differing = (text: string): readonly string[] => text.split("\n").filter((line) => line.startsWith("n1 "));

test("what differs between the kernel and the compiled maps is counted and named, until the drift scan mends it (P06)", async () => {
  const mesh = world();
  const { agent, crash } = await start(mesh, { driftIntervalMs: 30_000 });
  const none = mapsText([await mesh.local.clock.settle(agent.maps())], true);
  assert.match(none, /backends +3 +3 +0 +0 +0/);
  assert.match(none, /\nno difference$/);

  const map = await mapOf(mesh.kernel, BACKEND_MAP);
  const put = (id: number, address: string) =>
    map.update({
      count: 1,
      keys: encodeBackendKey({ id }),
      values: encodeBackendValue({
        address: parseAddress(address) ?? assert.fail(),
        port: 1,
        protocol: 6,
        clusterId: 1,
      }),
    });
  await map.remove(encodeBackendKey({ id: 1 }), 1);
  await put(77, "10.6.6.6");
  await put(2, "10.6.6.7");
  const answer = await mesh.local.clock.settle(agent.maps());
  const text = mapsText([answer], true);
  assert.match(text, /backends +3 +3 +1 +1 +1/);
  assert.match(text, /\n1 map differs$/);
  assert.equal(differing(text).length, 3);
  assert.match(text, /^n1 backends: missing: id=1: address=10\.\S+ port=80 protocol=6 clusterId=\d$/m);
  assert.match(text, /^n1 backends: extra: id=77: address=10\.6\.6\.6 port=1 protocol=6 clusterId=1$/m);
  assert.match(text, /^n1 backends: changed: id=2: address=10\.6\.6\.7 .*, should be address=10\./m);

  await mesh.local.clock.advance(31_000);
  assert.match(mapsText([await mesh.local.clock.settle(agent.maps())], true), /\nno difference$/);
  await crash();
});

test("a Maglev table is adopted as it is by the next agent, and a slot that somebody removed comes back (P06)", async () => {
  const mesh = world();
  const maglev = { lbAlgorithm: "maglev", maglevTableSize: 251, driftIntervalMs: 30_000 } as const;
  const first = await start(mesh, maglev);
  const [table] = first.agent.status().services[0]?.tables ?? [];
  assert.equal(table?.slots, 251);
  await first.crash();
  const { agent, crash } = await start(mesh, maglev);
  assert.deepEqual(agent.status().services[0]?.tables?.[0], table);
  const { written, removed, adopted } = agent.status();
  assert.deepEqual([written, removed], [0, 0]);
  assert(adopted > 251);

  const map = await mapOf(mesh.kernel, SERVICE_MAP);
  const { keys, count } = await map.dump();
  const all = Array.from({ length: count }, (_, index) => keys.slice(index * map.keySize, (index + 1) * map.keySize));
  await map.remove(all.find((key) => decodeServiceKey(key).slot === 200) ?? assert.fail(), 1);
  const text = mapsText([await mesh.local.clock.settle(agent.maps())], true);
  assert.match(text, /^n1 services: missing: address=\S+ port=80 slot=200 protocol=6: backendId=\d count=0$/m);
  await mesh.local.clock.advance(31_000);
  assert.match(mapsText([await mesh.local.clock.settle(agent.maps())], true), /\nno difference$/);
  await crash();
});
