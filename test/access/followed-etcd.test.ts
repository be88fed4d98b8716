/** The own etcd by files that are replaced: new ones are taken at once, those that do not fit are not. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Expiry, type ExpiryOptions } from "../../src/access/expiry.ts";
import { FollowedEtcd } from "../../src/access/followed-etcd.ts";
import { type MemoryDisk, memoryDisk } from "../../src/disk/memory.ts";
import type { ConnectOptions, KvClient } from "../../src/kv/client.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { type Authority, issue, makeAuthority, type Validity } from "../support/certificates.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const INTERVAL_MS = 1_000;
const DAY_MS = 86_400_000;
const FILE = "endpoints: [https://10.0.0.1:2379]\ntrusted-ca-file: /c/ca\ncert-file: /c/cert\nkey-file: /c/key\n";

let folder: string;
let authority: Authority;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-followed-"));
  authority = makeAuthority(folder, "authority", { fromDays: -1, toDays: 365 });
});
after(() => rmSync(folder, { recursive: true }));

let issues = 0;
function replace(disk: MemoryDisk, which: readonly ("cert" | "key")[], validity?: Validity): void {
  const made = issue(authority, `client-${++issues}`, "DNS:client", validity);
  for (const one of which) disk.put(`/c/${one}`, readFileSync(made[one]));
}

function stage() {
  const disk = memoryDisk({ "/c/etcd": FILE });
  disk.put("/c/ca", readFileSync(authority.ca));
  replace(disk, ["cert", "key"]);
  const clock = new VirtualClock();
  const connected: ConnectOptions[] = [];
  const closed: number[] = [];
  /** Answers by its number. */
  const connect = (options: ConnectOptions): KvClient => {
    const number = connected.push(options);
    const status = async () => ({ version: String(number), dbSizeBytes: 0, revision: 1, clusterId: 1n });
    return { status, close: () => void closed.push(number) } as unknown as KvClient;
  };
  const settings = {
    etcdConfig: "/c/etcd",
    etcdTimeoutMs: 5_000,
    etcdKeepaliveMs: 1,
    etcdKeepaliveTimeoutMs: 1,
    certificatesIntervalMs: INTERVAL_MS,
  };
  const stop = new AbortController();
  const open = () => FollowedEtcd.open({ disk, clock, connect }, settings, stop.signal);
  return { disk, clock, connected, closed, open, stop };
}

const QUIET = { problems: [] };

test("new certificates are a new client at once; the one before is closed when its calls must be over", async () => {
  const { disk, clock, connected, closed, open, stop } = stage();
  const kv = await open();
  await clock.advance(INTERVAL_MS * 3);
  assert.equal(connected.length, 1, "nothing changed");
  replace(disk, ["cert", "key"]);
  await clock.advance(INTERVAL_MS);
  assert.equal((await kv.status()).version, "2");
  assert.notDeepEqual(connected[0]?.cert, connected[1]?.cert);
  assert.deepEqual(closed, []);
  await clock.advance(5_000);
  assert.deepEqual(closed, [1]);
  kv.close();
  assert.deepEqual(closed, [1, 2]);
  stop.abort();
});

test("half of a replacement is no certificate: told, and taken once it is whole", async () => {
  const { disk, clock, connected, open, stop } = stage();
  const kv = await open();
  replace(disk, ["cert"]);
  await clock.advance(INTERVAL_MS);
  assert.equal(connected.length, 1);
  assert.deepEqual(kv.in(QUIET).problems, [
    "--etcd-config cannot be read anew, the connection stays as it is: the key of the certificate of /c/etcd is not that of its certificate",
  ]);
  disk.remove("/c/ca");
  await clock.advance(INTERVAL_MS);
  assert.match(kv.in(QUIET).problems[0] ?? "", /\/c\/ca: ENOENT/);
  disk.put("/c/ca", readFileSync(authority.ca));
  replace(disk, ["cert", "key"]);
  await clock.advance(INTERVAL_MS);
  assert.deepEqual(kv.in(QUIET).problems, []);
  assert.equal((await kv.status()).version, "2");
  stop.abort();
});

async function expiryOf(disk: MemoryDisk, clock: VirtualClock, more: Pick<ExpiryOptions, "otherEtcds"> = {}) {
  const metrics = new Metrics();
  const settings = { etcdConfig: "/c/etcd", certificatesIntervalMs: INTERVAL_MS };
  const wall = { ...clock, nowMs: () => clock.nowMs(), wallMs: () => Date.now() };
  const { signal } = new AbortController();
  const after = clock.after.bind(clock);
  const options = { disk, metrics, signal, settings, ...more };
  const expiry = await Expiry.start({ ...options, clock: { ...wall, after, breathe: () => clock.breathe() } });
  return { expiry, metrics };
}

test("the first certificate to end is told, a warning 30 days ahead, and of short-lived ones when a third is left", async () => {
  const { disk, clock } = stage();
  replace(disk, ["cert", "key"], { fromDays: -1, toDays: 100 });
  const { expiry, metrics } = await expiryOf(disk, clock);
  const first = expiry.in(QUIET);
  assert.equal(first.certificate?.file, "/c/cert");
  assert(Math.abs((first.certificate?.leftMs ?? 0) - 100 * DAY_MS) < 60_000);
  assert.deepEqual(first.problems, []);
  const [, value] = /^bulkhead_certificate_first_expiry_timestamp_seconds (\d+)/m.exec(await metrics.text()) ?? [];
  assert.equal(Number(value), Date.parse(first.certificate?.until ?? "") / 1_000);
  const told = async (validity: Validity): Promise<readonly string[]> => {
    replace(disk, ["cert", "key"], validity);
    await clock.advance(INTERVAL_MS);
    return expiry.in(QUIET).problems;
  };
  assert.match(
    (await told({ fromDays: -100, toDays: 29 }))[0] ?? "",
    /^certificate \/c\/cert ends on .*Z: put a new one in its place$/,
  );
  assert.deepEqual(await told({ fromDays: -100, toDays: 31 }), []);
  assert.deepEqual(await told({ fromDays: -0.5, toDays: 1 }), [], "of a day and a half half a day is not left");
  assert.equal((await told({ fromDays: -0.8, toDays: 0.2 })).length, 1);
  assert.match((await told({ fromDays: -3, toDays: -1 }))[0] ?? "", /^certificate \/c\/cert has ended on/);
});

test("of a bundle the last one counts: the old authority may end while the new one holds", async () => {
  const { disk, clock } = stage();
  const old = makeAuthority(folder, "old", { fromDays: -300, toDays: 2 });
  replace(disk, ["cert", "key"], { fromDays: -1, toDays: 100 });
  disk.put("/c/ca", readFileSync(old.ca, "utf8") + readFileSync(authority.ca, "utf8"));
  const { expiry } = await expiryOf(disk, clock);
  assert.deepEqual(expiry.in(QUIET).problems, []);
  disk.put("/c/ca", readFileSync(old.ca));
  await clock.advance(INTERVAL_MS);
  assert.match(expiry.in(QUIET).problems[0] ?? "", /^certificate \/c\/ca ends on/);
});

test("a folder of remotes that cannot be read hides nothing of the own etcd", async () => {
  const { disk, clock } = stage();
  replace(disk, ["cert", "key"], { fromDays: -100, toDays: 10 });
  const otherEtcds = (): Promise<readonly string[]> => Promise.reject(new Error("EACCES"));
  const { expiry } = await expiryOf(disk, clock, { otherEtcds });
  assert.equal(expiry.in(QUIET).certificate?.file, "/c/cert");
});
