import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { askSocket, followSocket } from "../../src/serve/ask.ts";
import { type ServeOptions, serve } from "../../src/serve/serve.ts";
import { freePort } from "../support/free-port.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-stream-"));
});
after(() => rm(folder, { recursive: true }));

const never = new AbortController().signal;

function options(socket: string, more: Partial<ServeOptions>): ServeOptions {
  return {
    status: () => {
      throw new Error("not asked here");
    },
    ready: () => ({ ready: true, detail: "" }),
    metrics: new Metrics(),
    adminSocket: join(folder, socket),
    ...more,
  };
}

async function until(holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    assert(waited < 5_000, "waited for 5 s");
    await sleep(systemClock, 10);
  }
}

test("an answer sees the query; the asker's mistake comes back in the program's words", async () => {
  const answer = async (query: ReadonlyMap<string, string>) => {
    if (!query.has("port")) throw new UserError("port is missing; add port=80/TCP");
    return { asked: Object.fromEntries(query) };
  };
  const served = await serve(options("answers.sock", { answers: new Map([["/v1/policy/explain", answer]]) }));
  const socket = join(folder, "answers.sock");
  const query = { from: "demo/a&b", port: "80/TCP" };
  assert.deepEqual(await askSocket(socket, "/v1/policy/explain", 1_000, query), { asked: query });
  await assert.rejects(askSocket(socket, "/v1/policy/explain", 1_000), /^Error: port is missing; add port=80\/TCP$/);
  await assert.rejects(askSocket(socket, "/v1/nothing", 1_000), /not found/);
  await served.close();
});

test("answers and streams are not on the open door", async () => {
  const port = await freePort();
  const served = await serve(
    options("closed.sock", {
      listen: `127.0.0.1:${port}`,
      answers: new Map([["/v1/policy/explain", () => ({})]]),
      streams: new Map([["/v1/flows", async function* () {}]]),
    }),
  );
  for (const path of ["/v1/policy/explain", "/v1/flows"]) {
    assert.equal((await fetch(`http://127.0.0.1:${port}${path}`)).status, 404);
  }
  await served.close();
});

test("a stream's lines arrive as they come, and its end is the stream's end", async () => {
  async function* count(query: ReadonlyMap<string, string>) {
    for (let index = 0; index < Number(query.get("last")); index++) yield { index, text: "é\u2028\n" };
  }
  const served = await serve(options("lines.sock", { streams: new Map([["/v1/flows", count]]) }));
  const read: unknown[] = [];
  const stream = followSocket(join(folder, "lines.sock"), "/v1/flows", 1_000, { last: "2000" }, never);
  for await (const line of stream) read.push(line);
  assert.equal(read.length, 2_000);
  assert.deepEqual(read[1_999], { index: 1_999, text: "é\u2028\n" });
  await served.close();
});

test("a stream that has nothing to say yet is open; its signal aborts when the asker goes", async () => {
  const seen: AbortSignal[] = [];
  async function* silence(_query: ReadonlyMap<string, string>, signal: AbortSignal) {
    seen.push(signal);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    yield 1;
  }
  const served = await serve(options("silent.sock", { streams: new Map([["/v1/flows", silence]]) }));
  const stop = new AbortController();
  const stream = followSocket(join(folder, "silent.sock"), "/v1/flows", 300, {}, stop.signal);
  const first = stream.next();
  await until(() => seen.length === 1);
  await sleep(systemClock, 600);
  assert.equal(seen[0]?.aborted, false, "the time-out is for the beginning only");
  stop.abort();
  await assert.rejects(first);
  await until(() => seen[0]?.aborted === true);
  await served.close();
});

test("a stream is taken no faster than it is read", async () => {
  let made = 0;
  async function* endless(_query: ReadonlyMap<string, string>, signal: AbortSignal) {
    for (; !signal.aborted; made++) yield "x".repeat(1_000);
  }
  const served = await serve(options("slow.sock", { streams: new Map([["/v1/flows", endless]]) }));
  const reader = connect(join(folder, "slow.sock"));
  reader.write("GET /v1/flows HTTP/1.1\r\nHost: x\r\n\r\n");
  reader.pause();
  await until(() => made > 0);
  await sleep(systemClock, 300);
  const stuckAt = made;
  await sleep(systemClock, 300);
  assert.equal(made, stuckAt, "nobody reads, so nothing is made");
  assert(made < 5_000, `${made} kB wait in buffers`);
  reader.destroy();
  await served.close();
});

test("a program that goes, or fails underway, is an error to the reader, never an end", async () => {
  async function* broken(query: ReadonlyMap<string, string>, signal: AbortSignal) {
    yield 1;
    if (query.has("fail")) throw new Error("underway");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
  const served = await serve(options("broken.sock", { streams: new Map([["/v1/flows", broken]]) }));
  const socket = join(folder, "broken.sock");
  const failing = followSocket(socket, "/v1/flows", 1_000, { fail: "yes" }, never);
  assert.equal((await failing.next()).value, 1);
  await assert.rejects(failing.next());
  const left = followSocket(socket, "/v1/flows", 1_000, {}, never);
  assert.equal((await left.next()).value, 1);
  const gone = assert.rejects(left.next());
  await served.close();
  await gone;
  await assert.rejects(followSocket(socket, "/v1/flows", 1_000, {}, never).next(), /ENOENT|ECONNREFUSED/);
});
