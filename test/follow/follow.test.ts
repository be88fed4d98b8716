import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { list, pagesAt, prefixRange, wholeListing } from "../../src/follow/list.ts";
import { followForever } from "../../src/follow/source.ts";
import { watch } from "../../src/follow/watch.ts";
import { type KvClient, KvError, revisionOf, type WatchEvent, type WatchSink } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const RANGES = [prefixRange("a/"), prefixRange("b/")];

let clock: VirtualClock;
let etcd: MemoryEtcd;
let stop: AbortController;

beforeEach(() => {
  clock = new VirtualClock();
  etcd = new MemoryEtcd({ clock });
  stop = new AbortController();
});

function put(key: string, value = "1"): void {
  etcd.edit({ operations: [{ put: { key, value: bytes(value) } }] });
}

function remove(key: string): void {
  etcd.edit({ operations: [{ delete: { key } }] });
}

const listOptions = (pageSize: number) => ({ pageSize, clock, signal: stop.signal });

/** A client that runs `between` after each answered range. */
function between(kv: KvClient, action: (page: number) => void): KvClient {
  let page = 0;
  return {
    ...bound(kv),
    range: async (request, options) => {
      const answer = await kv.range(request, options);
      action(++page);
      return answer;
    },
  };
}

function bound(kv: KvClient): KvClient {
  return {
    range: (...args) => kv.range(...args),
    txn: (...args) => kv.txn(...args),
    watch: (...args) => kv.watch(...args),
    grantLease: (...args) => kv.grantLease(...args),
    renewLease: (...args) => kv.renewLease(...args),
    revokeLease: (...args) => kv.revokeLease(...args),
    status: () => kv.status(),
    close: () => kv.close(),
  };
}

test("all pages of all ranges show one revision, whatever is written meanwhile", async () => {
  for (let index = 0; index < 5; index++) put(`a/${index}`);
  put("b/0");
  const revision = etcd.revision;
  const kv = between(etcd.client(), (page) => {
    put(`a/${page}`, "later");
    remove("b/0");
  });
  const listing = await clock.settle(list(kv, RANGES, listOptions(2)));
  assert.equal(listing.revision, revision);
  assert.deepEqual(
    listing.ranges.map((kvs) => kvs.map(({ key, value }) => `${key}=${new TextDecoder().decode(value)}`)),
    [["a/0=1", "a/1=1", "a/2=1", "a/3=1", "a/4=1"], ["b/0=1"]],
  );
});

test("W02: a compaction in the middle of a listing starts it again", async () => {
  for (let index = 0; index < 5; index++) put(`a/${index}`);
  const kv = between(etcd.client(), (page) => {
    if (page !== 1) return;
    put("a/5");
    remove("a/0");
    etcd.compact(etcd.revision);
  });
  const listing = await clock.settle(list(kv, RANGES, listOptions(2)));
  assert.equal(listing.revision, etcd.revision);
  assert.deepEqual(
    listing.ranges[0]?.map(({ key }) => key),
    ["a/1", "a/2", "a/3", "a/4", "a/5"],
  );
});

test("a listing that is compacted again and again is given up", async () => {
  for (let index = 0; index < 3; index++) put(`a/${index}`);
  const kv = between(etcd.client(), () => {
    put("a/9");
    etcd.compact(etcd.revision);
  });
  const failed = clock.settle(list(kv, RANGES, listOptions(1)));
  await assert.rejects(failed, (error) => error instanceof KvError && error.code === "compacted");
});

class Recorder {
  readonly events: WatchEvent[] = [];
  readonly joints: number[] = [];
  changed(_range: number, events: readonly WatchEvent[]): void {
    this.events.push(...events);
  }
  progress(revision: number): void {
    this.joints.push(revision);
  }
}

const watchOptions = () => ({
  clock,
  signal: stop.signal,
  clusterId: 0x0bad_cafen,
  witness: { revision: etcd.revision, key: "none", modRevision: 0, version: 0, digest: "" },
  progressIntervalMs: 1_000,
  progressTimeoutMs: 3_000,
});

test("a watch delivers every range in order, and joint points only when all ranges are there", async () => {
  const sink = new Recorder();
  const end = watch(etcd.client(), RANGES, etcd.revision + 1, sink, watchOptions());
  await clock.advance(100);
  put("a/1");
  put("b/1");
  put("a/1", "2");
  remove("b/1");
  await clock.advance(5_000);
  assert.deepEqual(
    sink.events.map((event) => event.type),
    ["put", "put", "put", "delete"],
  );
  assert(sink.joints.length >= 4);
  assert.equal(sink.joints.at(-1), etcd.revision);
  stop.abort();
  assert.equal((await clock.settle(end)).cause, "canceled");
  await clock.advance(10);
  assert.equal(clock.pending, 0, "no timer is left");
});

/** A door whose watches are played by the test. */
function scripted(sinks: WatchSink[]): KvClient {
  return {
    ...bound(etcd.client()),
    watch: (_request, sink) => {
      sinks.push(sink);
      return { requestProgress() {}, cancel() {} };
    },
  };
}

const event = (key: string, modRevision: number): WatchEvent => ({ type: "delete", key, modRevision });
const header = (revision: number, clusterId = 0x0bad_cafen) => ({ revision, clusterId });

test("W07: events sent twice are applied once; late events below a progress are not lost (W06)", async () => {
  const sinks: WatchSink[] = [];
  const sink = new Recorder();
  void watch(scripted(sinks), RANGES, 10, sink, watchOptions());
  for (const one of sinks) one.progress(header(9));
  await clock.advance(10);
  assert.deepEqual(sink.joints, [], "the first one only confirms the listing");
  sinks[0]?.events([event("a/1", 10), event("a/2", 11)], header(11));
  sinks[0]?.events([event("a/2", 11), event("a/3", 12)], header(12));
  sinks[0]?.progress(header(20));
  sinks[0]?.events([event("a/4", 15)], header(20));
  assert.deepEqual(sink.events.map(revisionOf), [10, 11, 12, 15]);
  assert.deepEqual(sink.joints, [], "the other range has said nothing");
  sinks[1]?.progress(header(14));
  assert.deepEqual(sink.joints, [14]);
  stop.abort();
});

test("W10, W11: an etcd wiped between list and watch, and filled past our revision under the same id, is listed again", async () => {
  for (let index = 0; index < 5; index++) put(`a/${index}`, "old");
  const state = new Map<string, string>();
  let listings = 0;
  const following = followForever(
    {
      ...watchOptions(),
      kv: etcd.client(),
      random: seededRandom(3),
      pageSize: 2,
      backoff: { baseMs: 100, capMs: 1_000 },
    },
    RANGES,
    {
      async listed(listing) {
        state.clear();
        for (const { key, value } of (await wholeListing(listing)).ranges.flat())
          state.set(key, new TextDecoder().decode(value));
        if (++listings > 1) return;
        etcd.wipe();
        for (let index = 0; index < 9; index++) put("b/filler");
        for (let index = 3; index < 6; index++) put(`a/${index}`, "new");
      },
      changed(_range, events) {
        for (const one of events) if (one.type === "put") state.set(one.kv.key, new TextDecoder().decode(one.kv.value));
      },
      progress() {},
      lost() {},
    },
  );
  await clock.advance(10_000);
  assert(etcd.revision > 7);
  assert.equal(listings, 2);
  assert.deepEqual([...state.keys()].sort(), ["a/3", "a/4", "a/5", "b/filler"]);
  stop.abort();
  await clock.settle(following);
});

test("W12: another etcd answering ends the watch before its events count", async () => {
  const sinks: WatchSink[] = [];
  const sink = new Recorder();
  const end = watch(scripted(sinks), RANGES, 10, sink, watchOptions());
  sinks[0]?.events([event("a/1", 10)], header(11, 7n));
  assert.match((await end).detail, /another etcd/);
  assert.deepEqual(sink.events, []);
});

test("N01: silence ends the watch, and nothing else does", async () => {
  const sink = new Recorder();
  const end = watch(etcd.client(), RANGES, etcd.revision + 1, sink, watchOptions());
  let ended = false;
  void end.then(() => {
    ended = true;
  });
  await clock.advance(60_000);
  assert.equal(ended, false);
  etcd.pause();
  await clock.advance(2_000);
  assert.equal(ended, false);
  await clock.advance(3_000);
  assert.equal((await end).cause, "broken");
  assert.match((await end).detail, /no sign of life/);
});

test("followForever: any end is followed by a pause and a full list; loss hands over nothing", async () => {
  const state = new Map<string, number>();
  let listings = 0;
  const losses: string[] = [];
  const random = seededRandom(3);
  const following = followForever(
    {
      ...watchOptions(),
      kv: etcd.client(),
      random,
      pageSize: 2,
      backoff: { baseMs: 100, capMs: 1_000 },
    },
    RANGES,
    {
      async listed(listing) {
        listings++;
        state.clear();
        for (const kv of (await wholeListing(listing)).ranges.flat()) state.set(kv.key, kv.modRevision);
      },
      changed(_range, events) {
        for (const event of events) {
          if (event.type === "put") state.set(event.kv.key, event.kv.modRevision);
          else state.delete(event.key);
        }
      },
      progress() {},
      lost: (detail) => void losses.push(detail),
    },
  );
  put("a/1");
  await clock.advance(50);
  put("b/1");
  await clock.advance(50);
  assert.deepEqual([...state.keys()], ["a/1", "b/1"]);
  etcd.stop();
  put("a/2");
  remove("a/1");
  await clock.advance(10_000);
  assert.deepEqual([...state.keys()], ["a/1", "b/1"], "loss of contact changes nothing");
  etcd.compact(etcd.revision);
  etcd.start();
  await clock.advance(10_000);
  assert.deepEqual([...state.keys()], ["a/2", "b/1"]);
  assert.equal(listings, 2);
  assert(losses.length > 5, "it tried all the time");
  stop.abort();
  await clock.settle(following);
});

test("N04: over a slow link pages get smaller until they arrive in time, at the same revision; a dead one fails", async () => {
  for (let number = 0; number < 200; number++) put(`a/${String(number).padStart(3, "0")}`);
  const kv = etcd.client({ timeoutMs: 500 });
  const asked: number[] = [];
  let carries = 40;
  const slow: KvClient = {
    ...bound(kv),
    range: async (request) => {
      asked.push(request.limit ?? 0);
      if ((request.limit ?? 0) > carries) throw new KvError("deadline", "too much for this link");
      const answer = await kv.range(request);
      put("b/meanwhile", String(asked.length));
      return answer;
    },
  };
  const listing = await clock.settle(list(slow, RANGES, listOptions(1_000)));
  assert.equal(listing.ranges[0]?.length, 200);
  assert.deepEqual(listing.ranges[1], [], "all of it is of the first page's revision");
  assert.deepEqual(asked.slice(0, 5), [1_000, 250, 62, 16, 16]);
  carries = 0;
  asked.length = 0;
  await assert.rejects(clock.settle(list(slow, RANGES, listOptions(1_000))), /too much for this link/);
  assert.deepEqual(asked, [1_000, 250, 62, 16]);
});

test("pages of a listing are all of its revision, and the next one is asked for while one is worked on", async () => {
  for (const name of ["1", "2", "3"]) put(`a/${name}`);
  const at = { revision: etcd.revision, clusterId: (await clock.settle(etcd.client().status())).clusterId };
  put("a/4");
  let asked = 0;
  const kv = between(etcd.client(), () => asked++);
  const pages = pagesAt(kv, prefixRange("a/"), at, listOptions(1));
  const names: string[] = [];
  for (let page = await clock.settle(pages.next()); !page.done; page = await clock.settle(pages.next())) {
    names.push(...page.value.kvs.map(({ key }) => key));
    await clock.advance(1_000);
    assert.equal(asked, Math.min(3, names.length + 1));
  }
  assert.deepEqual(names, ["a/1", "a/2", "a/3"]);
  const others = pagesAt(kv, prefixRange("a/"), { ...at, clusterId: at.clusterId + 1n }, listOptions(1));
  await assert.rejects(clock.settle(others.next()), /another etcd cluster/);
});
