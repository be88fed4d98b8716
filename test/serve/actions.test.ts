import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Metrics } from "../../src/runtime/metrics.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { askSocket, tellSocket } from "../../src/serve/ask.ts";
import { type ServeOptions, serve } from "../../src/serve/serve.ts";
import { freePort } from "../support/free-port.ts";

const PATH = "/v1/holds/confirm";
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-actions-"));
});
after(() => rm(folder, { recursive: true }));

function options(socket: string, more: Partial<ServeOptions> = {}): ServeOptions {
  return {
    status: () => assert.fail("not asked here"),
    ready: () => ({ ready: true, detail: "" }),
    metrics: new Metrics(),
    adminSocket: join(folder, socket),
    ...more,
  };
}

async function withAction(socket: string, action: (body: unknown) => unknown, work: (socket: string) => Promise<void>) {
  const served = await serve(options(socket, { actions: new Map([[PATH, action]]) }));
  await work(join(folder, socket)).finally(() => served.close());
}

test("an action gets the body and its result comes back; nothing is null", () =>
  withAction(
    "echo.sock",
    async (body) => (Object.keys(body as object).length === 0 ? undefined : { told: body }),
    async (socket) => {
      const body = { remote: "osaka", kind: "services", text: "é\n" };
      assert.deepEqual(await tellSocket(socket, PATH, body, 1_000), { told: body });
      assert.equal(await tellSocket(socket, PATH, {}, 1_000), null);
    },
  ));

test("the asker's mistake comes back as 400 in the program's words; the program's own is a 500", () =>
  withAction(
    "mistakes.sock",
    (body) => {
      throw body === 1 ? new UserError("no remote kyoto: there are osaka") : new Error("broken");
    },
    async (socket) => {
      await assert.rejects(tellSocket(socket, PATH, 1, 1_000), /^Error: no remote kyoto: there are osaka$/);
      assert.equal((await post(socket, "application/json", "1")).statusCode, 400);
      assert.equal((await post(socket, "application/json", "2")).statusCode, 500);
    },
  ));

test("a body that is not JSON, or above 64 KiB, is refused and nothing is done", async () => {
  let done = 0;
  const act = (): number => ++done;
  await withAction("bodies.sock", act, async (socket) => {
    assert.equal((await post(socket, "application/json", "{")).statusCode, 400);
    assert.equal((await post(socket, "text/plain", "{}")).statusCode, 415);
    const body = (length: number): string => JSON.stringify("x".repeat(length - 2));
    assert.equal((await post(socket, "application/json", body(64 * 1024 + 1))).statusCode, 413);
    assert.equal(done, 0);
    assert.equal((await post(socket, "application/json", body(64 * 1024))).statusCode, 200);
    assert.equal(done, 1);
  });
});

test("an action is only POSTed, and only on the admin socket", async () => {
  let done = 0;
  const port = await freePort();
  const actions = new Map([[PATH, () => ++done]]);
  const served = await serve(options("only.sock", { actions, listen: `127.0.0.1:${port}` }));
  await assert.rejects(askSocket(join(folder, "only.sock"), PATH, 1_000), /not found/);
  const answer = await fetch(`http://127.0.0.1:${port}${PATH}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assert.equal(answer.status, 404);
  assert.equal(done, 0);
  assert.equal(await tellSocket(join(folder, "only.sock"), PATH, {}, 1_000), 1);
  await served.close();
});

test("a program that does not answer in time is said", () =>
  withAction(
    "silent.sock",
    () => new Promise(() => {}),
    (socket) => assert.rejects(tellSocket(socket, PATH, {}, 100), /no answer within 100 ms/),
  ));

function post(
  socketPath: string,
  contentType: string,
  body: string,
): Promise<{ readonly statusCode: number | undefined }> {
  return new Promise((resolve, reject) => {
    const options = { socketPath, path: PATH, method: "POST", headers: { "content-type": contentType } };
    const asked = request(options, ({ statusCode }) => resolve({ statusCode }));
    asked.on("error", reject);
    asked.end(body);
  });
}
