import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelMap, LoadedObject, LoadRequest } from "../../src/kernel/door.ts";
import { MemoryKernel, type MemoryRing } from "../../src/kernel/memory.ts";
import { MemoryNetwork } from "../../src/kernel/memory-network.ts";

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

const FAMILY = { name: "families", key: struct("inner_key", 1), value: struct("inner_value", 1), maxEntries: 2 };
const DEVICES: LoadRequest = {
  ...REQUEST,
  families: [FAMILY],
  rings: ["events"],
  devicePrograms: { from: "from_pod", to: "to_pod" },
};
const entries = (...bytes: number[]) => ({
  count: bytes.length,
  keys: Uint8Array.from(bytes),
  values: Uint8Array.from(bytes),
});

test("families outlive the object; a map that does not fit leaves every slot as it was", async () => {
  const kernel = new MemoryKernel();
  const family = (await kernel.load(DEVICES)).families.get("families") ?? assert.fail();
  const [two] = await family.put([
    { slot: 2, entries: entries(7) },
    { slot: 1, entries: entries() },
  ]);
  await two?.update(entries(8));
  const tooMany = [
    { slot: 1, entries: entries(1) },
    { slot: 2, entries: entries(1, 2, 3) },
  ];
  await assert.rejects(family.put(tooMany), { full: true, done: 0 });
  await assert.rejects(family.put([{ slot: family.maxMaps, entries: entries() }]), assert.AssertionError);
  const next = await kernel.load(DEVICES);
  assert.deepEqual(next.adopted, ["things", "families", "events"]);
  const found = await (next.families.get("families") ?? assert.fail()).read();
  assert.deepEqual([...found.keys()], [1, 2]);
  assert.deepEqual([(await found.get(1)?.dump())?.count, await found.get(2)?.dump()], [0, entries(7, 8)]);
  await family.remove([1, 3]);
  assert.deepEqual([...(await family.read()).keys()], [2]);
});

test("what a test pushes into a ring is drained in order, up to the limit, whoever holds the object", async () => {
  const kernel = new MemoryKernel();
  const ring = (await kernel.load(DEVICES)).rings.get("events") as MemoryRing;
  for (const byte of [1, 2, 3]) ring.push(Uint8Array.of(byte));
  const seen: number[] = [];
  const take = (bytes: Uint8Array): number => seen.push(bytes[0] ?? -1);
  assert.equal(ring.drain(2, take), 2);
  assert.equal((await kernel.load(DEVICES)).rings.get("events")?.drain(9, take), 1);
  assert.deepEqual(seen, [1, 2, 3]);
});

test("devices: attached, found again by the next process, gone, detached", async () => {
  const kernel = new MemoryKernel();
  const object = await kernel.load(DEVICES);
  const veth = { ifindex: 7, name: "veth7" };
  const both = (outcome: string) => ({ from_pod: outcome, to_pod: outcome });
  assert.deepEqual(await object.attachDevice(veth), both("created"));
  assert.deepEqual(await object.attachDevice({ ifindex: 8, name: "veth8" }), both("created"));
  const next = await kernel.load({ ...DEVICES, objectPath: "two.o" });
  assert.deepEqual(await next.attachDevice(veth), both("replaced"));
  assert.deepEqual(await next.attachDevice(veth), both("unchanged"));
  assert.equal(await next.detachOthers(new Set([7])), 1);
  assert.deepEqual(kernel.attachedDevices(DEVICES), [7]);
  kernel.goneDevices.add(7);
  await assert.rejects(next.attachDevice(veth), { name: "KernelError", errno: 19 });
});

test("a network in memory says once that it changed", () => {
  const network = new MemoryNetwork();
  assert.equal(network.changed(), false);
  const veth = { ifindex: 7, name: "veth7", addresses: ["10.0.0.1"] };
  network.putDevice({ ...veth, addresses: [] });
  network.putDevice(veth);
  network.set({ ownAddresses: ["192.0.2.1"] });
  assert.deepEqual([network.changed(), network.changed()], [true, false]);
  assert.deepEqual(network.read(), { devices: [veth], ownAddresses: ["192.0.2.1"] });
  network.removeDevice(7);
  assert.deepEqual([network.changed(), network.read().devices], [true, []]);
});
