import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelMap, LoadedObject, LoadRequest } from "../../src/kernel/door.ts";
import { MemoryKernel } from "../../src/kernel/memory.ts";

const struct = (name: string, sizeBytes: number) => ({ name, sizeBytes, fields: [] });

const REQUEST: LoadRequest = {
  objectPath: "one.o",
  pinDirectory: "/pins",
  layoutVersion: 1,
  layouts: [{ name: "things", key: struct("thing_key", 2), value: struct("thing_value", 1) }],
  maxEntries: { things: 3 },
};

function things(object: LoadedObject): KernelMap {
  const map = object.maps.get("things");
  assert(map !== undefined);
  return map;
}

test("maps and links outlive the object, by pin and version", async () => {
  const kernel = new MemoryKernel(["connect4"]);
  const first = await kernel.load(REQUEST);
  assert.deepEqual(first.adopted, []);
  await things(first).update({ count: 1, keys: Uint8Array.of(1, 2), values: Uint8Array.of(3) });
  assert.deepEqual(await first.attachCgroup("/cgroup"), { connect4: "created" });
  first.close();

  const second = await kernel.load(REQUEST);
  assert.deepEqual(second.adopted, ["things"]);
  assert.deepEqual(await things(second).dump(), { count: 1, keys: Uint8Array.of(1, 2), values: Uint8Array.of(3) });
  assert.deepEqual(await second.attachCgroup("/cgroup"), { connect4: "unchanged" });

  const third = await kernel.load({ ...REQUEST, objectPath: "two.o", layoutVersion: 2 });
  assert.deepEqual(third.adopted, []);
  assert.equal((await things(third).dump()).count, 0);
  assert.deepEqual(await third.attachCgroup("/cgroup"), { connect4: "replaced" });
});

test("entries are copies, both ways", async () => {
  const map = things(await new MemoryKernel().load(REQUEST));
  const values = Buffer.from([9]);
  await map.update({ count: 1, keys: Uint8Array.of(1, 2), values });
  values.fill(0);
  const seen = map.lookup(Uint8Array.of(1, 2));
  assert.deepEqual(seen, Uint8Array.of(9));
  seen?.fill(0);
  assert.deepEqual(map.lookup(Uint8Array.of(1, 2)), Uint8Array.of(9));
  assert.equal(map.lookup(Uint8Array.of(2, 1)), undefined);
});

test("sizes that do not match the layout are a mistake", async () => {
  const map = things(await new MemoryKernel().load(REQUEST));
  const wrong = { count: 2, keys: Uint8Array.of(1, 2), values: Uint8Array.of(1, 2) };
  await assert.rejects(map.update(wrong), assert.AssertionError);
  await assert.rejects(map.remove(Uint8Array.of(1), 1), assert.AssertionError);
  assert.throws(() => map.lookup(Uint8Array.of(1)), assert.AssertionError);
});
