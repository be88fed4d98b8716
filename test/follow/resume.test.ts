/** An etcd taken up where it was left shows what a listing would, or is listed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { memoryDisk } from "../../src/disk/memory.ts";
import { type Listing, list, prefixRange, wholeListing } from "../../src/follow/list.ts";
import { ListingStore } from "../../src/follow/listing-store.ts";
import { askHeader, MAX_MISSED_REVISIONS, type ResumeSink, resume } from "../../src/follow/resume.ts";
import { type FollowSink, watch } from "../../src/follow/watch.ts";
import type { WatchEvent } from "../../src/kv/client.ts";
import { MemoryEtcd } from "../../src/kv/memory.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { writeDown } from "./written.ts";

const RANGES = [prefixRange("a/"), prefixRange("b/"), { key: "single" }];
const DIRECTORY = "/var/lib/bulkhead";
const SETTLE_MS = 300;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** `key value revisions` of every range, in order. */
function shown({ ranges }: Listing): readonly string[] {
  const all = ranges.map((kvs, range) =>
    kvs.map(({ key, value, modRevision, createRevision, version }) =>
      [range, key, text(value), modRevision, createRevision, version].join(" "),
    ),
  );
  return all.flat().sort();
}

class Stage {
  readonly clock = new VirtualClock();
  readonly etcd = new MemoryEtcd({ clock: this.clock });
  readonly disk = memoryDisk();
  #values = 0;

  constructor() {
    this.disk.makeDirectory(DIRECTORY);
  }

  put(key: string): void {
    const value = new TextEncoder().encode(`value ${this.#values++}`);
    this.etcd.edit({ operations: [{ put: { key, value } }] });
  }

  remove(key: string): void {
    this.etcd.edit({ operations: [{ delete: { key } }] });
  }

  /** All that can be. */
  compact(): void {
    this.put("else/where");
    this.etcd.compact(this.etcd.revision);
  }

  store(node = "n1"): ListingStore {
    return new ListingStore({ disk: this.disk, directory: DIRECTORY, cluster: "osaka", node, ranges: RANGES });
  }

  options(signal: AbortSignal) {
    return { clock: this.clock, signal, pageSize: 3, firstRanges: 1, progressIntervalMs: 50, progressTimeoutMs: 500 };
  }

  list(): Promise<Listing> {
    return this.clock.settle(list(this.etcd.client(), RANGES, this.options(new AbortController().signal)));
  }

  /** Lists, then follows while `meanwhile` runs, and writes down what it saw. */
  async follow(meanwhile: () => void | Promise<void> = () => undefined): Promise<void> {
    const over = new AbortController();
    const store = this.store();
    const listing = await this.list();
    writeDown(store, listing);
    const options = { ...this.options(over.signal), clusterId: listing.clusterId };
    const witness = { revision: listing.revision, key: "none", modRevision: 0, version: 0, digest: "" };
    const sink: FollowSink = {
      changed: (range, events) => store.happened(range, events),
      progress: (revision) => store.progress(revision, []),
    };
    const watching = watch(this.etcd.client(), RANGES, listing.revision + 1, sink, { ...options, witness });
    await meanwhile();
    await this.clock.advance(SETTLE_MS);
    await this.clock.settle(store.save());
    assert.deepEqual(store.problems(), []);
    over.abort();
    await this.clock.settle(watching);
  }

  /** What a new process gets: a listing as it was told, and the events after it; or why it has to list. */
  async resume(afterwards: () => void = () => undefined) {
    const kv = this.etcd.client();
    const over = new AbortController();
    const store = this.store();
    const known = await store.load();
    if (known === undefined) return store.refusals.join() || "nothing";
    let told: Listing | undefined;
    const later: WatchEvent[] = [];
    const sink: ResumeSink = {
      resumed: async (listing) => {
        told = await wholeListing(listing);
        afterwards();
      },
      changed: (_range, events) => void later.push(...events),
      progress: () => undefined,
    };
    const header = await this.clock.settle(askHeader(kv, RANGES));
    const resumed = resume(kv, RANGES, header, known, [], sink, this.options(over.signal));
    await this.clock.advance(SETTLE_MS);
    over.abort();
    const outcome = await this.clock.settle(resumed);
    if (!outcome.ok) return outcome.detail;
    assert(told);
    return { told, later };
  }
}

/** Resumed as a listing would show it. */
async function assertResumed(stage: Stage): Promise<void> {
  const resumed = await stage.resume();
  assert(typeof resumed !== "string", `listed: ${resumed}`);
  assert.deepEqual(shown(resumed.told), shown(await stage.list()));
}

test("a watch that breaks while what was known is told lets nothing else begin until it is told", async () => {
  const stage = new Stage();
  stage.put("a/1");
  await stage.follow();
  const kv = stage.etcd.client();
  const known = await stage.store().load();
  assert(known);
  const telling = Promise.withResolvers<void>();
  const sink: ResumeSink = {
    resumed: () => telling.promise,
    changed: () => undefined,
    progress: () => undefined,
  };
  const header = await stage.clock.settle(askHeader(kv, RANGES));
  let ended = false;
  const options = stage.options(new AbortController().signal);
  const resumed = resume(kv, RANGES, header, known, [], sink, options).finally(() => {
    ended = true;
  });
  await stage.clock.advance(SETTLE_MS);
  stage.etcd.pause();
  await stage.clock.advance(10_000);
  assert.equal(ended, false);
  telling.resolve();
  const outcome = await stage.clock.settle(resumed);
  assert(outcome.ok && outcome.end.cause === "broken");
});

test("what was listed, what was seen later and what happened while nobody looked are one listing; then changes follow", async () => {
  const stage = new Stage();
  for (const key of ["a/1", "a/2", "b/1", "single", "else/where"]) stage.put(key);
  await stage.follow(() => {
    stage.put("a/0");
    stage.put("a/1");
    stage.remove("b/1");
  });
  stage.put("b/9");
  stage.remove("a/2");
  stage.put("b/1");
  await assertResumed(stage);
  const resumed = await stage.resume(() => stage.put("a/5"));
  assert(typeof resumed !== "string");
  assert.deepEqual(
    resumed.later.map((event) => event.type === "put" && event.kv.key),
    ["a/5"],
  );
});

test("why it is listed: nothing was written, compacted, another etcd, an older one, one that was refilled, too much was missed", async () => {
  const stage = new Stage();
  assert.equal(await stage.resume(), "nothing");
  stage.put("a/1");
  const backup = stage.etcd.snapshot();
  stage.put("a/2");
  await stage.follow(() => stage.put("a/3"));
  const followed = stage.etcd.snapshot();
  await assertResumed(stage);

  stage.put("b/1");
  stage.etcd.compact(stage.etcd.revision);
  assert.match(`${await stage.resume()}`, /compacted/);

  const { clusterId } = await stage.list();
  stage.etcd.restore(followed, 77n);
  assert.equal(await stage.resume(), "another etcd answers");
  stage.etcd.restore(followed, clusterId);

  stage.etcd.restore(backup);
  assert.match(`${await stage.resume()}`, /its revision went back from \d+ to \d+/);
  for (const key of ["a/2", "a/3", "a/4"]) stage.put(key);
  assert.match(`${await stage.resume()}`, /restored, or replaced: a\/3 is not what it was/);

  stage.etcd.restore(followed);
  await assertResumed(stage);
  for (let missed = 0; missed <= MAX_MISSED_REVISIONS; missed++) stage.put("else/where");
  assert.match(`${await stage.resume()}`, /20001 revisions were missed/);
});

test("a backup whose newest keys are ours, and that was written to since, is watched from where it parted", async () => {
  const stage = new Stage();
  stage.put("a/1");
  const backup = stage.etcd.snapshot();
  stage.put("else/where");
  stage.put("else/where");
  await stage.follow();
  stage.etcd.restore(backup);
  for (const key of ["b/1", "b/2", "b/3"]) stage.put(key);
  await assertResumed(stage);
});

test("a backup from before the last deletion has all our keys, and one more: it is listed", async () => {
  const stage = new Stage();
  stage.put("b/1");
  stage.put("a/1");
  const backup = stage.etcd.snapshot();
  await stage.follow(() => stage.remove("b/1"));
  await assertResumed(stage);
  stage.etcd.restore(backup);
  assert.match(`${await stage.resume()}`, /its revision went back from 4 to 3/);
  stage.put("a/2");
  assert.match(`${await stage.resume()}`, /restored, or replaced: b\/1 is not what it was/);
});

test("files that are cut off, damaged, of another node, or do not belong together are not used; the listing alone is", async () => {
  const stage = new Stage();
  stage.put("a/1");
  await stage.follow(() => stage.put("a/2"));
  const path = (kind: string): string => `${DIRECTORY}/osaka-n1.${kind}`;
  const listing = await stage.disk.readBytes(path("listing"));
  const changes = await stage.disk.readBytes(path("changes"));
  const damaged = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at === 20 ? byte ^ 1 : byte));
  stage.disk.put(path("listing"), damaged(listing));
  assert.match(`${await stage.resume()}`, /osaka-n1.listing is not used: its checksum is wrong/);
  stage.disk.put(path("listing"), listing.slice(0, 9));
  assert.match(`${await stage.resume()}`, /was cut off/);
  stage.disk.put(path("listing"), listing);
  stage.disk.put(path("changes"), damaged(changes));
  assert.match(`${await stage.resume()}`, /osaka-n1.changes: its checksum is wrong/);
  stage.disk.put(path("changes"), changes);
  await assertResumed(stage);
  for (const kind of ["listing", "changes"]) {
    stage.disk.put(`${DIRECTORY}/osaka-n2.${kind}`, await stage.disk.readBytes(path(kind)));
  }
  const other = stage.store("n2");
  assert.equal(await other.load(), undefined);
  assert.match(other.refusals.join(), /it is of osaka\/n1, not of osaka\/n2/);
  stage.put("a/3");
  await stage.follow();
  stage.disk.put(path("changes"), changes);
  await assertResumed(stage);
});

test("changes that became many are folded into the listing, and nothing is lost by it", async () => {
  const stage = new Stage();
  for (const key of ["a/1", "a/2", "b/1"]) stage.put(key);
  const large = new Uint8Array(1024 * 1024).fill(65);
  const sizeOf = async (kind: string) =>
    (await stage.disk.readBytes(`${DIRECTORY}/osaka-n1.${kind}`, 1024 ** 3)).length;
  await stage.follow(async () => {
    for (let at = 0; at < 6; at++) {
      stage.etcd.edit({ operations: [{ put: { key: `b/${at}`, value: large } }] });
      await stage.clock.advance(SETTLE_MS);
    }
    stage.remove("a/2");
  });
  assert(
    (await sizeOf("listing")) > 6 * large.length && (await sizeOf("changes")) < large.length,
    "they were not folded",
  );
  stage.remove("b/3");
  await assertResumed(stage);
});

const KEYS = ["a/1", "a/2", "a/3", "b/1", "b/2", "single", "else/1"];
const anyKey = fc.constantFrom(...KEYS);
const anyEdit = fc.oneof(
  { weight: 6, arbitrary: anyKey.map((key) => ({ do: "put" as const, key })) },
  { weight: 3, arbitrary: anyKey.map((key) => ({ do: "remove" as const, key })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom("compact" as const, "back up" as const, "restore" as const)
      .map((what) => ({ do: what, key: "" })),
  },
);
const anyHistory = fc.array(anyEdit, { maxLength: 12 });

function play(
  stage: Stage,
  history: readonly { readonly do: string; readonly key: string }[],
  backups: ReturnType<MemoryEtcd["snapshot"]>[],
): void {
  for (const edit of history) {
    if (edit.do === "put") stage.put(edit.key);
    if (edit.do === "remove") stage.remove(edit.key);
    if (edit.do === "compact") stage.compact();
    if (edit.do === "back up") backups.push(stage.etcd.snapshot());
    const backup = backups.at(-1);
    if (edit.do === "restore" && backup) stage.etcd.restore(backup);
  }
}

test("whatever happened before, while it was followed and after: resumed is listed", async () => {
  let resumed = 0;
  await fc.assert(
    fc.asyncProperty(anyHistory, anyHistory, anyHistory, async (before, during, after) => {
      const stage = new Stage();
      const backups: ReturnType<MemoryEtcd["snapshot"]>[] = [];
      // A backup from before a deletion that was before the first listing: nobody knows of it (decision 0029).
      play(
        stage,
        before.filter(({ do: what }) => what !== "back up"),
        backups,
      );
      await stage.follow(() =>
        play(
          stage,
          during.filter(({ do: what }) => what !== "restore"),
          backups,
        ),
      );
      play(stage, after, backups);
      const outcome = await stage.resume();
      if (typeof outcome === "string") return;
      resumed++;
      assert.deepEqual(shown(outcome.told), shown(await stage.list()));
    }),
    { numRuns: 150 },
  );
  assert(resumed > 30, `only ${resumed} of 150 histories were resumed`);
});
