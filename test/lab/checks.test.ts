import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { chooseDataRoot, missingBinaries, requireCgroup2 } from "../../deploy/lab/checks.ts";
import { mountsBelow } from "../../deploy/lab/down.ts";
import { cgroup2Mount } from "../../src/kernel/cgroup.ts";
import { UserError } from "../../src/runtime/user-error.ts";

const MOUNTS = [
  "proc /proc proc rw 0 0",
  "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0",
  "cgroup2 /sys/fs/cgroup/my\\040tree cgroup2 rw 0 0",
].join("\n");

test("the cgroup2 mount is found wherever it is", () => {
  assert.equal(cgroup2Mount(MOUNTS), "/sys/fs/cgroup/my tree");
  assert.equal(requireCgroup2(MOUNTS), "/sys/fs/cgroup/my tree");
});

test("without cgroup2 one line says how to mend it", () => {
  assert.throws(
    () => requireCgroup2("cgroup /sys/fs/cgroup cgroup rw 0 0\n"),
    oneLine(/no cgroup2 .*mount -t cgroup2/),
  );
});

test("missing binaries are named, present ones are not", () => {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-lab-test-"));
  try {
    writeFileSync(join(folder, "etcd"), "");
    chmodSync(join(folder, "etcd"), 0o755);
    // There, but no program.
    writeFileSync(join(folder, "ip"), "");
    chmodSync(join(folder, "ip"), 0o644);
    const missing = missingBinaries(folder);
    assert.ok(!missing.includes("etcd"));
    assert.ok(missing.includes("ip") && missing.includes("nsenter") && missing.includes("bpftool"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("data go to memory when it has room, else to the temporary folder, else nowhere", () => {
  const gigabyte = 1024 ** 3;
  const free = (bytes: Readonly<Record<string, number>>) => (folder: string) => bytes[folder] ?? 0;
  assert.equal(chooseDataRoot(free({ "/dev/shm": gigabyte }), "/tmp"), "/dev/shm");
  assert.equal(chooseDataRoot(free({ "/dev/shm": 64 * 1024, "/tmp": gigabyte }), "/tmp"), "/tmp");
  assert.throws(() => chooseDataRoot(free({}), "/tmp"), oneLine(/700 MB.*\/dev\/shm.*\/tmp.*TMPDIR/));
});

test("mounts at or below a folder, deepest first, and no neighbour's", () => {
  const mounts = ["/run/bulkhead/a", "/run/bulkhead/a/bpf", "/run/bulkhead/ab", "/run"].map(
    (path) => `x ${path} bpf rw 0 0`,
  );
  assert.deepEqual(mountsBelow("/run/bulkhead/a", mounts.join("\n")), ["/run/bulkhead/a/bpf", "/run/bulkhead/a"]);
});

function oneLine(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof UserError && pattern.test(error.message) && !error.message.includes("\n");
}
