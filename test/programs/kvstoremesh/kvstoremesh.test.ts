import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { memoryDisk } from "../../../src/disk/memory.ts";
import { assemble } from "../../../src/programs/kvstoremesh/assemble.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { UserError } from "../../../src/runtime/user-error.ts";
import { etcdFile, MirrorStage, mirrorFlags, settingsOf } from "./stage.ts";

const folder = mkdtempSync(join(tmpdir(), "bulkhead-kvstoremesh-"));
after(() => rmSync(folder, { recursive: true }));

test("the whole program over its doors: mirrors, and says so on its admin socket", async () => {
  const stage = new MirrorStage(20);
  stage.start();
  await stage.watching();
  const status = await stage.status();
  assert.deepEqual([status?.program, status?.leader], ["kvstoremesh", true]);
  const entries = { nodes: 1, identities: 1, ip: 20, services: 1, endpointslices: 0, serviceexports: 0 };
  assert.deepEqual(status?.remotes[0]?.entries, entries);
  assert.equal(stage.amsterdam.entries("cilium/cache/ip/v1/osaka/").length, 20);
  await stage.stop();
});

const LOCAL_FAULTS: readonly (readonly [string, string, RegExp])[] = [
  ["a missing etcd config", "/etc/none.yaml", /--etcd-config .*\/etc\/none\.yaml/],
  ["a bad etcd config", "/etc/bad.yaml", /--etcd-config .*\/etc\/bad\.yaml/],
];

for (const [name, file, message] of LOCAL_FAULTS) {
  test(`${name} is one line`, async () => {
    const disk = memoryDisk({ "/etc/bad.yaml": "endpoints: 7\n", "/etc/mesh/osaka": etcdFile("osaka") });
    const connect = () => assert.fail("nothing is connected");
    const connectBus = () => assert.fail("nor here");
    const doors = { clock: systemClock, random: systemRandom, disk, connect, connectBus };
    const failed = assemble(
      settingsOf({ "etcd-config": file, "run-dir": folder }),
      doors,
      new AbortController().signal,
    );
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
  const run = spawnSync(process.execPath, [main, "kvstoremesh", ...mirrorFlags(more)], {
    encoding: "utf8",
    timeout: 20_000,
  });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /^bulkhead kvstoremesh: --config-dir .*none.*; make the directory, or name another\n$/);
});
