import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FLOWS_PATH, Flows } from "../../src/flows/flows.ts";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { followSocket } from "../../src/serve/ask.ts";
import type { Stream } from "../../src/serve/routes.ts";
import { serve } from "../../src/serve/serve.ts";
import { FakeRing, names, refused } from "./stage.ts";

const SENT = 50_000;

test("through the socket too a slow reader misses flows, and what it got and what it missed add up", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "bulkhead-overload-"));
  t.after(() => rm(folder, { recursive: true }));
  const ring = new FakeRing();
  const flows = new Flows({
    ring,
    names,
    clock: systemClock,
    metrics: new Metrics(),
    flowsKept: 100,
    cluster: "osaka",
    node: "osaka-1",
    bootWallMs: () => 0,
    onUnknown: () => {},
  });
  let following = false;
  const streamFlows: Stream = (query, signal) => {
    following = true;
    return flows.stream(query, signal);
  };
  const adminSocket = join(folder, "agent.sock");
  const served = await serve({
    status: () => assert.fail("not asked here"),
    ready: () => ({ ready: true, detail: "" }),
    metrics: new Metrics(),
    adminSocket,
    streams: new Map([[FLOWS_PATH, streamFlows]]),
  });
  t.after(() => served.close());
  const stop = new AbortController();
  const stream = followSocket(adminSocket, FLOWS_PATH, 1_000, { follow: "true", last: "0" }, stop.signal);
  const first = stream.next();
  while (!following) await sleep(systemClock, 10);
  for (let sent = 0; sent < SENT; sent += 1_000) {
    ring.put(...Array.from({ length: 1_000 }, (_, index) => refused({ bytes: sent + index })));
    flows.drain();
    await sleep(systemClock, 1);
  }
  let [got, lost, newest] = [0, 0, -1];
  let next = first;
  for (;;) {
    const value = (await next).value as { readonly bytes: number } | { readonly lost: number };
    if ("lost" in value) lost += value.lost;
    else {
      assert(value.bytes > newest, "in order, none twice");
      newest = value.bytes;
      got++;
    }
    if (got + lost >= SENT) break;
    next = stream.next();
  }
  assert.equal(got + lost, SENT);
  assert(lost > 0, "the reader was meant to be too slow");
  stop.abort();
});
