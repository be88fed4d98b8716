// Maps: what goes in comes out, limits are refused, and the in-memory body is the kernel's equal.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { KernelError, type KernelMap, type LoadedObject } from "../../src/kernel/door.ts";
import { MemoryKernel } from "../../src/kernel/memory.ts";
import { ENDPOINT_OBJECT, SOCK_LB_OBJECT } from "../../src/maps/objects.ts";
import { backendEntry, entriesOf, mapOf, rowsOf, serviceEntries } from "./entries.ts";
import { loadRequest, Stage } from "./stage.ts";

const SERVICES = 10_000;
const BACKENDS_PER_SERVICE = 3;

let stage: Stage;

before(() => {
  stage = new Stage();
});

after(() => stage.close());

function tenThousandServices() {
  const pairs = Array.from({ length: SERVICES }, (_, index) => {
    const address = index % 2 === 0 ? `172.20.${index >> 8}.${index & 255}` : `fd00:20::${index.toString(16)}`;
    const ids = Array.from({ length: BACKENDS_PER_SERVICE }, (__, slot) => 1 + index * BACKENDS_PER_SERVICE + slot);
    return serviceEntries({ address, port: 80, protocol: index % 3 === 0 ? "UDP" : "TCP" }, ids);
  });
  return entriesOf(pairs.flat());
}

test("10,000 services: dump gives what update took, remove takes it away", async () => {
  const map = mapOf(await stage.load(), "services");
  const entries = tenThousandServices();
  assert.equal(entries.count, SERVICES * (1 + BACKENDS_PER_SERVICE));
  await map.update(entries);
  const twin = mapOf(await new MemoryKernel().load(loadRequest(SOCK_LB_OBJECT, "pins")), "services");
  await twin.update(entries);
  assert.deepEqual(await rowsOf(map), await rowsOf(twin));
  assert.deepEqual(map.lookup(entries.keys.subarray(0, 24)), twin.lookup(entries.keys.subarray(0, 24)));
  const half = entries.count / 2;
  await map.remove(entries.keys.subarray(0, half * map.keySize), half);
  assert.equal((await map.dump()).count, half);
  // The first half is gone already: each of its keys stops a batch.
  await map.remove(entries.keys, entries.count);
  assert.deepEqual(await map.dump(), { count: 0, keys: new Uint8Array(0), values: new Uint8Array(0) });
});

test("a full map refuses the entry that does not fit, says how many are in, and still takes updates of those", async () => {
  const request = { maxEntries: { backends: 8 }, pinDirectory: `${stage.pins}/small` };
  const entries = entriesOf(
    Array.from({ length: 10 }, (_, id) => backendEntry(id, { address: "10.0.0.1", port: 1 + id, protocol: "TCP" })),
  );
  for (const kernelBody of [stage, new MemoryKernel()]) {
    const loaded = await (kernelBody instanceof Stage
      ? stage.load(SOCK_LB_OBJECT, request)
      : kernelBody.load(loadRequest(SOCK_LB_OBJECT, "pins", request)));
    const map = mapOf(loaded, "backends");
    assert.equal(map.maxEntries, 8);
    await assert.rejects(map.update(entries), (error) => {
      assert(error instanceof KernelError);
      assert.deepEqual([error.errno, error.done, error.retryable], [7, 8, true]);
      assert.match(error.message, /writing entry 9 of 10 to backends: E2BIG \(the map is full\)/);
      return true;
    });
    await map.update({ count: 8, keys: entries.keys.subarray(0, 8 * 4), values: entries.values.subarray(2 * 24) });
    assert.equal((await map.dump()).count, 8);
    assert.deepEqual(map.lookup(entries.keys.subarray(0, 4)), new Uint8Array(entries.values.subarray(2 * 24, 3 * 24)));
  }
});

const KEYS = 16;
/** Bytes of the ipcache's key and value from one small number each, so that operations meet. */
const keyBytes = (id: number): Uint8Array => new Uint8Array(16).fill(id);
const valueBytes = (id: number): Uint8Array => new Uint8Array(8).fill(id);

const operations = fc.array(
  fc.record({
    kind: fc.constantFrom("update", "remove", "lookup"),
    pairs: fc.array(fc.tuple(fc.nat(KEYS - 1), fc.nat(255)), { maxLength: 12 }),
  }),
  { maxLength: 20 },
);

/** What an operation leaves to see: the value found, or the errno and how far it came. */
async function outcome(map: KernelMap, kind: string, pairs: readonly (readonly [number, number])[]): Promise<unknown> {
  const keys = Buffer.concat(pairs.map(([key]) => keyBytes(key)));
  try {
    if (kind === "remove") return await map.remove(keys, pairs.length);
    if (kind === "update") {
      const values = Buffer.concat(pairs.map(([, value]) => valueBytes(value)));
      return await map.update({ count: pairs.length, keys, values });
    }
    return pairs.map(([key]) => map.lookup(keyBytes(key)) ?? "nothing");
  } catch (error) {
    assert(error instanceof KernelError, String(error));
    return { errno: error.errno, done: error.done, message: error.message };
  }
}

async function emptied(object: LoadedObject): Promise<KernelMap> {
  const map = mapOf(object, "ipcache");
  const { keys, count } = await map.dump();
  await map.remove(keys, count);
  return map;
}

test("the in-memory body and the kernel answer the same to the same random operations", async () => {
  const capacity = { maxEntries: { ipcache: KEYS - 4 } };
  const real = await stage.load(ENDPOINT_OBJECT, { ...capacity, pinDirectory: `${stage.pins}/random` });
  const memory = await new MemoryKernel().load(loadRequest(ENDPOINT_OBJECT, "pins", capacity));
  let full = 0;
  await fc.assert(
    fc.asyncProperty(operations, async (sequence) => {
      const [left, right] = [await emptied(real), await emptied(memory)];
      for (const { kind, pairs } of sequence) {
        const expected = await outcome(right, kind, pairs);
        assert.deepEqual(await outcome(left, kind, pairs), expected);
        if (typeof expected === "object" && expected !== null && "errno" in expected) full++;
        assert.deepEqual(await rowsOf(left), await rowsOf(right));
      }
    }),
    { numRuns: 300 },
  );
  assert(full > 0, "the sequences filled the map at least once");
});
