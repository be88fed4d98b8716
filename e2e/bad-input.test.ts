/** Bad input at start: one line that says what, where and how to mend it; exit code 2; nothing left behind. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { BULKHEAD, mesh, type Outcome, plan, run, traces } from "./mesh.ts";

const NOBODY = 65_534;
const NAME = "e2e-bad";
let folder = "";

before(() => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-e2e-"));
  mkdirSync(join(folder, "manifests"));
  mkdirSync(join(folder, "remotes"));
  writeFileSync(join(folder, "etcd.yaml"), "endpoints: [http://127.0.0.1:9]\n");
});

after(() => rmSync(folder, { recursive: true }));

function refused({ code, out, err }: Outcome, line: RegExp): void {
  assert.equal(code, 2, `${out}${err}`);
  assert.match(err, line);
  assert.equal(err.trimEnd().split("\n").length, 1, err);
  assert.equal(out, "");
  assert.ok(!existsSync(join(folder, "run")), "a run folder was left behind");
}

const common = (): readonly string[] => [
  ...[
    "--cluster",
    "amsterdam",
    "--cluster-id",
    "1",
    "--run-dir",
    join(folder, "run"),
    "--etcd-config",
    join(folder, "etcd.yaml"),
  ],
];

for (const [what, args, line] of [
  ["an unknown option", ["--quick"], /unknown option --quick/],
  ["an unknown verb", ["upp"], /unknown verb upp/],
  ["a lab that is not up", ["tour"], /is not up; start it with/],
] as const) {
  test(`mesh: ${what}`, async () => refused(await mesh(NAME, args), line));
}

test("mesh: not root", async () => refused(await mesh(NAME, ["up"], { uid: NOBODY }), /^mesh: needs root/));

test("mesh: a missing binary", async () => {
  const path = join(folder, "bin");
  mkdirSync(path);
  for (const binary of ["etcd", "etcdctl", "nats-server", "ip", "nsenter", "mount", "umount", "sh"])
    symlinkSync("/bin/true", join(path, binary));
  refused(
    await mesh(NAME, ["up"], { env: { PATH: path } }),
    /^mesh: not found on PATH: bpftool; run \.\/deploy\/setup/,
  );
  assert.deepEqual(traces(NAME), []);
});

for (const [program, flags] of [
  ["exporter", () => ["--manifests", join(folder, "manifests")]],
  ["kvstoremesh", () => ["--config-dir", join(folder, "remotes")]],
  ["agent", () => ["--node", "n", "--cgroup", dirname(plan(NAME).cgroup), "--bpf-dir", "/sys/fs/bpf/x"]],
] as const) {
  test(`${program}: a flag that does not exist`, async () =>
    refused(await run(BULKHEAD, [program, ...common(), ...flags(), "--fast", "1"]), /--fast/));

  test(`${program}: a cluster id out of range`, async () =>
    refused(await run(BULKHEAD, [program, ...common(), ...flags(), "--cluster-id", "256"]), /--cluster-id "?256"?/));

  test(`${program}: no etcd config`, async () => {
    const args = [program, ...common(), ...flags(), "--etcd-config", join(folder, "absent.yaml")];
    refused(await run(BULKHEAD, args), /absent\.yaml|bpf/);
  });
}

test("exporter: no manifests folder", async () =>
  refused(await run(BULKHEAD, ["exporter", ...common(), "--manifests", join(folder, "absent")]), /absent/));

test("kvstoremesh: a port that is in use", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  try {
    const listen = `127.0.0.1:${address.port}`;
    const args = ["kvstoremesh", ...common(), "--config-dir", join(folder, "remotes"), "--listen", listen];
    refused(
      await run(BULKHEAD, args, { timeoutMs: 20_000 }),
      new RegExp(`--listen ${listen}: .*in use.*free port`, "i"),
    );
  } finally {
    server.close();
  }
});

test("agent: a cgroup that is none, a pin folder that is on no bpffs", async () => {
  const args = ["agent", ...common(), "--node", "n", "--cgroup", folder, "--bpf-dir", join(folder, "bpf")];
  refused(await run(BULKHEAD, args), /bulkhead-e2e-.*(cgroup2|bpffs)/);
});
