import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupDirectory } from "../../src/kernel/cgroup.ts";

const HYBRID = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/my\\040tree cgroup2 rw 0 0\n";

test("a relative folder is below the mount of cgroup2, wherever that is; an absolute one is itself", () => {
  assert.equal(cgroupDirectory("mesh.slice", HYBRID), "/sys/fs/cgroup/my tree/mesh.slice");
  assert.equal(cgroupDirectory("mesh.slice", "none /sys/fs/cgroup cgroup2 rw 0 0\n"), "/sys/fs/cgroup/mesh.slice");
  assert.equal(cgroupDirectory("/sys/fs/cgroup/x", HYBRID), "/sys/fs/cgroup/x");
  assert.equal(cgroupDirectory("mesh.slice", ""), "mesh.slice");
});
