import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { followed, lost } from "../../report/remote-examples.ts";
import { bulkhead, program } from "./command.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-cli-"));
});
after(() => rm(folder, { recursive: true }));

test("status reads every socket below the run folder and names those that are silent", async () => {
  const status = { program: "exporter", cluster: "osaka", pid: 7, uptimeMs: 5, problems: ["a.yaml: no kind"] } as const;
  const served = await program(folder, "osaka/exporter.sock", {
    ...status,
    leader: true,
    synced: true,
    queued: 0,
    entries: { ip: 3 },
  });
  const dead = `const net = require("net"); net.createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
  await new Promise((resolve) =>
    execFile(process.execPath, ["--eval", dead, join(folder, "osaka/agent-n1.sock")], resolve),
  );
  const { code, out } = await bulkhead("status", "--run-dir", folder);
  assert.equal(code, 0);
  assert.match(out, /osaka\n {2}exporter: leader, synced, 3 ip/);
  assert.match(out, /! exporter: a\.yaml: no kind/);
  assert.match(out, /! no answer from .*agent-n1\.sock/);
  const { out: json } = await bulkhead("status", "--run-dir", folder, "--json");
  assert.equal(JSON.parse(json).statuses[0].pid, 7);
  await served.close();
});

test("remotes is a block a remote, of every mirror of this machine", async () => {
  const mirror = { program: "kvstoremesh", pid: 7, uptimeMs: 5, problems: [], leader: true, queued: 0 } as const;
  const below = join(folder, "mirrors");
  const served = [
    await program(below, "kyoto/kvstoremesh.sock", { ...mirror, cluster: "kyoto", remotes: [lost] }),
    await program(below, "amsterdam/kvstoremesh.sock", { ...mirror, cluster: "amsterdam", remotes: [followed] }),
  ];
  const { code, out } = await bulkhead("remotes", "--run-dir", below);
  assert.equal(code, 0);
  assert.match(out, /^osaka, as amsterdam sees it\n[\s\S]*\nvirginia, as kyoto sees it\n/);
  const { out: json } = await bulkhead("remotes", "--run-dir", below, "--json");
  const { statuses } = JSON.parse(json) as { statuses: { remotes: unknown }[] };
  assert.deepEqual(
    statuses.map(({ remotes }) => remotes),
    [[followed], [lost]],
  );
  for (const one of served) await one.close();
});

test("bad input is one line and exit code 2", async () => {
  const nowhere = await bulkhead("status", "--run-dir", join(folder, "nowhere"));
  assert.equal(nowhere.code, 2);
  assert.match(nowhere.err, /^bulkhead: --run-dir .*nowhere: ENOENT.*\n$/);
  const unknown = await bulkhead("statsu");
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /unknown command/);
});
