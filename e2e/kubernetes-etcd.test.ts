/** The script of our image that makes an etcd ready, as deploy/kubernetes calls it: with a real etcd and the real `bulkhead etcd init`, in a network namespace of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./mesh.ts";

const SCRIPT = join(ROOT, "deploy/images/bin/secured-etcd");

test("users and roles are made once, on the loopback; what an earlier start left half-made is made anew", (t) => {
  const data = mkdtempSync(join(tmpdir(), "bulkhead-e2e-etcd-"));
  t.after(() => rmSync(data, { recursive: true }));
  const init = () =>
    spawnSync(
      "unshare",
      ["--net", "sh", "-c", 'ip link set lo up; exec "$0" init osaka "amsterdam virginia"', SCRIPT],
      {
        encoding: "utf8",
        timeout: 60_000,
        env: {
          PATH: `${join(ROOT, "bin")}:${process.env["PATH"]}`,
          ...{ DATA: data, INIT_FLAGS: "--cilium" },
        },
      },
    );
  mkdirSync(join(data, "etcd"));
  writeFileSync(join(data, "etcd/half-made"), "");
  const first = init();
  assert.equal(first.status, 0, first.stderr);
  for (const user of ["exporter-osaka", "mirror-osaka", "agent-osaka", "local-osaka", "remote-virginia"]) {
    assert.match(first.stdout, new RegExp(`user ${user}\\b`));
  }
  assert.match(first.stdout, /auth is on/);
  assert.ok(existsSync(join(data, "etcd/secured")) && !existsSync(join(data, "etcd/half-made")));
  const again = init();
  assert.deepEqual([again.status, again.stdout], [0, ""], again.stderr);
});
