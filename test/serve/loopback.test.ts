import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Metrics } from "../../src/runtime/metrics.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { loopbackFault } from "../../src/serve/loopback.ts";
import { type Served, serve } from "../../src/serve/serve.ts";
import { freePort } from "../support/free-port.ts";

const status = { program: "exporter", cluster: "osaka", pid: 7, uptimeMs: 1, problems: [] } as const;
const record = { ...status, leader: true, synced: true, queued: 0, entries: {} };
let folder: string;
let port: number;
let served: Served;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bulkhead-api-"));
  port = await freePort();
  served = await serve({
    status: () => record,
    ready: () => ({ ready: true, detail: "" }),
    metrics: new Metrics(),
    adminSocket: join(folder, "a.sock"),
    actions: new Map([["/v1/release", () => assert.fail("not done")]]),
    api: {
      listen: `127.0.0.1:${port}`,
      answers: new Map([
        ["/v1/cluster", () => [{ name: "kyoto" }]],
        [
          "/v1/query",
          () => {
            throw new UserError("name is missing; add ?name=");
          },
        ],
      ]),
    },
  });
});
after(async () => {
  await served.close();
  await rm(folder, { recursive: true });
});

interface Said {
  readonly code: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(path: string, headers: Readonly<Record<string, string>> = {}, method = "GET"): Promise<Said> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ code: response.statusCode, headers: response.headers, body }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("the API answers to the names of the loopback, byte for byte", async () => {
  for (const host of [`localhost:${port}`, "LOCALHOST", `127.0.0.1:${port}`, "127.8.9.1", `[::1]:${port}`, "[::1]"]) {
    const { code, headers, body } = await ask("/v1/cluster", { host });
    assert.deepEqual([code, body], [200, `[{"name":"kyoto"}]\n`], host);
    assert.match(headers["content-type"] ?? "", /^application\/json/);
  }
  assert.deepEqual(JSON.parse((await ask("/v1/status")).body), record);
});

test("any other name is refused before anything is looked up: a page that made its own name point here reads nothing", async () => {
  for (const host of [
    `mesh.example:${port}`,
    "localhost.example",
    "127.0.0.1.example",
    "10.0.0.1",
    "[::2]",
    "127.0.0.1@x",
  ]) {
    for (const path of ["/v1/cluster", "/v1/status", "/nothing"]) {
      const { code, body } = await ask(path, { host });
      assert.equal(code, 403, `${host} ${path}`);
      assert.match(body, /Host must be localhost/);
    }
  }
});

test("no other origin is let in: no CORS header, and no preflight", async () => {
  const { code, headers } = await ask("/v1/cluster", { origin: "http://mesh.example" });
  assert.equal(code, 200);
  assert.deepEqual(
    Object.keys(headers).filter((name) => name.startsWith("access-control")),
    [],
  );
  const preflight = { origin: "http://mesh.example", "access-control-request-method": "POST" };
  assert.equal((await ask("/v1/cluster", preflight, "OPTIONS")).code, 404);
});

test("the API changes nothing: actions, probes and other methods are not there", async () => {
  for (const path of ["/v1/release", "/v1/cluster", "/v1/status"])
    assert.equal((await ask(path, {}, "POST")).code, 404);
  for (const method of ["PUT", "DELETE", "PATCH"]) assert.equal((await ask("/v1/cluster", {}, method)).code, 404);
  for (const path of ["/metrics", "/readyz"]) assert.equal((await ask(path)).code, 404);
});

test("an asker's mistake is one line", async () => {
  const { code, body } = await ask("/v1/query");
  assert.deepEqual([code, JSON.parse(body).message], [400, "name is missing; add ?name="]);
});

test("a taken port names the flag", async () => {
  const again = serve({
    status: () => record,
    ready: () => ({ ready: true, detail: "" }),
    metrics: new Metrics(),
    adminSocket: join(folder, "b.sock"),
    api: { listen: `127.0.0.1:${port}`, answers: new Map() },
  });
  await assert.rejects(again, /^UserError: --api-listen 127.0.0.1:\d+: .*EADDRINUSE.*; choose a free port/);
});

test("only addresses of the loopback may be listened on", () => {
  for (const good of ["127.0.0.1:9889", "[::1]:9889", "127.1.2.3:0"])
    assert.equal(loopbackFault(good), undefined, good);
  for (const bad of [
    "0.0.0.0:9889",
    "10.0.0.1:9889",
    "[::]:9889",
    "127.0.0.1",
    "127.0.0.1:99999",
    "127.0.0.1.example:80",
    "localhost:9889",
    "::1:9889",
    ":9889",
    "",
  ]) {
    assert.match(loopbackFault(bad) ?? "", /^must be ADDRESS:PORT on the loopback/, bad);
  }
});
