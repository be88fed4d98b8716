import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ExporterStatus } from "../../src/model/status.ts";
import { Metrics } from "../../src/runtime/metrics.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { askSocket } from "../../src/serve/ask.ts";
import { serve } from "../../src/serve/serve.ts";
import { freePort } from "../support/free-port.ts";

const status: ExporterStatus = {
  program: "exporter",
  cluster: "osaka",
  pid: 7,
  uptimeMs: 1,
  problems: [],
  leader: true,
  synced: true,
  queued: 0,
  entries: { ip: 3 },
};

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-serve-"));
});
after(() => rm(folder, { recursive: true }));

function options(socket: string, ready = true): Parameters<typeof serve>[0] {
  const metrics = new Metrics();
  metrics.gauge("bulkhead_test", "A test.").set(1);
  return { status: () => status, ready: () => ({ ready, detail: "so" }), metrics, adminSocket: join(folder, socket) };
}

test("the admin socket is private and answers with the status", async () => {
  const served = await serve(options("osaka/exporter.sock"));
  const socket = join(folder, "osaka/exporter.sock");
  assert.equal((await stat(socket)).mode & 0o777, 0o600);
  assert.deepEqual(await askSocket(socket, "/v1/status", 1000), status);
  await served.close();
  await assert.rejects(askSocket(socket, "/v1/status", 1000));
});

test("probes and metrics answer on the address; readiness can be lost", async () => {
  const port = await freePort();
  const served = await serve({ ...options("a.sock", false), listen: `127.0.0.1:${port}` });
  const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`);
  assert.equal((await get("/healthz")).status, 200);
  const readiness = await get("/readyz");
  assert.equal(readiness.status, 503);
  assert.deepEqual(await readiness.json(), { ready: false, detail: "so" });
  assert.match(await (await get("/metrics")).text(), /bulkhead_test 1/);
  assert.equal((await get("/v1/status")).status, 404, "status is not on the open door");
  await served.close();
});

test("a taken address is one line and leaves no socket behind", async () => {
  const blocker = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => blocker.once("listening", resolve));
  const { port } = blocker.address() as AddressInfo;
  const refused = serve({ ...options("b.sock"), listen: `127.0.0.1:${port}` });
  await assert.rejects(
    refused,
    (error) => error instanceof UserError && /--listen 127.0.0.1:\d+: .*EADDRINUSE/.test(error.message),
  );
  await assert.rejects(stat(join(folder, "b.sock")));
  blocker.close();
});

test("a living program keeps its socket; a dead one's is taken over", async () => {
  const first = await serve(options("c.sock"));
  await assert.rejects(serve(options("c.sock")), /another process answers there/);
  assert.deepEqual(await askSocket(join(folder, "c.sock"), "/v1/status", 1000), status);
  await first.close();
});
