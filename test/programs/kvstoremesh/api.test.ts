import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pageFiles } from "../../../src/page/files.ts";
import { ADMIN_DOCS } from "../../../src/programs/kvstoremesh/admin.ts";
import { API_DOCS, pageDocs } from "../../../src/programs/kvstoremesh/api.ts";
import { parseAs } from "../../../src/runtime/schema.ts";
import { askSocket, tellSocket } from "../../../src/serve/ask.ts";
import { COMMON_DOCS } from "../../../src/serve/common-docs.ts";
import type { RouteDoc } from "../../../src/serve/openapi.ts";
import { freePort } from "../../support/free-port.ts";
import { MirrorStage, mirrorFlags } from "./stage.ts";

let stage: MirrorStage;
let api: string;
let probes: string;
before(async () => {
  stage = new MirrorStage(20);
  const [apiPort, probesPort] = [await freePort(), await freePort()];
  stage.start({ "api-listen": `127.0.0.1:${apiPort}`, listen: `127.0.0.1:${probesPort}` });
  api = `http://127.0.0.1:${apiPort}`;
  probes = `http://127.0.0.1:${probesPort}`;
  await stage.watching();
});
after(() => stage.stop());

interface Described {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly tags: readonly string[] }>>>>;
}

async function described(): Promise<Described> {
  return (await (await fetch(`${api}/v1/openapi.json`)).json()) as Described;
}

test("GET /v1/cluster is Cilium's JSON, byte for byte", async () => {
  const config =
    '{"cluster-id":2,"required":true,"retrieved":true,"service-exports-enabled":false,"sync-canaries":true}';
  const counts = '"num-endpoints":20,"num-identities":1,"num-nodes":1,"num-shared-services":1';
  const connection =
    "etcd: 1/1 connected, leases=0, lock leases=0, has-quorum=true: endpoint status checks are disabled, ID: 1002";
  const synced = '{"endpoints":true,"identities":true,"nodes":true,"service-exports":true,"services":true}';
  const expected = `[{"config":${config},"connected":true,"name":"osaka",${counts},"ready":true,"status":"${connection}","synced":${synced}}]\n`;
  assert.equal(await (await fetch(`${api}/v1/cluster`)).text(), expected);
});

const DOORS: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  admin: (path) => askSocket(stage.socket, path, 1_000),
  api: (path) => fetch(`${api}${path}`).then((answer) => answer.json()),
  probes: (path) => fetch(`${probes}${path}`).then((answer) => answer.json()),
};

test("every route is described, and answers on each of its doors what its schema says", async () => {
  const docs = new Map<string, RouteDoc>([...COMMON_DOCS, ...API_DOCS, ...ADMIN_DOCS, ...pageDocs(pageFiles())]);
  const { paths } = await described();
  const seen: string[] = [];
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { tags }] of Object.entries(methods)) {
      const name = `${method.toUpperCase()} ${path}`;
      const doc = docs.get(name);
      assert(doc, name);
      seen.push(name);
      if (method !== "get" || doc.type !== undefined) continue;
      for (const door of tags) parseAs(doc.answer, await DOORS[door]?.(path), `${name} (${door})`);
    }
  }
  assert.deepEqual(seen.sort(), [...docs.keys()].sort(), "nothing is described that is not served");
  assert.deepEqual(paths["/v1/cluster"]?.["get"]?.tags, ["api"]);
  assert.deepEqual(paths["/v1/status"]?.["get"]?.tags, ["api", "admin"]);
});

test("what changes something is on the admin socket only", async () => {
  const { paths } = await described();
  const posted = Object.entries(paths).filter(([, methods]) => methods["post"] !== undefined);
  assert(posted.length >= 3);
  for (const [path, methods] of posted) {
    assert.deepEqual(methods["post"]?.tags, ["admin"], path);
    for (const door of [api, probes]) {
      const body = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
      assert.equal((await fetch(`${door}${path}`, body)).status, 404, `${door}${path}`);
    }
  }
  await assert.rejects(tellSocket(stage.socket, "/v1/holds/confirm", { remote: 7 }, 1_000), /^Error: body\.remote: /);
  assert.equal((await stage.status())?.leader, true, "nothing was released");
});

test("the document is OpenAPI 3.1, and its schemas refuse what is not said", async () => {
  const document = JSON.stringify(await described());
  assert.match(document, /^\{"openapi":"3\.1\.0","info":\{"title":"bulkhead kvstoremesh"/);
  assert.match(document, /"num-shared-services":\{"type":"integer"/);
  assert.match(document, /"additionalProperties":false/);
  const answer = API_DOCS.get("GET /v1/cluster")?.answer;
  assert(answer);
  assert.throws(
    () => parseAs(answer, [{ name: "osaka", status: "", synced: {}, ready: false }], "cluster"),
    /cluster\.0\.ready/,
  );
});

test("an API off the loopback is one line and exit code 2", () => {
  const local = join(stage.folder, "local.yaml");
  writeFileSync(local, "endpoints:\n- http://127.0.0.1:1\n");
  const main = new URL("../../../src/bulkhead.ts", import.meta.url).pathname;
  const more = { "etcd-config": local, "config-dir": stage.folder, "run-dir": stage.folder };
  for (const listen of ["0.0.0.0:9889", "10.0.0.1:9889"]) {
    const args = [main, "kvstoremesh", ...mirrorFlags({ ...more, "api-listen": listen })];
    const run = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 20_000 });
    assert.equal(run.status, 2);
    assert.match(run.stderr, /^bulkhead kvstoremesh: --api-listen ".*": must be ADDRESS:PORT on the loopback.*\n$/);
  }
});
