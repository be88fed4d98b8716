import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IpcacheCompiler } from "../../src/ipcache/ipcache-compiler.ts";
import { KernelError, type KernelMap, type MapEntries } from "../../src/kernel/door.ts";
import { crashAt, faultyKernel, type MapFault } from "../../src/kernel/faulty.ts";
import { MemoryKernel } from "../../src/kernel/memory.ts";
import { BACKEND_MAP, decodeBackendValue } from "../../src/maps/backend-map.ts";
import { encodeReverseNatKey, encodeReverseNatValue, REVERSE_NAT_MAP } from "../../src/maps/reverse-nat-map.ts";
import { formatAddress, parseAddress } from "../../src/model/address.ts";
import { keyBytes } from "../../src/tables/desired-map.ts";
import { rounds } from "../support/rounds.ts";
import { type Change, OSAKA, OWN, pod, rowChanges, syncEverything, tablesAfter } from "../tables/world.ts";
import { ipcacheOf, type KernelMaps, pinnedMaps, stage, translations } from "./stage.ts";

/** Brings a kernel to what `changes` say, and returns what it translates then. */
async function settled(kernel: MemoryKernel, changes: readonly Change[]): Promise<Map<string, readonly string[]>> {
  const maps = await pinnedMaps(kernel);
  const { datapath, run, stop } = await stage(maps, tablesAfter([...changes, syncEverything]));
  datapath.changed();
  await run();
  await stop();
  return translations(maps);
}

/** Each frontend leads to backends that the old or the new tables name for it, and those of both are never lost. */
function assertLegitimate(
  now: ReadonlyMap<string, readonly string[]>,
  before: ReadonlyMap<string, readonly string[]>,
  after: ReadonlyMap<string, readonly string[]>,
): void {
  for (const [frontend, backends] of now) {
    const known = new Set([...(before.get(frontend) ?? []), ...(after.get(frontend) ?? [])]);
    for (const backend of backends) assert(known.has(backend), `${frontend} leads to ${backend}`);
    const [old, next] = [before.get(frontend), after.get(frontend)];
    if (old?.length && next?.length) assert(backends.length > 0, `${frontend} has no backend for a while`);
  }
  for (const frontend of before.keys()) {
    if (after.has(frontend)) assert(now.has(frontend), `${frontend} is gone for a while`);
  }
}

/** Splits calls into single entries and looks after each. */
function watched(maps: KernelMaps, look: () => Promise<void>): KernelMaps {
  const one = (bytes: Uint8Array, index: number, size: number) => bytes.subarray(index * size, (index + 1) * size);
  const split = (map: KernelMap): KernelMap => ({
    name: map.name,
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    dump: () => map.dump(),
    lookup: (key) => map.lookup(key),
    async update({ count, keys, values }: MapEntries) {
      for (let index = 0; index < count; index++) {
        const entry = { keys: one(keys, index, map.keySize), values: one(values, index, map.valueSize) };
        await map.update({ count: 1, ...entry });
        await look();
      }
    },
    async remove(keys, count) {
      for (let index = 0; index < count; index++) {
        await map.remove(one(keys, index, map.keySize), 1);
        await look();
      }
    },
  });
  return new Map([...maps].map(([name, map]) => [name, split(map)]));
}

test("after every single entry the maps are valid, and nothing serves less than before or after", async () => {
  await fc.assert(
    fc.asyncProperty(rowChanges, rowChanges, async (old, next) => {
      const kernel = new MemoryKernel();
      const before = await settled(kernel, old);
      const after = await settled(new MemoryKernel(), next);
      const maps = await pinnedMaps(kernel);
      let looks = 0;
      const look = async () => {
        assertLegitimate(await translations(maps, false), before, after);
        looks++;
      };
      const { datapath, run, stop } = await stage(watched(maps, look), tablesAfter([...next, syncEverything]));
      datapath.changed();
      await run();
      assert.deepEqual(datapath.status().problems, []);
      assert.equal(looks, datapath.status().written + datapath.status().removed);
      assert.deepEqual(await translations(maps), after);
      await stop();
    }),
    { numRuns: rounds(30, 150) },
  );
});

/** Each address is there as before or as after, and none of both is missing. */
function assertLegitimateIpcache(now: Addresses, before: Addresses, after: Addresses): void {
  for (const [address, value] of now) assert([before.get(address), after.get(address)].includes(value), `${address}`);
  for (const address of before.keys()) if (after.has(address)) assert(now.has(address), `${address} is gone`);
}

type Addresses = ReadonlyMap<string, string>;

async function addressesIn(kernel: MemoryKernel): Promise<Addresses> {
  const entries = await ipcacheOf(await pinnedMaps(kernel));
  return new Map(entries.map(([key, value]) => [formatAddress(keyBytes(key)), Buffer.from(value).toString("hex")]));
}

test("P01: a crash at any call leaves valid maps, and the next start repairs them", async () => {
  const faults = fc.constantFrom<MapFault["when"]>("before", "midway", "after");
  await fc.assert(
    fc.asyncProperty(rowChanges, rowChanges, fc.nat(18), faults, async (old, next, call, when) => {
      const kernel = new MemoryKernel();
      const wanted = new MemoryKernel();
      const before = await settled(kernel, old);
      const after = await settled(wanted, next);
      const [oldAddresses, newAddresses] = [await addressesIn(kernel), await addressesIn(wanted)];
      const doomed = await pinnedMaps(faultyKernel(kernel, crashAt(call, when)));
      const agent = await stage(doomed, tablesAfter([...next, syncEverything])).catch(() => undefined);
      agent?.datapath.changed();
      await agent?.run();
      await agent?.stop();
      assertLegitimate(await translations(await pinnedMaps(kernel), false), before, after);
      assertLegitimateIpcache(await addressesIn(kernel), oldAddresses, newAddresses);
      assert.deepEqual(await settled(kernel, next), after);
      assert.deepEqual(await addressesIn(kernel), newAddresses);
    }),
    { numRuns: rounds(60, 300) },
  );
});

test("a failing call is tried again until kernel and tables agree", async () => {
  await fc.assert(
    fc.asyncProperty(rowChanges, rowChanges, fc.integer({ min: 3, max: 12 }), async (old, next, call) => {
      const kernel = new MemoryKernel();
      await settled(kernel, old);
      const plan = ({ index }: { readonly index: number }) =>
        index === call || index === call + 4 ? ({ when: "midway", errno: 12 } as const) : undefined;
      const maps = await pinnedMaps(faultyKernel(kernel, plan));
      const { datapath, run, stop } = await stage(maps, tablesAfter([...next, syncEverything]));
      datapath.changed();
      await run(20_000);
      assert(datapath.status().agrees);
      assert.deepEqual(await translations(await pinnedMaps(kernel)), await settled(new MemoryKernel(), next));
      await stop();
    }),
    { numRuns: rounds(30, 150) },
  );
});

test("a restart without changes writes and removes nothing", async () => {
  await fc.assert(
    fc.asyncProperty(rowChanges, async (changes) => {
      const kernel = new MemoryKernel();
      await settled(kernel, changes);
      const maps = await pinnedMaps(kernel);
      const { datapath, run, stop } = await stage(maps, tablesAfter([...changes, syncEverything]));
      datapath.changed();
      await run();
      const { written, removed, adopted, maps: held } = datapath.status();
      assert.deepEqual([written, removed], [0, 0]);
      assert.equal(
        adopted,
        held.reduce((sum, { entries }) => sum + entries, 0),
      );
      await stop();
    }),
    { numRuns: rounds(20, 100) },
  );
});

test("before anything is known of any cluster, a restart changes nothing", async () => {
  await fc.assert(
    fc.asyncProperty(rowChanges, async (changes) => {
      const kernel = new MemoryKernel();
      const before = await settled(kernel, changes);
      const maps = await pinnedMaps(kernel);
      const addresses = await ipcacheOf(maps);
      const { datapath, run, stop } = await stage(maps, tablesAfter([]));
      datapath.changed();
      await run();
      assert.deepEqual(await translations(maps), before);
      assert.deepEqual(await ipcacheOf(maps), addresses);
      await stop();
    }),
    { numRuns: rounds(20, 100) },
  );
});

const http = [{ name: "http", protocol: "TCP" as const, port: 80 }];

function service(number: number, backends: number): Change {
  const addresses = Array.from({ length: backends }, (_, index) => `10.1.${number}.${index + 1}`);
  return (tables) =>
    tables.putLocalService({
      namespace: "shop",
      name: `s${number}`,
      frontends: new Map([[`10.9.0.${number}`, http]]),
      backends: new Map(addresses.map((address) => [address, http])),
      global: true,
      shared: true,
      affinity: "none",
    });
}

test("a full map keeps what is in it and says so; room made by removals is used", async () => {
  const maps = await pinnedMaps(new MemoryKernel(), { backends: 4 });
  const tables = tablesAfter([service(1, 2), service(2, 2), syncEverything]);
  const { datapath, run, stop } = await stage(maps, tables);
  datapath.changed();
  await run();
  service(3, 2)(tables);
  datapath.changed();
  await run(5_000);
  assert.deepEqual([...(await translations(maps)).keys()], ["10.9.0.1:80/TCP", "10.9.0.2:80/TCP"]);
  assert.match(datapath.status().problems.join(), /backends.*full/);
  tables.remove("amsterdam", "services", "shop/s1");
  datapath.changed();
  await run(5_000);
  assert.deepEqual([...(await translations(maps)).keys()], ["10.9.0.2:80/TCP", "10.9.0.3:80/TCP"]);
  assert.equal(datapath.status().agrees, true);
  await stop();
});

test("changes that come together are written together, after they settle", async () => {
  const maps = await pinnedMaps(new MemoryKernel());
  const tables = tablesAfter([]);
  const { datapath, run, stop } = await stage(maps, tables);
  for (let number = 1; number <= 50; number++) {
    service(1, 1 + (number % 3))(tables);
    datapath.changed();
    await run(0);
  }
  await run(50);
  assert.equal(datapath.status().written, 3 + 3 + 1);
  await stop();
});

test("a new backend is the last slot, whatever its rank: three writes", async () => {
  const maps = await pinnedMaps(new MemoryKernel());
  const shop = (...hosts: readonly number[]): Change => {
    const backends = new Map(hosts.map((host) => [`10.1.0.${host}`, http]));
    const rest = { namespace: "shop", name: "web", global: true, shared: true, affinity: "none" as const };
    return (tables) => tables.putLocalService({ ...rest, frontends: new Map([["10.9.0.1", http]]), backends });
  };
  const tables = tablesAfter([shop(2, 3), syncEverything]);
  const { datapath, run, stop } = await stage(maps, tables);
  datapath.changed();
  await run();
  const before = datapath.status().written;
  shop(1, 2, 3)(tables);
  datapath.changed();
  await run();
  assert.equal(datapath.status().written - before, 3);
  await stop();
});

test("empty maps: programs are attached after the first reconcile; taken over maps: at once", async () => {
  const kernel = new MemoryKernel();
  const first = await stage(await pinnedMaps(kernel), tablesAfter([service(1, 1), syncEverything]));
  await first.run();
  assert.equal(first.attached.length, 0);
  first.datapath.changed();
  await first.run();
  assert.equal(first.attached.length, 1);
  await first.stop();
  const second = await stage(await pinnedMaps(kernel), tablesAfter([]));
  assert.deepEqual(second.attached, [0]);
  await second.stop();
});

test("what a running program may have read is removed only after it had time to finish", async () => {
  const maps = await pinnedMaps(new MemoryKernel());
  const calls: string[] = [];
  let clock: { nowMs(): number } = { nowMs: () => 0 };
  const noted = new Map(
    [...maps].map(([name, map]) => {
      const note = <T>(verb: string, result: T): T => {
        calls.push(`${clock.nowMs()} ${verb} ${name}`);
        return result;
      };
      const update: KernelMap["update"] = (entries) => note("update", map.update(entries));
      const remove: KernelMap["remove"] = (keys, count) => note("remove", map.remove(keys, count));
      const { keySize, valueSize, maxEntries } = map;
      return [
        name,
        { name, keySize, valueSize, maxEntries, dump: () => map.dump(), lookup: map.lookup, update, remove },
      ];
    }),
  );
  const tables = tablesAfter([service(1, 2), syncEverything]);
  const { clock: virtual, datapath, run, stop } = await stage(noted, tables);
  clock = virtual;
  datapath.changed();
  await run();
  calls.length = 0;
  service(1, 1)(tables);
  datapath.changed();
  await run();
  assert.deepEqual(calls, ["105 update services", "115 remove services", "125 remove backends"]);
  await stop();
});

test("a call that failed but took effect is found out", async () => {
  const maps = new Map(await pinnedMaps(new MemoryKernel()));
  const backends = maps.get("backends") as KernelMap;
  let lies = 1;
  const { name, keySize, valueSize, maxEntries } = backends;
  maps.set("backends", {
    ...{ name, keySize, valueSize, maxEntries },
    dump: () => backends.dump(),
    lookup: (key) => backends.lookup(key),
    remove: (keys, count) => backends.remove(keys, count),
    async update(entries) {
      await backends.update(entries);
      if (lies-- > 0) throw new KernelError("interrupted", 4, 0, true);
    },
  });
  const tables = tablesAfter([service(1, 1), syncEverything]);
  const { datapath, run, stop } = await stage(maps, tables);
  datapath.changed();
  await run(20);
  tables.remove("amsterdam", "services", "shop/s1");
  await run(5_000);
  assert.equal((await backends.dump()).count, 0);
  await stop();
});

const addressOf = (host: number) => `10.1.0.${host}`;
const ip =
  (host: number): Change =>
  (tables) =>
    tables.putIp({ name: "amsterdam", id: 2 }, addressOf(host), pod(2 * 65536 + 300 + host));

test("P05: a full ipcache still gives up what went, takes what changed, and what waited fits then", async () => {
  const maps = await pinnedMaps(new MemoryKernel(), { ipcache: 2 });
  const tables = tablesAfter([ip(8), ip(9), syncEverything]);
  const { datapath, run, stop } = await stage(maps, tables);
  datapath.changed();
  await run();
  assert.equal((await ipcacheOf(maps)).length, 2);
  ip(1)(tables);
  tables.putIp({ name: "amsterdam", id: 2 }, addressOf(9), pod(2 * 65536 + 999));
  datapath.changed();
  await run(5_000);
  assert.match(datapath.status().problems.join(), /ipcache.*full/);
  assert(
    (await ipcacheOf(maps)).some(
      ([, value]) => new DataView(value.buffer, value.byteOffset).getUint16(0, true) === 999,
    ),
    "an entry that exists is overwritten",
  );
  tables.remove("amsterdam", "ip", addressOf(8));
  datapath.changed();
  await run(10_000);
  assert.equal((await ipcacheOf(maps)).length, 2);
  assert.equal(datapath.status().agrees, true);
  await stop();
});

test("P05: one service that does not fit does not hold up the others: their dead backends go, their new ones come", async () => {
  for (const full of [{ backends: 7 }, { services: 10 }]) {
    const maps = await pinnedMaps(new MemoryKernel(), full);
    const tables = tablesAfter([service(2, 3), service(9, 3), syncEverything]);
    const { datapath, run, stop } = await stage(maps, tables);
    datapath.changed();
    await run();
    service(5, 40)(tables);
    datapath.changed();
    await run(5_000);
    assert.match(datapath.status().problems.join(), /full/);
    service(2, 1)(tables);
    service(9, 2)(tables);
    datapath.changed();
    await run(10_000);
    const now = await translations(maps, false);
    assert.deepEqual(now.get("10.9.0.2:80/TCP"), ["2|10.1.2.1:80/TCP"], JSON.stringify(full));
    assert.deepEqual(now.get("10.9.0.9:80/TCP"), ["2|10.1.9.1:80/TCP", "2|10.1.9.2:80/TCP"]);
    assert.equal(now.get("10.9.0.5:80/TCP"), undefined, "never half");
    tables.remove("amsterdam", "services", "shop/s5");
    datapath.changed();
    await run(10_000);
    assert.deepEqual(datapath.status().problems, []);
    await translations(maps);
    await stop();
  }
});

test("W13: with empty maps, an empty etcd does not attach programs in the place of those that serve", async () => {
  const tables = tablesAfter([service(1, 1)]);
  const { datapath, attached, run, stop } = await stage(await pinnedMaps(new MemoryKernel()), tables);
  datapath.changed();
  await run(1_000);
  assert.deepEqual(attached, []);
  syncEverything(tables);
  datapath.changed();
  await run(1_000);
  assert.equal(attached.length, 1);
  await stop();
});

test("a long compile leaves the loop free", async () => {
  const tables = tablesAfter([syncEverything]);
  for (let number = 0; number < 20_000; number++) {
    tables.putIp({ name: "amsterdam", id: 2 }, `10.1.${number >> 8}.${number & 255}`, pod(2 * 65536 + 300));
  }
  const compiler = new IpcacheCompiler(tables);
  let steps = 0;
  for (const _ of compiler.update(tables.takeChanges())) steps++;
  assert.equal(steps, 20_000);
  for (let number = 0; number < 20_000; number++) {
    tables.putIp({ name: "amsterdam", id: 2 }, `10.1.${number >> 8}.${number & 255}`, pod(2 * 65536 + 300));
  }
  assert.equal(tables.takeChanges().addresses.size, 0, "what a listing shows again is no change");
});

test("P06: what somebody else removes or writes is repaired within the drift interval, links included; the rest is left alone", async () => {
  const maps = await pinnedMaps(new MemoryKernel());
  const tables = tablesAfter([service(1, 2), service(2, 1), ip(1), syncEverything]);
  const { datapath, attached, run, stop } = await stage(maps, tables);
  datapath.changed();
  await run();
  const [before, addresses] = [await translations(maps), await ipcacheOf(maps)];
  const written = datapath.status().written;
  for (const map of maps.values()) {
    const { keys, count } = await map.dump();
    if (count > 0) await map.remove(keys.subarray(0, map.keySize), 1);
  }
  const foreign = { count: 1, keys: new Uint8Array(16).fill(7), values: new Uint8Array(8).fill(7) };
  await maps.get("ipcache")?.update(foreign);
  await run(31_000);
  assert.deepEqual([await translations(maps), await ipcacheOf(maps)], [before, addresses]);
  assert.deepEqual([datapath.status().written - written, datapath.status().removed], [3, 1]);
  assert.equal(attached.length, 2);
  await stop();
});

test("P05: where there is no room for all, the own cluster's backends are in, and a map that fills is told before it is full", async () => {
  const maps = await pinnedMaps(new MemoryKernel(), { backends: 10 });
  // In byte order the remote's come first: they serve the first service.
  const remote: Change = (tables) =>
    tables.putClusterService(OSAKA, {
      ...{ cluster: OSAKA.name, clusterId: OSAKA.id, namespace: "shop", name: "s1", shared: true },
      ...{ labels: new Map(), selector: new Map() },
      frontends: new Map(),
      backends: new Map(Array.from({ length: 9 }, (_, index) => [`10.0.0.${index + 1}`, http])),
    });
  const tables = tablesAfter([remote, service(1, 0), service(2, 4), syncEverything]);
  const { datapath, run, stop } = await stage(maps, tables);
  datapath.changed();
  await run(5_000);
  const held = await backendClusters(maps);
  assert.equal(held.length, 10);
  assert.equal(held.filter((id) => id === OWN.id).length, 4);
  const full = datapath.status().problems.join("\n");
  assert.match(full, /full/);
  assert.match(full, /map backends: 10 of 10 entries are taken; make it larger/);
  await stop();
});

/** Nine backends of osaka for `shop/s<index>`. */
const manyRemote = (index: number): Change => {
  return (tables) =>
    tables.putClusterService(OSAKA, {
      ...{ cluster: OSAKA.name, clusterId: OSAKA.id, namespace: "shop", name: `s${index}`, shared: true },
      ...{ labels: new Map(), selector: new Map() },
      frontends: new Map(),
      backends: new Map(Array.from({ length: 9 }, (_, at) => [`10.0.${index}.${at + 1}`, http])),
    });
};

/** A socket that asked for `10.9.0.<index>:80` and was sent to `backend`. */
async function asked(maps: KernelMaps, index: number, backend: string): Promise<void> {
  const bytes = (address: string) => parseAddress(address) ?? assert.fail(address);
  const keys = encodeReverseNatKey({ cookie: 1n, address: bytes(backend), port: 80 });
  const values = encodeReverseNatValue({ address: bytes(`10.9.0.${index}`), port: 80 });
  await maps.get(REVERSE_NAT_MAP.name)?.update({ count: 1, keys, values });
}

test("P05: where there is no room for all, what is in use comes after the own cluster's and before the rest, and it is told how many wait", async () => {
  const maps = await pinnedMaps(new MemoryKernel(), { backends: 10, ipcache: 2 });
  await asked(maps, 3, "10.0.3.1");
  const addresses: Change[] = ["10.0.1.1", "10.0.2.1", "10.0.3.1"].map(
    (address) => (tables) => tables.putIp(OSAKA, address, pod(OSAKA.id * 65536 + 300)),
  );
  const services = [manyRemote(1), manyRemote(3), service(1, 0), service(2, 1), service(3, 0)];
  const { datapath, run, stop } = await stage(maps, tablesAfter([...addresses, ...services, syncEverything]));
  datapath.changed();
  await run(5_000);
  const found = await translations(maps, false);
  assert.equal(found.get("10.9.0.2:80/TCP")?.length, 1, "the own cluster's");
  assert.equal(found.get("10.9.0.3:80/TCP")?.length, 9, "in use");
  assert.equal(found.get("10.9.0.1:80/TCP"), undefined, "the rest");
  const inIpcache = (await ipcacheOf(maps)).map(([key]) => formatAddress(keyBytes(key)));
  assert(inIpcache.includes("10.0.3.1"), `in use, of ${inIpcache}`);
  const status = datapath.status();
  assert.deepEqual(
    status.maps.map(({ name, waiting }) => [name, waiting]).filter(([, waiting]) => waiting),
    [
      ["backends", 9],
      ["ipcache", 1],
    ],
  );
  assert.match(status.problems.join("\n"), /map backends: 10 of 10 entries are taken; .*, 9 find no room/);
  await stop();
});

test("a map is told to fill from nine tenths on", async () => {
  const maps = await pinnedMaps(new MemoryKernel(), { backends: 10 });
  const tables = tablesAfter([service(1, 8), syncEverything]);
  const { datapath, run, stop } = await stage(maps, tables);
  datapath.changed();
  await run();
  assert.deepEqual(datapath.status().problems, []);
  service(1, 9)(tables);
  datapath.changed();
  await run();
  assert.match(datapath.status().problems.join(), /^map backends: 9 of 10 entries are taken/);
  await stop();
});

async function backendClusters(maps: KernelMaps): Promise<readonly number[]> {
  const { count, values } = (await maps.get("backends")?.dump()) ?? assert.fail("no map");
  const size = BACKEND_MAP.value.sizeBytes;
  return Array.from(
    { length: count },
    (_, at) => decodeBackendValue(values.subarray(at * size, (at + 1) * size)).clusterId,
  );
}
