import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { memoryDisk } from "../../../src/disk/memory.ts";
import { MemoryEtcd } from "../../../src/kv/memory.ts";
import { assemble } from "../../../src/programs/kvstoremesh/assemble.ts";
import { mirrorSettings } from "../../../src/programs/kvstoremesh/settings.ts";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { UserError } from "../../../src/runtime/user-error.ts";
import { askSocket } from "../../../src/serve/ask.ts";
import { FakeCluster } from "../../mirror/fake-cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "bulkhead-kvstoremesh-"));
after(() => rmSync(folder, { recursive: true }));

const flags = (more: Readonly<Record<string, string>> = {}): string[] => {
  const all = {
    cluster: "amsterdam",
    "cluster-id": "1",
    "etcd-config": "/etc/local.yaml",
    "config-dir": "/etc/mesh",
    "run-dir": join(folder, "run"),
    "log-level": "silent",
    ...more,
  };
  return Object.entries(all).flatMap(([flag, value]) => [`--${flag}`, value]);
};
const settings = (more?: Readonly<Record<string, string>>) => readSettings("kvstoremesh", mirrorSettings, flags(more));

const LOCAL = "endpoints:\n- http://amsterdam:2379\n";

test("the whole program over its doors: mirrors, and says so on its admin socket", async () => {
  const amsterdam = new MemoryEtcd({ clock: systemClock });
  const osaka = new FakeCluster("osaka", 2, systemClock);
  osaka.populate(20);
  osaka.announce();
  const disk = memoryDisk({ "/etc/local.yaml": LOCAL, "/etc/mesh/osaka": "endpoints:\n- http://osaka:2379\n" });
  const stop = new AbortController();
  const connect = ({ endpoints }: { readonly endpoints: readonly string[] }) =>
    (endpoints[0]?.includes("osaka") ? osaka.etcd : amsterdam).client();
  const doors = { clock: systemClock, random: systemRandom, disk, connect };
  const running = assemble(settings({ "config-interval-ms": "20" }), doors, stop.signal);
  const socket = join(folder, "run/amsterdam/kvstoremesh.sock");
  let status: unknown;
  for (let round = 0; round < 100; round++) {
    await sleep(systemClock, 50);
    status = await askSocket(socket, "/v1/status", 1_000).catch(() => undefined);
    if (JSON.stringify(status)?.includes('"watching"')) break;
  }
  const { program, leader, remotes } = status as { program: string; leader: boolean; remotes: { entries: unknown }[] };
  assert.deepEqual([program, leader], ["kvstoremesh", true]);
  const entries = { nodes: 1, identities: 1, ip: 20, services: 1, endpointslices: 0, serviceexports: 0 };
  assert.deepEqual(remotes[0]?.entries, entries);
  assert.equal(amsterdam.entries("cilium/cache/ip/v1/osaka/").length, 20);
  stop.abort();
  await running;
});

const LOCAL_FAULTS: readonly (readonly [string, string, RegExp])[] = [
  ["a missing etcd config", "/etc/none.yaml", /--etcd-config .*\/etc\/none\.yaml/],
  ["a bad etcd config", "/etc/bad.yaml", /--etcd-config .*\/etc\/bad\.yaml/],
];

for (const [name, file, message] of LOCAL_FAULTS) {
  test(`${name} is one line`, async () => {
    const disk = memoryDisk({ "/etc/bad.yaml": "endpoints: 7\n", "/etc/mesh/osaka": LOCAL });
    const connect = () => assert.fail("nothing is connected");
    const doors = { clock: systemClock, random: systemRandom, disk, connect };
    const failed = assemble(settings({ "etcd-config": file }), doors, new AbortController().signal);
    await assert.rejects(failed, (error) => {
      assert(error instanceof UserError);
      assert.match(error.message, message);
      assert(!error.message.includes("\n"));
      return true;
    });
  });
}

test("a missing directory of remotes is one line, exit code 2, nothing left behind", () => {
  mkdirSync(join(folder, "real"));
  const local = join(folder, "real/local.yaml");
  writeFileSync(local, "endpoints:\n- http://127.0.0.1:1\n");
  const main = new URL("../../../src/bulkhead.ts", import.meta.url).pathname;
  const more = { "etcd-config": local, "config-dir": join(folder, "none"), "run-dir": join(folder, "real/run") };
  const run = spawnSync(process.execPath, [main, "kvstoremesh", ...flags(more)], { encoding: "utf8", timeout: 20_000 });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /^bulkhead kvstoremesh: --config-dir .*none.*; make the directory, or name another\n$/);
});
