import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../../src/bulkhead.ts", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "bulkhead-test-agent-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const good = {
  cluster: "amsterdam",
  "cluster-id": "1",
  node: "n1",
  "etcd-config": join(scratch, "etcd.yaml"),
  cgroup: join(scratch, "cgroup"),
  "bpf-dir": join(scratch, "bpf"),
  "run-dir": join(scratch, "run"),
  objects: join(scratch, "objects"),
};

function agent(changed: Readonly<Record<string, string>>) {
  const flags = Object.entries({ ...good, ...changed }).flatMap(([name, value]) => [`--${name}`, value]);
  const { status, stderr } = spawnSync(process.execPath, [MAIN, "agent", ...flags], {
    timeout: 20_000,
    encoding: "utf8",
  });
  return { status, lines: stderr.trimEnd().split("\n") };
}

/** One line, exit code 2, nothing left behind. */
function assertRefused(changed: Readonly<Record<string, string>>, line: RegExp): void {
  const { status, lines } = agent(changed);
  assert.equal(status, 2, lines.join("\n"));
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.match(lines[0] ?? "", line);
  assert(!existsSync(good["bpf-dir"]) && !existsSync(good["run-dir"]));
}

test("bad settings: one line names every one of them", () => {
  assertRefused({ node: "N 1", "cluster-id": "0" }, /--cluster-id "0": .*--node "N 1": must be a node name/);
  assertRefused({ "settle-ms": "soon" }, /--settle-ms "soon"/);
  assertRefused(
    { "device-hook": "xdp", "endpoint-devices": "veth *", "policy-default-local-cluster": "no" },
    /--policy-default-local-cluster "no": must be true or false; --endpoint-devices "veth \*": must be device names.*--device-hook "xdp": must be one of auto, tcx, clsact/,
  );
});

test("what must be there is looked for before anything is touched", () => {
  if (process.geteuid?.() !== 0) return assertRefused({}, /must run as root/);
  assertRefused({}, /sock_lb\.bpf\.o is missing; run deploy\/setup/);
  mkdirSync(good.objects);
  for (const file of ["sock_lb.bpf.o", "endpoint.bpf.o"]) writeFileSync(join(good.objects, file), "not an ELF file");
  assertRefused({}, /cgroup does not exist; it must be a directory of a cgroup2 tree/);
  mkdirSync(good.cgroup);
  assertRefused({}, /cgroup is not in a cgroup2 tree/);
});
