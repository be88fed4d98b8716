import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemoryKernel } from "../../../src/kernel/memory.ts";
import { BACKEND_MAP, encodeBackendKey, encodeBackendValue } from "../../../src/maps/backend-map.ts";
import { LAYOUT_VERSION } from "../../../src/maps/layout.ts";
import { SOCK_LB_OBJECT } from "../../../src/maps/objects.ts";
import { parseAddress } from "../../../src/model/address.ts";
import { mapsText } from "../../../src/report/maps.ts";
import { settings, start, world } from "./stage.ts";

async function backends(kernel: MemoryKernel) {
  const { objects: _, bpfDir: pinDirectory } = settings;
  const request = { objectPath: "", pinDirectory, layoutVersion: LAYOUT_VERSION, layouts: SOCK_LB_OBJECT.maps };
  return (await kernel.load(request)).maps.get(BACKEND_MAP.name) ?? assert.fail("no map");
}

const differing = (text: string): readonly string[] => text.split("\n").filter((line) => line.startsWith("n1 "));

test("what differs between the kernel and the compiled maps is counted and named, until the drift scan mends it (P06)", async () => {
  const mesh = world();
  const { agent, crash } = await start(mesh, { driftIntervalMs: 30_000 });
  const none = mapsText([await mesh.local.clock.settle(agent.maps())], true);
  assert.match(none, /backends +3 +3 +0 +0 +0/);
  assert.match(none, /\nno difference$/);

  const map = await backends(mesh.kernel);
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
