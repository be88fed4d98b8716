import assert from "node:assert/strict";
import { test } from "node:test";
import { KernelError, type KernelMap, type LoadRequest } from "../../src/kernel/door.ts";
import { CrashError, crashAt, type FaultPlan, faultyKernel, type MapCall } from "../../src/kernel/faulty.ts";
import { MemoryKernel } from "../../src/kernel/memory.ts";

const byte = (name: string) => ({ name, sizeBytes: 1, fields: [] });
const REQUEST: LoadRequest = {
  objectPath: "one.o",
  pinDirectory: "/pins",
  layoutVersion: 1,
  layouts: [{ name: "things", key: byte("thing_key"), value: byte("thing_value") }],
};
const FOUR = { count: 4, keys: Uint8Array.of(1, 2, 3, 4), values: Uint8Array.of(5, 6, 7, 8) };

async function loaded(plan: FaultPlan): Promise<{ faulty: KernelMap; survivor: () => Promise<number> }> {
  const kernel = new MemoryKernel();
  const faulty = (await faultyKernel(kernel, plan).load(REQUEST)).maps.get("things");
  const sound = (await kernel.load(REQUEST)).maps.get("things");
  assert(faulty !== undefined && sound !== undefined);
  return { faulty, survivor: async () => (await sound.dump()).count };
}

for (const [when, left] of [
  ["before", 0],
  ["midway", 2],
  ["after", 4],
] as const) {
  test(`a crash ${when} a write leaves ${left} of 4 entries, and nothing works afterwards`, async () => {
    const { faulty, survivor } = await loaded(crashAt(1, when));
    await faulty.dump();
    await assert.rejects(faulty.update(FOUR), CrashError);
    assert.equal(await survivor(), left);
    await assert.rejects(faulty.remove(FOUR.keys, 4), CrashError);
    await assert.rejects(faulty.dump(), CrashError);
    assert.throws(() => faulty.lookup(Uint8Array.of(1)), CrashError);
    assert.equal(await survivor(), left);
  });

  test(`a failure ${when} a write says how many are done, and the next call works`, async () => {
    const { faulty, survivor } = await loaded(({ index }) => (index === 0 ? { when, errno: 12 } : undefined));
    await assert.rejects(faulty.update(FOUR), (error) => {
      assert(error instanceof KernelError);
      assert.deepEqual([error.errno, error.done, error.retryable], [12, left, true]);
      return true;
    });
    assert.equal(await survivor(), left);
    await faulty.update(FOUR);
    assert.equal(await survivor(), 4);
  });
}

test("the plan sees every call in order; a crash ends the whole kernel", async () => {
  const calls: MapCall[] = [];
  const kernel = faultyKernel(new MemoryKernel(), (call) => {
    calls.push(call);
    return call.operation === "remove" ? { when: "midway" } : undefined;
  });
  const object = await kernel.load(REQUEST);
  const map = object.maps.get("things");
  await map?.update(FOUR);
  await map?.dump();
  await assert.rejects(map?.remove(FOUR.keys, 4) ?? Promise.resolve(), CrashError);
  assert.deepEqual(
    calls.map(({ index, map: name, operation }) => `${index} ${name} ${operation}`),
    ["0 things update", "1 things dump", "2 things remove"],
  );
  await assert.rejects(kernel.load(REQUEST), CrashError);
  await assert.rejects(object.attachCgroup("/cgroup"), CrashError);
});

const FAMILIES: LoadRequest = {
  ...REQUEST,
  families: [{ name: "policies", key: byte("key"), value: byte("value"), maxEntries: 4 }],
  devicePrograms: { from: "from", to: "to" },
};
const members = [1, 2, 3, 4].map((slot) => ({ slot, entries: FOUR }));

test("families, the maps inside and devices are numbered calls like the others", async () => {
  const calls: string[] = [];
  const kernel = faultyKernel(new MemoryKernel(), ({ index, map, operation }) => {
    calls.push(`${index} ${map} ${operation}`);
    return undefined;
  });
  const object = await kernel.load(FAMILIES);
  const family = object.families.get("policies");
  const [one] = (await family?.put(members)) ?? [];
  await one?.remove(FOUR.keys, 4);
  await (await family?.read())?.get(2)?.dump();
  await family?.remove([1]);
  await object.attachDevice({ ifindex: 7, name: "veth7" });
  assert.equal(await object.detachOthers(new Set()), 1);
  assert.deepEqual(calls, [
    "0 policies put",
    "1 policies[1] remove",
    "2 policies read",
    "3 policies[2] dump",
    "4 policies remove",
    "5 device 7 attach",
  ]);
});

for (const [when, left] of [
  ["before", 0],
  ["midway", 2],
  ["after", 4],
] as const) {
  test(`a crash ${when} a put leaves ${left} of 4 maps; one ${when} an attachment leaves ${left === 4 ? "it" : "none"}`, async () => {
    const kernel = new MemoryKernel();
    const sound = await kernel.load(FAMILIES);
    const first = await faultyKernel(kernel, crashAt(0, when)).load(FAMILIES);
    await assert.rejects(first.families.get("policies")?.put(members) ?? assert.fail(), CrashError);
    assert.equal((await sound.families.get("policies")?.read())?.size, left);
    await assert.rejects(first.attachDevice({ ifindex: 7, name: "veth7" }), CrashError);
    await assert.rejects(first.detachOthers(new Set()), CrashError);
    assert.deepEqual(kernel.attachedDevices(FAMILIES), []);
    const second = await faultyKernel(kernel, crashAt(0, when)).load(FAMILIES);
    await assert.rejects(second.attachDevice({ ifindex: 7, name: "veth7" }), CrashError);
    assert.deepEqual(kernel.attachedDevices(FAMILIES), when === "after" ? [7] : []);
  });
}
