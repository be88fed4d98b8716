import assert from "node:assert/strict";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { systemDisk } from "../../src/disk/system.ts";
import { FileGateway } from "../../src/drill/etcd-gateway.ts";
import { livingPid, SystemHands } from "../../src/drill/hands.ts";
import type { HostOperation } from "../../src/drill/operations.ts";
import { MARKER_KEY } from "../../src/model/drill.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { TestEtcd } from "../support/etcd.ts";

const hands = new SystemHands(systemClock, new FileGateway(systemDisk));
/** In the command line of the process, and of no other on this machine. */
let command: string;
let folder: string;
let pidFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-hands-"));
  pidFile = join(folder, "it.pid");
  command = `drilled-${process.pid}-${folder.slice(-6)}`;
});

afterEach(async () => {
  await hands.carryOut(signal("SIGKILL"));
  rmSync(folder, { recursive: true });
});

const start = (script = "while :; do sleep 1; done"): HostOperation => {
  return { kind: "start", pidFile, command, argv: ["sh", "-c", script, command] };
};

function signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT", mustLive = false): HostOperation {
  return { kind: "signal", pidFile, command, signal: name, mustLive, group: true };
}

function stateOf(pid: number | undefined): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.charAt(stat.lastIndexOf(")") + 2);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert(tries < 2_000, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a process is started once, paused, goes on, and is ended; all of it twice", async () => {
  await hands.carryOut(start());
  const pid = await livingPid(pidFile, command);
  await hands.carryOut(start());
  assert.equal(await livingPid(pidFile, command), pid);
  await hands.carryOut(signal("SIGSTOP", true));
  await until("stopped", () => stateOf(pid) === "T");
  for (let times = 0; times < 2; times++) await hands.carryOut(signal("SIGCONT"));
  await until("going on", () => stateOf(pid) !== "T");
  for (let times = 0; times < 2; times++) await hands.carryOut(signal("SIGKILL"));
  assert.equal(await livingPid(pidFile, command), undefined);
  await assert.rejects(hands.carryOut(signal("SIGKILL", true)), /it\.pid: no process that is drilled-/);
});

test("a pid that belongs to another process is left alone", async () => {
  writeFileSync(pidFile, `${process.pid}\n`);
  await assert.rejects(hands.carryOut(signal("SIGKILL", true)), /no process that is drilled-/);
});

test("a process that ends at once has not started", async () => {
  await assert.rejects(hands.carryOut(start("exit 3")), /was started and ended at once \(3\)$/);
});

test("a command that fails says why", async () => {
  const fails: HostOperation = { kind: "command", argv: ["sh", "-c", "echo no such device >&2; exit 1"] };
  await assert.rejects(hands.carryOut(fails), /: no such device$/);
});

test("what was moved aside is put back, from wherever that was cut off, and once", async () => {
  const [path, aside] = [join(folder, "data"), join(folder, "data.aside")];
  const putBack: HostOperation = { kind: "put-back", aside, path, user: { pidFile, command } };
  mkdirSync(path);
  writeFileSync(join(path, "own"), "");
  await hands.carryOut(putBack);
  assert(existsSync(join(path, "own")), "never moved: nothing is touched");
  await hands.carryOut({ kind: "move", from: path, to: aside });
  mkdirSync(path);
  writeFileSync(join(path, "other"), "");
  await hands.carryOut(start());
  await hands.carryOut(putBack);
  assert.deepEqual([existsSync(join(path, "own")), existsSync(join(path, "other"))], [true, false]);
  assert.equal(await livingPid(pidFile, command), undefined, "who used it was ended");
  await hands.carryOut(start());
  await hands.carryOut(putBack);
  assert.notEqual(await livingPid(pidFile, command), undefined, "a second time nobody is");
});

test("what is no bpf file system is not emptied", async () => {
  const file = join(folder, "map");
  writeFileSync(file, "");
  await assert.rejects(hands.carryOut({ kind: "unpin", folder }), /is no folder of a bpf file system$/);
  assert(existsSync(file));
});

test("a copy never mixes with what is there", async () => {
  const [from, to] = [join(folder, "from"), join(folder, "to")];
  for (const each of [from, to]) {
    mkdirSync(each);
    writeFileSync(join(each, "file"), each);
  }
  await assert.rejects(hands.carryOut({ kind: "copy", from, to }));
  rmSync(to, { recursive: true });
  if (process.getuid?.() === 0) chownSync(join(from, "file"), 10_001, 10_002);
  await hands.carryOut({ kind: "copy", from, to });
  assert.equal(readFileSync(join(to, "file"), "utf8"), from);
  const [own, copied] = [from, to].map((each) => statSync(join(each, "file")));
  assert.deepEqual([copied?.uid, copied?.gid], [own?.uid, own?.gid], "whose it was");
});

test("a real etcd: refused without the marker, admitted with it; the alarm refuses writes until it is cleared, twice", async () => {
  const etcd = await TestEtcd.start();
  const kv = etcd.connect();
  const put = (key: string) => kv.txn({ operations: [{ put: { key, value: new Uint8Array() } }] });
  try {
    const config = join(folder, "etcd.yaml");
    writeFileSync(config, `endpoints: ["${etcd.endpoint}"]\n`);
    const marker: HostOperation = { kind: "marker", config };
    const alarm = (raise: boolean) => hands.carryOut({ kind: "alarm", config, raise });
    await assert.rejects(hands.carryOut(marker), /has no key bulkhead\/v1\/lab, so that its data are not a lab's/);
    await put(MARKER_KEY);
    await hands.carryOut(marker);
    await alarm(true);
    await assert.rejects(put("more"), /space/);
    for (let times = 0; times < 2; times++) await alarm(false);
    await put("more");
  } finally {
    kv.close();
    await etcd.end();
  }
});
