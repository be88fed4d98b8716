/** A node that boots while no etcd answers: what the maps held comes back from the disk. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyKernel, type MapCall } from "../../../src/kernel/faulty.ts";
import { MemoryKernel } from "../../../src/kernel/memory.ts";
import { BACKEND_MAP, decodeBackendValue, encodeBackendKey } from "../../../src/maps/backend-map.ts";
import { LAYOUT_VERSION } from "../../../src/maps/layout.ts";
import { SOCK_LB_OBJECT } from "../../../src/maps/objects.ts";
import { decodeServiceKey, decodeServiceValue, encodeServiceKey, SERVICE_MAP } from "../../../src/maps/service-map.ts";
import { formatAddress } from "../../../src/model/address.ts";
import type { Agent } from "../../../src/programs/agent/agent.ts";
import { entryKey, keyBytes } from "../../../src/tables/desired-map.ts";
import { LATER_MS } from "../../ingest/stage.ts";
import { OSAKA, OWN } from "../../tables/world.ts";
import { settings, start, world } from "./stage.ts";

const FILES = [0, 1].map((file) => `${settings.snapshotDir}/${OWN.name}-${settings.node}.${file}.snapshot`);

const REQUEST = {
  objectPath: "",
  pinDirectory: settings.bpfDir,
  layoutVersion: LAYOUT_VERSION,
  layouts: SOCK_LB_OBJECT.maps,
};

const counts = ({ adopted, written, removed }: ReturnType<Agent["status"]>) => ({ adopted, written, removed });
const entries = (agent: Agent) => agent.status().maps.map(({ name, entries: held }) => `${name} ${held}`);

/** An agent that converged and was killed. */
async function before() {
  const mesh = world();
  const { agent, crash } = await start(mesh);
  const held = entries(agent);
  await crash();
  return { mesh, held };
}

async function backendAddresses(kernel: MemoryKernel): Promise<readonly string[]> {
  const { maps } = await kernel.load(REQUEST);
  const { count, values } = (await maps.get(BACKEND_MAP.name)?.dump()) ?? assert.fail("no map");
  const size = BACKEND_MAP.value.sizeBytes;
  const all = Array.from({ length: count }, (_, at) => decodeBackendValue(values.subarray(at * size, (at + 1) * size)));
  return all.map(({ address }) => formatAddress(address)).sort();
}

/** What a boot leaves: no maps, no links. */
const boot = () => new MemoryKernel(SOCK_LB_OBJECT.programs);

test("P03: after a boot with every etcd down the maps are rebuilt, and nothing is pruned when the etcd returns", async () => {
  const { mesh, held } = await before();
  mesh.local.etcd.stop();
  await mesh.local.clock.advance(180_000);
  const { agent, crash } = await start({ ...mesh, kernel: boot() });
  assert.deepEqual(entries(agent), held);
  assert.deepEqual(counts(agent.status()), { adopted: 0, written: 10, removed: 0 });
  assert.equal(agent.ready().ready, true);
  assert.match(agent.ready().detail, /^stale: serving from snapshot of 3 min; the local etcd has not answered yet$/);
  mesh.local.etcd.start();
  await mesh.local.clock.advance(40_000);
  assert.deepEqual(agent.ready(), { ready: true, detail: "synced" });
  assert.deepEqual(entries(agent), held);
  assert.deepEqual(counts(agent.status()), { adopted: 0, written: 10, removed: 0 });
  await crash();
});

test("after a boot, what an etcd that is not filled yet lacks stays; what it lacks once it is complete goes", async () => {
  const { mesh } = await before();
  mesh.local.etcd.wipe();
  mesh.local.cluster(OWN, "10.2.0", LATER_MS);
  const { agent, crash } = await start({ ...mesh, kernel: boot() });
  assert.equal(agent.status().removed, 0);
  assert.match(agent.status().problems.join(), /cluster id 1: map entries are kept/);
  mesh.local.cluster(OSAKA, "10.1.0", LATER_MS);
  mesh.local.service(OSAKA, "web", "10.1.0.2");
  await mesh.local.clock.advance(5_000);
  assert.notEqual(agent.status().removed, 0);
  await crash();
});

test("killed before the rebuilt maps were whole, the next agent rebuilds the rest", async () => {
  const { mesh, held } = await before();
  mesh.local.etcd.stop();
  const kernel = boot();
  await (await start({ ...mesh, kernel }, { settleMs: 60_000 })).crash();
  const { agent, crash } = await start({ ...mesh, kernel });
  assert.deepEqual(entries(agent), held);
  assert.equal(agent.ready().ready, true);
  await crash();
});

test("a warm start takes the pinned maps, not the snapshot, which may be older", async () => {
  const { mesh } = await before();
  mesh.local.service(OSAKA, "web", "10.1.0.2");
  await (await start(mesh, { snapshotIntervalMs: 3_600_000 })).crash();
  mesh.local.etcd.stop();
  const { agent, crash } = await start(mesh);
  assert.equal(agent.status().written, 0);
  assert.match(agent.ready().detail, /what the maps held/);
  await crash();
});

for (const [what, spoil] of [
  ["torn", (bytes: Uint8Array) => bytes.subarray(0, bytes.length / 2)],
  ["empty", () => new Uint8Array()],
  ["a bit flipped", (bytes: Uint8Array) => bytes.map((byte, index) => (index === bytes.length >> 1 ? byte ^ 4 : byte))],
] as const) {
  test(`P04: ${what}: refused with a reason, and the generation before it is used`, async () => {
    const { mesh } = await before();
    mesh.local.service(OSAKA, "web", "10.1.0.2");
    await (await start(mesh, { snapshotIntervalMs: 400 })).crash();
    const saved = await Promise.all(FILES.map((file) => mesh.disk.readBytes(file)));
    assert.equal(saved.length, 2, "two generations");
    mesh.local.etcd.stop();
    mesh.disk.put(FILES[1] as string, spoil(saved[1] as Uint8Array));
    const kernel = boot();
    const { agent, crash } = await start({ ...mesh, kernel });
    assert.equal(agent.ready().ready, true);
    assert.match(agent.status().snapshot.refused.join("\n"), /1\.snapshot is not used: it/);
    assert.deepEqual(await backendAddresses(kernel), ["10.1.0.1", "10.2.0.1", "10.3.0.1"]);
    await crash();
  });
}

test("P04 with both generations damaged: nothing is loaded, and the agent says so", async () => {
  const { mesh } = await before();
  mesh.local.etcd.stop();
  for (const file of FILES) mesh.disk.put(file, "BLKHSNAP and nothing that can be read after it, for long enough");
  const { agent, crash } = await start({ ...mesh, kernel: boot() });
  assert.equal(agent.ready().ready, false);
  assert.deepEqual(counts(agent.status()), { adopted: 0, written: 0, removed: 0 });
  assert.match(agent.status().snapshot.refused.join("\n"), /0\.snapshot is not used: its checksum is wrong/);
  await crash();
});

test("another node's snapshot is not used", async () => {
  const { mesh } = await before();
  mesh.local.etcd.stop();
  mesh.disk.put(FILES[0]?.replace("n1", "n2") as string, await mesh.disk.readBytes(FILES[0] as string));
  const { agent, crash } = await start({ ...mesh, kernel: boot() }, { node: "n2" });
  assert.equal(agent.ready().ready, false);
  assert.match(agent.status().snapshot.refused.join("\n"), /it is of amsterdam\/n1, not of amsterdam\/n2/);
  await crash();
});

test("a disk that takes nothing is told; the maps are served all the same", async () => {
  const mesh = world();
  mesh.disk.removeDirectory(settings.snapshotDir);
  const { agent, crash } = await start(mesh);
  assert.deepEqual(agent.ready(), { ready: true, detail: "synced" });
  assert.match(agent.status().problems.join("\n"), /snapshot not written: .*--snapshot-dir must be/);
  mesh.disk.makeDirectory(settings.snapshotDir);
  await mesh.local.clock.advance(120_000);
  assert.deepEqual(agent.status().problems, []);
  await crash();
});

/** Every slot that a frontend counts is there, and names a backend that is. */
async function assertValid(kernel: MemoryKernel): Promise<void> {
  const held = new Map<string, Uint8Array>();
  const { maps } = await kernel.load(REQUEST);
  for (const layout of [SERVICE_MAP, BACKEND_MAP]) {
    const map = maps.get(layout.name) ?? assert.fail("no map");
    const { count, keys, values } = await map.dump();
    for (let at = 0; at < count; at++) {
      const key = keys.subarray(at * map.keySize, (at + 1) * map.keySize);
      held.set(`${layout.name} ${entryKey(key)}`, values.subarray(at * map.valueSize, (at + 1) * map.valueSize));
    }
  }
  for (const [name, value] of held) {
    if (!name.startsWith(`${SERVICE_MAP.name} `)) continue;
    const frontend = decodeServiceKey(keyBytes(name.slice(SERVICE_MAP.name.length + 1)));
    if (frontend.slot !== 0) continue;
    for (let slot = 1; slot <= decodeServiceValue(value).count; slot++) {
      const found = held.get(`${SERVICE_MAP.name} ${entryKey(encodeServiceKey({ ...frontend, slot }))}`);
      assert(found, `slot ${slot} is missing`);
      const id = decodeServiceValue(found).backendId;
      assert(held.has(`${BACKEND_MAP.name} ${entryKey(encodeBackendKey({ id }))}`), `backend ${id} is missing`);
    }
  }
}

test("P01: killed before, in or after any call of the rebuilding: the maps are valid, and the next agent has all of it", async () => {
  const { mesh, held } = await before();
  mesh.local.etcd.stop();
  let finished = false;
  let calls = 0;
  for (; !finished; calls++) {
    for (const when of ["before", "midway", "after"] as const) {
      const kernel = boot();
      let reached = false;
      const plan = (call: MapCall) => {
        if (call.index !== calls) return undefined;
        reached = true;
        return { when };
      };
      const doomed = await start({ ...mesh, kernel: faultyKernel(kernel, plan) }).catch(() => undefined);
      await doomed?.crash();
      finished = !reached;
      await assertValid(kernel);
      const { agent, crash } = await start({ ...mesh, kernel });
      assert.deepEqual(entries(agent), held, `killed ${when} call ${calls}`);
      assert.equal(agent.ready().ready, true);
      await crash();
    }
  }
  assert(calls > 12, `only ${calls} calls were made`);
});
