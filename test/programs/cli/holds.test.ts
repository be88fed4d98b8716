/** Holds, rejections and the release, as an operator meets them: the whole program on one side, the command on the other. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MemoryNats } from "../../../src/bus/memory.ts";
import { memoryDisk } from "../../../src/disk/memory.ts";
import { MemoryEtcd } from "../../../src/kv/memory.ts";
import { assemble } from "../../../src/programs/kvstoremesh/assemble.ts";
import { mirrorSettings } from "../../../src/programs/kvstoremesh/settings.ts";
import { sleep, systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { cacheKey } from "../../../src/wire/resources.ts";
import { FakeCluster } from "../../mirror/fake-cluster.ts";
import { bulkhead, type Ran } from "./command.ts";

const PODS = 100;

let folder: string;
let running: Promise<void>;
const stop = new AbortController();
const amsterdam = new MemoryEtcd({ clock: systemClock });
const osaka = new FakeCluster("osaka", 2, systemClock);

const cachedIps = (): number => amsterdam.entries("cilium/cache/ip/v1/osaka/").length;

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let round = 0; round < 600; round++) {
    if (holds()) return;
    await sleep(systemClock, 50);
  }
  assert.fail(`${what}: not within 30 s`);
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-holds-"));
  osaka.populate(PODS);
  osaka.announce();
  const disk = memoryDisk({
    "/etc/local.yaml": "endpoints:\n- http://amsterdam:2379\n",
    "/etc/mesh/osaka": "endpoints:\n- http://osaka:2379\n",
  });
  const flags = {
    cluster: "amsterdam",
    "cluster-id": "1",
    "etcd-config": "/etc/local.yaml",
    "config-dir": "/etc/mesh",
    "run-dir": folder,
    "api-listen": "none",
    "log-level": "silent",
    "progress-interval-ms": "50",
  };
  const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  const connect = ({ endpoints }: { readonly endpoints: readonly string[] }) =>
    (endpoints[0]?.includes("osaka") ? osaka.etcd : amsterdam).client();
  const connectBus = () => new MemoryNats(systemClock).client();
  const doors = { clock: systemClock, random: systemRandom, disk, connect, connectBus };
  running = assemble(readSettings("kvstoremesh", mirrorSettings, argv), doors, stop.signal);
  await until("osaka is mirrored", () => cachedIps() === PODS);
});

after(async () => {
  stop.abort();
  await running;
  // Its lease would keep this process alive.
  amsterdam.wipe();
  await rm(folder, { recursive: true });
});

const run = (...args: readonly string[]): Promise<Ran> => bulkhead(...args, "--run-dir", folder);

async function untilHeld(): Promise<string> {
  for (let round = 0; round < 50; round++) {
    const { out } = await run("holds");
    if (out.includes("osaka/ip")) return out;
  }
  assert.fail("nothing is held");
}

test("nothing is held or refused at first", async () => {
  assert.deepEqual(await run("holds"), { code: 0, out: "nothing is held\n", err: "" });
  assert.deepEqual(await run("rejected"), { code: 0, out: "nothing is refused or parked\n", err: "" });
});

test("refused and parked values are listed with key and reason", async () => {
  osaka.put(osaka.ipKey(1), "{}");
  osaka.put(osaka.ipKey(2), `{"IP":"10.2.0.2","HostIP":"","ID":131999}`);
  let out = "";
  for (let round = 0; round < 50 && !out.includes("parked"); round++) ({ out } = await run("rejected", "osaka"));
  assert.match(out, /amsterdam +osaka +malformed +cilium\/state\/ip\/v1\/default\/10\.2\.0\.1 +\S/);
  assert.match(out, /amsterdam +osaka +parked +\S+10\.2\.0\.2 +waits for identity 131999/);
  const unknown = await run("rejected", "oslo");
  assert.match(unknown.out, /no answer from .*no remote oslo: there are osaka/);
});

test("what is refused or parked is discarded by key or by reason; a wrong name is one line and code 2, and changes nothing", async () => {
  const one = osaka.ipKey(1);
  const before = await run("rejected");
  for (const [wrong, line] of [
    [["osaka", "cilium/state/none"], /cilium\/state\/none is not refused or parked of osaka; nothing was changed/],
    [["osaka", one, "cilium/state/none"], /nothing was changed/],
    [["osaka", one, "--reason", "parked"], /is not set aside as parked of osaka/],
    [["osaka", "--reason", "not-allowed"], /nothing of osaka is set aside as not-allowed/],
    [["oslo"], /no remote oslo: there are osaka/],
    [[], /missing required argument/],
  ] as const) {
    const refused = await run("rejected", "discard", ...wrong);
    assert.equal(refused.code, 2, wrong.join(" "));
    assert.match(refused.err, /^[^\n]+\n$/);
    assert.match(refused.err, line);
  }
  assert.deepEqual(await run("rejected"), before);
  assert.equal(cachedIps(), PODS);
  const confirmed = await run("rejected", "confirm", "osaka", one, "--reason", "malformed");
  assert.equal(confirmed.code, 2);
  assert.match(confirmed.err, /^bulkhead: what is refused cannot be confirmed: .* widen bulkhead-allowed-cidrs .*\n$/);
  assert.equal(
    (await run("rejected", "discard", "osaka", "--reason", "parked")).out,
    "of osaka: the last good value of 0 keys withdrawn, 1 key forgotten\n",
  );
  assert.equal(
    (await run("rejected", "discard", "osaka", one)).out,
    "of osaka: the last good value of 1 key withdrawn, 0 keys forgotten\n",
  );
  await until("it is gone", () => cachedIps() === PODS - 1);
  assert.deepEqual(await run("rejected"), { code: 0, out: "nothing is refused or parked\n", err: "" });
  osaka.putIp(1);
  osaka.putIp(2);
  await until("it is there again", () => cachedIps() === PODS);
});

test("what is held is listed; a wrong name is one line and code 2; confirmed, it goes", async () => {
  for (let number = 1; number <= 60; number++) osaka.remove(osaka.ipKey(number));
  assert.match(await untilHeld(), /amsterdam +osaka\/ip +held +60 +60 .*believed if still so in/);
  for (const wrong of ["osaka", "osaka/nodes", "oslo/ip"]) {
    const refused = await run("holds", "confirm", wrong);
    assert.equal(refused.code, 2);
    assert.match(refused.err, /^bulkhead: [^\n]+\n$/);
  }
  assert.equal((await run("holds", "confirm", "osaka/ip", "--cluster", "oslo")).code, 2);
  assert.equal(cachedIps(), PODS);
  const key = (number: number): string => cacheKey("ip", "osaka", osaka.address(number));
  assert.match((await run("holds", "osaka/ip")).out, /amsterdam +osaka\/ip +held +1 +\S+ \w+ +\S+10\.2\.0\.60\n/);
  const stranger = await run("holds", "confirm", "osaka/ip", key(1), key(99));
  assert.deepEqual([stranger.code, stranger.out], [2, ""]);
  assert.match(
    stranger.err,
    /^bulkhead: kvstoremesh of amsterdam: \S+10\.2\.0\.99 is not held of osaka\/ip; nothing was changed\n$/,
  );
  assert.equal(cachedIps(), PODS);
  assert.equal((await run("holds", "confirm", "osaka/ip", key(1))).out, "1 key of osaka/ip confirmed\n");
  await until("it is gone", () => cachedIps() === PODS - 1);
  assert.equal((await run("holds", "discard", "osaka/ip", key(2))).out, "1 key of osaka/ip discarded\n");
  assert.match((await run("holds", "osaka/ip")).out, /osaka\/ip +discarded +1 +\S+ \w+ +\S+10\.2\.0\.2\n/);
  assert.equal((await run("holds", "confirm", "osaka/ip")).out, "58 keys of osaka/ip confirmed\n");
  await until("they are gone", () => cachedIps() === PODS - 59);
  const parsed = JSON.parse((await run("holds", "confirm", "osaka/ip", key(2), "--json")).out);
  assert.deepEqual(parsed, { remote: "osaka", kind: "ip", keys: 1 });
  await until("they are gone", () => cachedIps() === PODS - 60);
});

test("discarded, it stays", async () => {
  for (let number = 100; number < 200; number++) osaka.putIp(number);
  await until("there are more", () => cachedIps() >= PODS + 39);
  const before = cachedIps();
  for (let number = 100; number < 200; number++) osaka.remove(osaka.ipKey(number));
  await untilHeld();
  assert.match((await run("holds", "discard", "osaka/ip")).out, /discarded/);
  assert.match((await run("holds")).out, /osaka\/ip +discarded .*as an operator decided/);
  assert.equal(cachedIps(), before);
});

test("released, all of it hangs on one lease, and the program says so", async () => {
  const { code, out } = await run("release");
  assert.equal(code, 0);
  assert.match(out, /^\d+ keys hang on one lease of 900 s; start Cilium's kvstoremesh before it runs out\n$/);
  const leases = new Set(amsterdam.entries("cilium/cache/").map(({ leaseId }) => leaseId));
  assert.equal(leases.size, 1);
  assert(!leases.has(0n));
  assert.match((await run("status")).out, /! kvstoremesh: the cache was released/);
});
