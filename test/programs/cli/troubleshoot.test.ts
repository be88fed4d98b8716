import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Findings } from "../../../src/model/troubleshoot.ts";
import { TestEtcd } from "../../support/etcd.ts";
import { freePort } from "../../support/free-port.ts";
import { fill } from "../../troubleshoot/stage.ts";
import { bulkhead } from "./command.ts";

let etcd: TestEtcd;
let directory: string;
before(async () => {
  directory = mkdtempSync(join(tmpdir(), "bulkhead-troubleshoot-cli-"));
  etcd = await TestEtcd.start();
  const kv = etcd.connect();
  await fill(kv, "osaka", 2);
  kv.close();
  const file = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  file("osaka", `endpoints: ["${etcd.endpoint}"]\n`);
  file("oslo", `endpoints: ["http://127.0.0.1:${await freePort()}"]\n`);
  file("empty", "");
  file("ca.crt", "-----BEGIN CERTIFICATE-----\n");
});
after(async () => {
  await etcd.end();
  rmSync(directory, { recursive: true });
});

const run = (...args: readonly string[]) => bulkhead("troubleshoot", "--config-dir", directory, ...args);

test("exit code 0 when all steps of those asked for went well, 1 when one failed", async () => {
  const good = await run("osaka");
  assert.equal(good.code, 0, good.out);
  assert.match(good.out, /^osaka\n {2}ok /);
  const all = await run();
  assert.equal(all.code, 1);
  assert.deepEqual(all.out.match(/^[a-z]+$/gm), ["empty", "osaka", "oslo"]);
  assert.match(all.out, /FAILED +file .*empty:1: is empty; it must list endpoints/);
});

test("--cluster leaves our own file out, --cluster-id alone is enough to see a clash, --etcd-config adds the local etcd", async () => {
  const { out } = await run("osaka", "--cluster", "oslo", "--cluster-id", "2");
  assert.match(out, /FAILED +cluster id: 2 is that of oslo too/);
  const other = await run("osaka", "--cluster-id", "2");
  assert.match(other.out, /FAILED +cluster id: 2 is that of the own cluster too/);
  const local = await run("osaka", "--etcd-config", join(directory, "oslo"));
  assert.equal(local.code, 1);
  assert.match(local.out, /^local\n[\s\S]*FAILED +TCP[\s\S]*\nosaka\n/);
  assert.match((await run("oslo", "--cluster", "oslo")).err, /^bulkhead: oslo: no such remote/);
});

test("--json gives the steps as records", async () => {
  const { out } = await run("oslo", "--json");
  const [found] = JSON.parse(out) as readonly Findings[];
  assert.equal(found?.remote, "oslo");
  const tcp = found?.steps.find(({ outcome }) => outcome === "failed");
  assert.equal(tcp?.mend, "is etcd running there, and is the port right?");
});

test("bad input is one line and exit code 2", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["--config-dir", directory, "paris"], /paris: no such remote in .*; there are empty, osaka, oslo/],
    [["--config-dir", join(directory, "none")], /--config-dir .*none: ENOENT; name the directory/],
    [["--config-dir", directory, "--cluster", "Oslo"], /--cluster Oslo: a cluster's name may hold only/],
  ];
  for (const [args, line] of cases) {
    const { code, err } = await bulkhead("troubleshoot", ...args);
    assert.equal(code, 2);
    assert.match(err, /^bulkhead: [^\n]+\n$/);
    assert.match(err, line);
  }
  for (const args of [[], ["--config-dir", directory, "--timeout-ms", "0"]]) {
    assert.equal((await bulkhead("troubleshoot", ...args)).code, 2);
  }
});
