import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PEERS_PATH, type PeersAnswer } from "../../../src/model/status.ts";
import type { Answer } from "../../../src/serve/routes.ts";
import { PEER_DETAIL } from "../../golden/values.ts";
import { followed, lost } from "../../report/remote-examples.ts";
import { agent } from "../../report/status-examples.ts";
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
  assert.match(out, /! no answer from .*agent-n1\.sock: it was left behind by a program that was killed; remove it if/);
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

test("remotes asks an agent where no mirror of its cluster answers: what the etcd holds, and how old the node's word is", async (t) => {
  const below = join(folder, "peers");
  const peers = { controlPlane: "silent", ageMs: 95_000, remotes: [{ cluster: "osaka", grade: "unknown" }] } as const;
  const answer = (cluster: string, node: string): ReadonlyMap<string, Answer> => {
    const details = [{ ...PEER_DETAIL, lastError: "connect refused\u001b[2J" }];
    const answered: PeersAnswer = { cluster, node, peers, details, problems: ["bulkhead/v1/peers/detail/kyoto: bad"] };
    return new Map([[PEERS_PATH, () => answered]]);
  };
  const mirror = { program: "kvstoremesh", pid: 7, uptimeMs: 5, problems: [], leader: true, queued: 0 } as const;
  const one = (cluster: string, node: string) =>
    program(below, `${cluster}/agent-${node}.sock`, { ...agent(node), cluster }, { answers: answer(cluster, node) });
  const served = [
    await one("amsterdam", "n1"),
    await one("amsterdam", "n2"),
    await one("kyoto", "n3"),
    await program(below, "kyoto/kvstoremesh.sock", { ...mirror, cluster: "kyoto", remotes: [followed] }),
  ];
  t.after(() => Promise.all(served.map((program) => program.close())));
  const { code, out } = await bulkhead("remotes", "--run-dir", below);
  assert.equal(code, 0);
  assert.match(out, /^osaka, as kyoto sees it$/m);
  assert.match(out, /^amsterdam: control plane silent, heard 95\.0 s ago: osaka unknown$/m);
  assert.match(out, /^osaka, as amsterdam wrote it down, read by n1$/m);
  assert.match(out, /^ {2}written {3}2026-01-01T00:00:00\.000Z, by the mirror's clock$/m);
  assert.match(out, /^ {2}then {6}suspect, last proven 42\.1 s before, complete$/m);
  assert.match(out, /^ {2}held {6}services held: 3 keys$/m);
  assert.match(out, /^ {2}error {5}connect refused\\u001b\[2J$/m);
  assert.match(out, /^ {2}ip +20$/m);
  assert.match(out, /^! bulkhead\/v1\/peers\/detail\/kyoto: bad$/m);
  assert.doesNotMatch(out, /read by n[23]/);
  const { out: json } = await bulkhead("remotes", "--run-dir", below, "--json");
  assert.deepEqual(
    (JSON.parse(json) as { peers: PeersAnswer[] }).peers.map(({ cluster, node }) => `${cluster} ${node}`),
    ["amsterdam n1"],
  );
});
