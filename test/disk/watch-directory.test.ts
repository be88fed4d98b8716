import assert from "node:assert/strict";
import { test } from "node:test";
import type { DiskErrorCode } from "../../src/disk/door.ts";
import { faultyDisk } from "../../src/disk/faulty.ts";
import type { MemoryDisk } from "../../src/disk/memory.ts";
import { memoryDisk } from "../../src/disk/memory.ts";
import { watchDirectory } from "../../src/disk/watch-directory.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

interface Scene {
  readonly disk: MemoryDisk;
  readonly clock: VirtualClock;
  readonly faults: Map<string, DiskErrorCode>;
  /** What onChange was told, one entry per call: `name=text` of each file, `?name` of each unread one. */
  readonly told: string[];
  readonly problems: (readonly string[])[];
  readonly stop: () => Promise<void>;
}

async function watching(files: Record<string, string>, faults: [string, DiskErrorCode][] = []): Promise<Scene> {
  const disk = memoryDisk(files);
  const clock = new VirtualClock();
  const scene = { disk, clock, faults: new Map(faults), told: [] as string[], problems: [] as (readonly string[])[] };
  const stop = new AbortController();
  const done = watchDirectory(
    {
      disk: faultyDisk(disk, (_operation, path) => scene.faults.get(path)),
      directory: "/d",
      clock,
      signal: stop.signal,
      intervalMs: 1_000,
      onProblems: (lines) => scene.problems.push(lines),
    },
    (current, unread) => {
      const texts = [...current].map(([name, bytes]) => `${name}=${new TextDecoder().decode(bytes)}`);
      scene.told.push([...texts, ...unread.map((name) => `?${name}`)].join(" "));
    },
  );
  await clock.advance(100);
  return {
    ...scene,
    stop: async () => {
      stop.abort();
      await clock.settle(done);
      assert.equal(clock.pending, 0, "no timer is left");
    },
  };
}

test("tells the whole directory at first, then only when something changed", async () => {
  const { disk, clock, told, stop } = await watching({ "/d/b": "1", "/d/a": "1" });
  await clock.advance(10_000);
  assert.deepEqual(told, ["a=1 b=1"]);
  disk.put("/d/a", "2");
  await clock.advance(1_100);
  disk.remove("/d/b");
  disk.put("/d/c", "1");
  await clock.advance(1_100);
  assert.deepEqual(told, ["a=1 b=1", "a=2 b=1", "a=2 c=1"]);
  await stop();
});

test("a file written in place is taken once it rests", async () => {
  const { disk, clock, told, stop } = await watching({ "/d/a": "whole" });
  await clock.run(940);
  for (const part of ["wh", "who", "whole", "whole 2"]) {
    disk.put("/d/a", part);
    await clock.advance(45);
  }
  await clock.advance(2_000);
  assert.deepEqual(told, ["a=whole", "a=whole 2"]);
  await stop();
});

test("a file that never rests does not hold up the others", async () => {
  const { disk, clock, told, stop } = await watching({ "/d/busy": "0" });
  disk.put("/d/b", "new");
  for (let count = 1; count < 100; count++) {
    disk.put("/d/busy", String(count));
    await clock.advance(40);
  }
  assert.ok(told.some((line) => line.startsWith("b=new ")));
  await stop();
});

test("a directory that cannot be read, or is gone, withdraws nothing", async () => {
  const { disk, clock, told, problems, stop } = await watching({ "/d/a": "1" });
  disk.removeDirectory("/d");
  await clock.advance(10_000);
  assert.deepEqual(told, ["a=1"]);
  assert.deepEqual(problems, [["cannot read directory /d: ENOENT; nothing is withdrawn; make it readable again"]]);
  disk.put("/d/a", "2");
  await clock.advance(2_000);
  assert.deepEqual(told, ["a=1", "a=2"]);
  assert.deepEqual(problems.at(-1), []);
  await stop();
});

test("a directory that cannot be read at first is not an empty one", async () => {
  const { clock, faults, told, stop } = await watching({ "/d/a": "1" }, [["/d", "denied"]]);
  await clock.advance(10_000);
  assert.deepEqual(told, []);
  faults.clear();
  await clock.advance(2_000);
  assert.deepEqual(told, ["a=1"]);
  await stop();
});

test("a file that cannot be read keeps its last bytes; one never read is named", async () => {
  const { disk, clock, faults, told, problems, stop } = await watching({ "/d/a": "1", "/d/b": "1" }, [
    ["/d/b", "denied"],
  ]);
  faults.set("/d/a", "denied");
  disk.put("/d/c", "1");
  await clock.advance(2_000);
  assert.deepEqual(told, ["a=1 ?b", "a=1 c=1 ?b"]);
  assert.equal(problems.at(-1)?.length, 2);
  faults.clear();
  await clock.advance(2_000);
  assert.deepEqual(told.at(-1), "a=1 b=1 c=1");
  assert.deepEqual(problems.at(-1), []);
  await stop();
});

test("a directory at rest is hardly ever read, and yet what no stamp shows is found", async () => {
  const disk = memoryDisk({ "/d/a": "1" });
  const clock = new VirtualClock();
  const stop = new AbortController();
  const told: string[] = [];
  let readings = 0;
  let frozen: string | undefined;
  const counting = {
    readText: (path: string) => disk.readText(path),
    readBytes: (path: string) => disk.readBytes(path),
    writeAtomic: (path: string, bytes: Uint8Array) => disk.writeAtomic(path, bytes),
    stamp: async (directory: string) => frozen ?? (await disk.stamp(directory)),
    list(directory: string) {
      readings++;
      return disk.list(directory);
    },
  };
  const done = watchDirectory(
    { disk: counting, directory: "/d", clock, signal: stop.signal, intervalMs: 1_000 },
    (files) => void told.push([...files.values()].map((bytes) => new TextDecoder().decode(bytes)).join(" ")),
  );
  await clock.advance(50_000);
  assert.ok(readings <= 4, `${readings} readings`);
  disk.put("/d/a", "2");
  await clock.advance(1_100);
  assert.deepEqual(told, ["1", "2"]);
  frozen = await disk.stamp("/d");
  await clock.advance(3_000);
  disk.put("/d/a", "3");
  await clock.advance(65_000);
  assert.deepEqual(told, ["1", "2", "3"]);
  stop.abort();
  await clock.settle(done);
});
