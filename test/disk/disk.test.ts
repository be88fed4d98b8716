import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { DiskErrorCode, FolderDisk } from "../../src/disk/door.ts";
import { DiskError } from "../../src/disk/door.ts";
import { faultyDisk } from "../../src/disk/faulty.ts";
import { memoryDisk } from "../../src/disk/memory.ts";
import { systemDisk } from "../../src/disk/system.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
let folder = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-disk-"));
});
after(() => rm(folder, { recursive: true, force: true }));

async function code(action: Promise<unknown>): Promise<DiskErrorCode> {
  const error = await action.then(
    () => assert.fail("it went through"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof DiskError, String(error));
  return error.code;
}

/** The same on every body: write, read back, list in order, refuse what is not there. */
async function behaves(disk: FolderDisk, directory: string): Promise<void> {
  await disk.writeAtomic(join(directory, "b.yaml"), bytes("b"));
  await disk.writeAtomic(join(directory, "a.yaml"), bytes("ä"));
  await disk.writeAtomic(join(directory, ".hidden"), bytes("x"));
  await disk.writeAtomic(join(directory, "b.yaml"), bytes("b2"));
  assert.equal(await disk.readText(join(directory, "a.yaml")), "ä");
  const { files, unreadable } = await disk.list(directory);
  assert.deepEqual(
    files.map((file) => [file.name, new TextDecoder().decode(file.bytes)]),
    [
      ["a.yaml", "ä"],
      ["b.yaml", "b2"],
    ],
  );
  assert.deepEqual(unreadable, []);
  assert.equal(await code(disk.readBytes(join(directory, "none"))), "absent");
  assert.equal(await code(disk.list(join(directory, "none"))), "absent");
  assert.equal(await code(disk.writeAtomic(join(directory, "none", "x"), bytes(""))), "absent");
  await disk.mkdir(join(directory, "one", "two"));
  await disk.mkdir(join(directory, "one"));
  await disk.writeAtomic(join(directory, "one", "two", "x"), bytes("x"));
  assert.deepEqual(await disk.folders(directory), ["one"]);
  assert.deepEqual(await disk.folders(join(directory, "one")), ["two"]);
  assert.equal(await code(disk.folders(join(directory, "none"))), "absent");
  await disk.unlink(join(directory, "one", "two", "x"));
  await disk.unlink(join(directory, "one", "two", "x"));
  assert.deepEqual((await disk.list(join(directory, "one", "two"))).files, []);
}

test("the system's disk and the model behave alike", async () => {
  const directory = join(folder, "same");
  await mkdir(directory);
  await behaves(systemDisk, directory);
  const memory = memoryDisk();
  memory.makeDirectory("/same");
  await behaves(memory, "/same");
});

test("the system's disk follows links, skips what is not a file and leaves no temporary file", async () => {
  const directory = join(folder, "links");
  await mkdir(join(directory, "sub"), { recursive: true });
  await writeFile(join(directory, "sub", "real"), "linked");
  await symlink(join("sub", "real"), join(directory, "link.yaml"));
  await symlink("nowhere", join(directory, "broken.yaml"));
  await symlink("sub", join(directory, "folder.yaml"));
  await systemDisk.writeAtomic(join(directory, "own.yaml"), bytes("own"));
  const { files, unreadable } = await systemDisk.list(directory);
  assert.deepEqual(
    files.map((file) => file.name),
    ["link.yaml", "own.yaml"],
  );
  assert.deepEqual(unreadable, []);
  assert.equal((await stat(join(directory, "own.yaml"))).mode & 0o777, 0o600);
  assert.equal(
    (await readdir(directory)).some((name) => name.endsWith(".new")),
    false,
  );
});

test("a failed atomic write leaves the old file and nothing else", async () => {
  const directory = join(folder, "atomic");
  await mkdir(join(directory, "taken"), { recursive: true });
  await writeFile(join(directory, "taken", "inside"), "");
  assert.equal(await code(systemDisk.writeAtomic(join(directory, "taken"), bytes("x"))), "failed");
  assert.deepEqual(await readdir(directory), ["taken"]);
});

test("a file that is too large is reported as unreadable, not left out", async () => {
  const directory = join(folder, "large");
  await mkdir(directory);
  await writeFile(join(directory, "large.yaml"), "");
  const { truncate } = await import("node:fs/promises");
  await truncate(join(directory, "large.yaml"), 32 * 1024 * 1024 + 1);
  await writeFile(join(directory, "small.yaml"), "s");
  await chmod(join(directory, "small.yaml"), 0o600);
  const { files, unreadable } = await systemDisk.list(directory);
  assert.deepEqual(
    files.map((file) => file.name),
    ["small.yaml"],
  );
  assert.match(unreadable[0]?.detail ?? "", /large\.yaml has 33554433 bytes; at most 33554432 are read/);
  assert.equal(await code(systemDisk.readBytes(join(directory, "large.yaml"))), "too-large");
});

test("a faulty disk fails the calls it is told to", async () => {
  const disk = faultyDisk(memoryDisk({ "/d/a": "a", "/d/b": "b" }), (operation, path) => {
    if (operation === "read" && path === "/d/b") return "denied";
    return operation === "write" ? "no-space" : undefined;
  });
  const listing = await disk.list("/d");
  assert.deepEqual(
    listing.files.map((file) => file.name),
    ["a"],
  );
  assert.deepEqual(
    listing.unreadable.map((file) => file.name),
    ["b"],
  );
  assert.equal(await code(disk.readText("/d/b")), "denied");
  assert.equal(await code(disk.writeAtomic("/d/c", bytes(""))), "no-space");
});

test("a stamp moves with every change that a listing shows, through links too", async () => {
  const directory = join(folder, "stamps");
  await mkdir(join(directory, "..v1"), { recursive: true });
  await mkdir(join(directory, "..v2"));
  await writeFile(join(directory, "..v1", "a.yaml"), "one");
  await writeFile(join(directory, "..v2", "a.yaml"), "two");
  await symlink("..v1", join(directory, "..data"));
  await symlink(join("..data", "a.yaml"), join(directory, "a.yaml"));
  await writeFile(join(directory, "b.yaml"), "one");
  const seen = new Set<string>();
  const moves = async (what: string): Promise<void> => {
    const stamp = await systemDisk.stamp(directory);
    assert(!seen.has(stamp), what);
    seen.add(stamp);
    assert.equal(await systemDisk.stamp(directory), stamp, "and rests");
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await moves("first");
  await symlink("..v2", join(directory, "..new"));
  await rename(join(directory, "..new"), join(directory, "..data"));
  await moves("a swapped link");
  await writeFile(join(directory, "b.yaml"), "two");
  await moves("a write in place of the same size");
  const old = await stat(join(directory, "b.yaml"));
  await writeFile(join(directory, "b.yaml"), "six");
  await utimes(join(directory, "b.yaml"), old.atime, old.mtime);
  await moves("a write that hides its time");
  await writeFile(join(directory, "b.new"), "six");
  await rename(join(directory, "b.new"), join(directory, "b.yaml"));
  await moves("a file of the same bytes");
  await rm(join(directory, "b.yaml"));
  await moves("a file that goes");
  assert.equal(await code(systemDisk.stamp(join(directory, "none"))), "absent");
});

test("what a killed process was writing is removed by the next that writes there; what a living one writes is not", async () => {
  const directory = await mkdtemp(join(folder, "killed-"));
  const dead = spawnSync("true").pid;
  const [left, living, other] = [`.x.${dead}.new`, `.x.${process.ppid}.new`, `.y.${dead}.new`];
  for (const name of [left, living, other]) await writeFile(join(directory, name), "half");
  await systemDisk.writeAtomic(join(directory, "x"), bytes("whole"));
  assert.deepEqual((await readdir(directory)).sort(), [living, other, "x"].sort());
});

test("a larger file is read where the caller says so", async () => {
  const path = join(folder, "eight-bytes");
  await systemDisk.writeAtomic(path, bytes("12345678"));
  for (const disk of [systemDisk, memoryDisk({ [path]: "12345678" })]) {
    assert.equal(await code(disk.readBytes(path, 7)), "too-large");
    assert.equal((await disk.readBytes(path, 8)).length, 8);
  }
});
