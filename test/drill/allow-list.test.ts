import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemDisk } from "../../src/disk/system.ts";
import { admit, parseAllowList, readAllowList } from "../../src/drill/allow-list.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { ALLOW_LIST, allowList, refused } from "./stage.ts";

test("what is on the list is admitted", () => {
  assert.equal(admit(allowList(), "wipe", "etcd").etcd?.data, "/var/etcd");
});

const [etcd] = ALLOW_LIST.targets;

for (const [targets, line] of [
  [[etcd, etcd], /target etcd is there twice; rename one$/],
  [[{ ...etcd, process: undefined }], /target etcd: kill needs process\.start or container; add it$/],
  [[{ ...etcd, container: "job=etcd" }], /target etcd: names a container beside a process or a netns; remove one$/],
  [[{ name: "x", faults: ["kill"], container: "etcd" }], /container: must be a label of one container, NAME=VALUE/],
  [
    [{ name: "x", faults: ["kill", "reboot"], container: "job=etcd", pins: "/sys/fs/bpf/x" }],
    /target x: reboot is not done to a container; give it a target of its own$/,
  ],
  [[{ ...etcd, etcd: { config: "/etc/etcd.yaml", data: "/var/etcd" } }], /restore-old needs etcd\.backup/],
  [[{ name: "x", faults: ["flap"] }], /target x: flap needs device; add it$/],
  [[{ ...etcd, faults: ["reboot"] }], /target etcd: reboot needs pins; add it$/],
  [[{ name: "x", faults: ["drain"] }], /target x: drain needs exporter; add it$/],
  [[{ name: "x", faults: [] }], /targets\[0\]\.faults: /],
  [[{ ...etcd, etcd: { config: "etcd.yaml", data: "/var/etcd" } }], /config: must be an absolute path without '\.\.'/],
  [[{ ...etcd, etcd: { ...etcd?.etcd, data: "/var/../etc" } }], /data: must be an absolute path without '\.\.'/],
  [[{ name: "x", faults: ["flap"], device: { name: "eth0; reboot" } }], /name: must be the name of a network device/],
] as const) {
  test(`a bad list is one line: ${line.source}`, () => {
    assert.throws(
      () => parseAllowList("allow.yaml", JSON.stringify({ ...ALLOW_LIST, targets })),
      (error: unknown) => error instanceof UserError && line.test(error.message) && !error.message.includes("\n"),
    );
  });
}

test("a place is a container or a network of this machine, not both", () => {
  const list = { ...ALLOW_LIST, probes: [{ name: "client", container: "job=client", cgroup: "/sys/fs/cgroup/x" }] };
  assert.throws(
    () => parseAllowList("allow.yaml", JSON.stringify(list)),
    /^UserError: allow\.yaml: place client names a container beside a netns or cgroup; remove one$/,
  );
});

test("a list that others may write is refused; one that only its owner may is read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bulkhead-allow-"));
  const file = join(folder, "allow.json");
  try {
    writeFileSync(file, JSON.stringify(ALLOW_LIST));
    chmodSync(file, 0o622);
    await refused(
      readAllowList(systemDisk, file),
      /^--allow-list .*others than its owner may write it; chmod go-w it$/,
    );
    chmodSync(file, 0o644);
    assert.equal((await readAllowList(systemDisk, file)).targets.length, 3);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
