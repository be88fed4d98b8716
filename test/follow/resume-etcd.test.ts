/** A real etcd taken up where it was left: after a restart of it too, not after it was wiped and filled again under the same cluster id. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemDisk } from "../../src/disk/system.ts";
import { type Listing, list, type PagedListing, prefixRange, wholeListing } from "../../src/follow/list.ts";
import { ListingStore } from "../../src/follow/listing-store.ts";
import { askHeader, resume } from "../../src/follow/resume.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { TestEtcd } from "../support/etcd.ts";
import { writeDown } from "./written.ts";

const RANGES = [prefixRange("a/"), prefixRange("b/")];

test("a real etcd: what happened since is told, across its restart; compacted or wiped it is listed", async (context) => {
  const etcd = await TestEtcd.start();
  const directory = mkdtempSync(join(tmpdir(), "bulkhead-resume-"));
  const kv = etcd.connect();
  context.after(async () => {
    kv.close();
    await etcd.end();
    rmSync(directory, { recursive: true });
  });
  const put = async (key: string, value = key): Promise<number> => {
    const bytes = new TextEncoder().encode(value);
    return (await kv.txn({ operations: [{ put: { key, value: bytes } }] })).revision;
  };
  const over = new AbortController();
  const options = { clock: systemClock, signal: over.signal, pageSize: 2, progressIntervalMs: 100 };
  const store = () => new ListingStore({ disk: systemDisk, directory, cluster: "osaka", node: "n1", ranges: RANGES });
  const listing = () => list(kv, RANGES, options);
  const writeAll = async (): Promise<void> => {
    const written = store();
    writeDown(written, await listing());
    await written.save();
    assert.deepEqual(written.problems(), []);
  };
  const resumed = async (): Promise<Listing | string> => {
    const known = (await store().load()) ?? assert.fail("nothing was written down");
    const ended = new AbortController();
    let told: Listing | undefined;
    const sink = {
      resumed: async (given: PagedListing) => {
        told = await wholeListing(given);
        ended.abort();
      },
      changed: () => undefined,
      progress: () => undefined,
    };
    const watching = { ...options, firstRanges: 1, signal: ended.signal, progressTimeoutMs: 20_000 };
    const outcome = await resume(kv, RANGES, await askHeader(kv, RANGES), known, [], sink, watching);
    return outcome.ok ? (told ?? "nothing was told") : outcome.detail;
  };

  for (const key of ["a/1", "a/2", "a/3", "b/1"]) await put(key);
  await writeAll();
  await put("a/2", "changed");
  await put("b/2");
  await kv.txn({ operations: [{ delete: { key: "a/1" } }] });
  await put("else/where");
  assert.deepEqual(await resumed(), await listing());
  await etcd.restart();
  await put("a/9");
  assert.deepEqual(await resumed(), await listing());

  await etcd.compact(await put("a/10"));
  assert.match(`${await resumed()}`, /compacted/);

  await writeAll();
  const { revision } = await listing();
  await etcd.wipe();
  for (let at = 0; at <= revision; at++) await put(`a/${at}`);
  assert.match(`${await resumed()}`, /restored, or replaced: a\/10 is not what it was/);
});
