import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connectKube } from "../../src/kube/client.ts";
import { type KubeApi, type KubeCall, KubeError, type KubeErrorCode } from "../../src/kube/door.ts";
import { faultyKube } from "../../src/kube/faulty.ts";
import type { MemoryKube } from "../../src/kube/memory.ts";
import { type Authority, issue, makeAuthority } from "../support/certificates.ts";
import { KubeServer, type KubeServerOptions, kubeconfig } from "../support/kube-api.ts";
import { memoryKube, pathOfKind, podBody } from "../support/kube-objects.ts";

const PODS = pathOfKind("Pod");
const never: KubeCall = { signal: new AbortController().signal, heard: () => undefined };

let folder = "";
let authority: Authority;
let files = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-kube-"));
  authority = makeAuthority(folder, "kubernetes-ca");
});
after(() => rmSync(folder, { recursive: true, force: true }));

function configFile(text: string): string {
  const path = join(folder, `config-${++files}`);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** A door to a server that runs meanwhile. */
async function served(
  options: KubeServerOptions,
  user: object,
  use: (api: KubeApi, server: KubeServer) => Promise<void>,
  cluster?: object,
): Promise<void> {
  const server = new KubeServer(options);
  const url = await server.start();
  try {
    await use(await connectKube({ config: configFile(kubeconfig(url, user, cluster)) }), server);
  } finally {
    await server.stop();
  }
}

async function answering(listener: RequestListener, use: (api: KubeApi) => Promise<void>): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  try {
    await use(await connectKube({ config: configFile(kubeconfig(`http://127.0.0.1:${address.port}`)) }));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function failure(action: Promise<unknown>): Promise<KubeError> {
  const error = await action.then(
    () => assert.fail("it went through"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof KubeError, String(error));
  return error;
}

async function code(action: Promise<unknown>): Promise<KubeErrorCode> {
  return (await failure(action)).code;
}

interface Page {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly { readonly metadata: { readonly name: string } }[];
}

function pageOf(bytes: Uint8Array): Page {
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** What a watch says, and waiting for it. */
class Lines {
  readonly texts: string[] = [];
  #wake = (): void => undefined;

  readonly take = async (line: Uint8Array): Promise<void> => {
    const { type, object } = JSON.parse(new TextDecoder().decode(line));
    this.texts.push(`${type} ${object.metadata?.name ?? object.code ?? ""}`.trim());
    this.#wake();
  };

  async reach(least: number): Promise<void> {
    while (this.texts.length < least) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

const WATCH = { timeoutSeconds: 300 };

/** The same on every body: pages at one version, a watch from there, bookmarks, 410, an end in order and one that is none. */
async function behaves(api: KubeApi, kube: MemoryKube): Promise<void> {
  for (const name of ["a-1", "b-1", "c-1"]) kube.put(PODS, podBody(name, "10.77.3.1"));
  const first = pageOf(await api.list(PODS, { limit: 2 }, never));
  kube.put(PODS, podBody("d-1", "10.77.3.4"));
  const rest = pageOf(await api.list(PODS, { limit: 2, continue: first.metadata.continue }, never));
  const names = [...first.items, ...rest.items].map(({ metadata }) => metadata.name);
  assert.deepEqual(names, ["a-1", "b-1", "c-1"], "as it was at the first page");
  assert.equal(rest.metadata.continue, undefined);
  assert.equal(rest.metadata.resourceVersion, first.metadata.resourceVersion);

  const lines = new Lines();
  const stop = new AbortController();
  const from = { ...WATCH, resourceVersion: first.metadata.resourceVersion };
  const watching = api.watch(PODS, from, lines.take, { ...never, signal: stop.signal });
  await lines.reach(1);
  kube.remove(PODS, "billing/a-1");
  kube.put(PODS, podBody("b-1", "10.77.3.7"));
  kube.bookmark();
  await lines.reach(4);
  assert.deepEqual(lines.texts, ["ADDED d-1", "DELETED a-1", "MODIFIED b-1", "BOOKMARK"]);
  stop.abort();
  await watching;

  kube.compact();
  assert.equal(await code(api.list(PODS, { limit: 2, continue: first.metadata.continue }, never)), "expired");
  const old = new Lines();
  await api.watch(PODS, from, old.take, never);
  assert.deepEqual(old.texts, ["ERROR 410"]);

  const now = { ...WATCH, resourceVersion: pageOf(await api.list(PODS, { limit: 9 }, never)).metadata.resourceVersion };
  const heard = new Lines();
  const ended = api.watch(PODS, now, heard.take, never);
  kube.put(PODS, podBody("e-1", "10.77.3.5"));
  await heard.reach(1);
  kube.endWatches();
  await ended;
  const broken = code(api.watch(PODS, now, heard.take, never));
  await heard.reach(2);
  kube.die();
  assert.equal(await broken, "cut-off");
  // Behind HTTP a model that is gone still answers: with 503.
  assert.match(await code(api.list(PODS, { limit: 2 }, never)), /^(unreachable|busy)$/);
  kube.revive();
  assert.equal(await code(api.list("/api/v1/nothings", { limit: 2 }, never)), "absent");
}

test("the model behaves as the door says", async () => {
  const kube = memoryKube();
  await behaves(kube, kube);
});

test("the faulty body is the other one until it is not", async () => {
  const kube = memoryKube();
  await behaves(faultyKube(kube, {}), kube);
  assert.equal(await code(faultyKube(kube, { fault: () => "expired" }).list(PODS, { limit: 1 }, never)), "expired");
  const stop = new AbortController();
  const silent = faultyKube(kube, { fault: () => "silent" });
  const asked = code(silent.list(PODS, { limit: 1 }, { ...never, signal: stop.signal }));
  stop.abort();
  assert.equal(await asked, "unreachable");
});

test("the real body behaves alike over HTTP, with a bearer token of a kubeconfig", async () => {
  const kube = memoryKube();
  await served({ kube, token: "secret" }, { token: "secret" }, async (api, server) => {
    await behaves(api, kube);
    assert.deepEqual([...server.asked].sort(), ["list nothings", "list pods", "watch pods"]);
  });
});

test("over TLS: the kubeconfig's CA is believed and no other; a client certificate says who we are", async () => {
  const kube = memoryKube();
  const server = issue(authority, "kubernetes", "IP:127.0.0.1");
  const client = issue(authority, "exporter", "DNS:exporter");
  const ca = readFileSync(authority.ca, "utf8");
  const tls = { key: readFileSync(server.key), cert: readFileSync(server.cert), ca, requestCert: true };
  const user = { "client-certificate": client.cert, "client-key": client.key };
  const trust = { "certificate-authority": authority.ca };
  await served({ kube, tls }, user, (api) => behaves(api, kube), trust);
  const stranger = { "certificate-authority": makeAuthority(folder, "another-ca").ca };
  await served({ kube, tls }, user, refuses(/certificate|issuer/), stranger);
  await served({ kube, tls: { ...tls, rejectUnauthorized: true } }, {}, refuses(/certificate|ECONNRESET/), trust);
});

function refuses(reason: RegExp): (api: KubeApi) => Promise<void> {
  return async (api) => {
    const error = await failure(api.list(PODS, { limit: 1 }, never));
    assert.equal(error.code, "unreachable");
    assert.match(error.message, reason);
  };
}

test("a wrong token is unauthorized, and no line says what it was", async () => {
  await served({ kube: memoryKube(), token: "right" }, { token: "wrong-and-secret" }, async (api) => {
    const error = await failure(api.list(PODS, { limit: 1 }, never));
    assert.equal(error.code, "unauthorized");
    assert.doesNotMatch(error.message, /secret/);
  });
});

test("a token file is read, as in a pod", async () => {
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "first");
  const user = { "auth-provider": { name: "tokenFile", config: { tokenFile } } };
  await served({ kube: memoryKube(), token: "first" }, user, async (api) => {
    assert.equal(pageOf(await api.list(PODS, { limit: 1 }, never)).items.length, 0);
  });
});

test("a stream that is cut within a line is cut off; one that is slow is heard piece by piece", async () => {
  const kube = memoryKube();
  kube.put(PODS, podBody("a-1", "10.77.3.1"));
  await served({ kube }, {}, async (api, server) => {
    server.cutAfterBytes = 100;
    assert.equal(await code(api.list(PODS, { limit: 1 }, never)), "cut-off");
    assert.equal(await code(api.watch(PODS, { ...WATCH, resourceVersion: "1" }, async () => {}, never)), "cut-off");
    server.cutAfterBytes = undefined;
    server.restMs = 2;
    let heard = 0;
    const call = { ...never, heard: () => void heard++ };
    assert.equal(pageOf(await api.list(PODS, { limit: 1 }, call)).items.length, 1);
    assert.ok(heard >= 3, `heard ${heard} times`);
  });
});

test("the next line waits until the one before was taken: a slow reader holds the stream back", async () => {
  const kube = memoryKube();
  for (let index = 0; index < 20; index++) kube.put(PODS, podBody(`a-${index}`, "10.77.3.1"));
  await served({ kube }, {}, async (api) => {
    let [inside, taken] = [0, 0];
    const stop = new AbortController();
    const slow = async (): Promise<void> => {
      assert.equal(++inside, 1);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
      if (++taken === 20) stop.abort();
    };
    await api.watch(PODS, { ...WATCH, resourceVersion: "1" }, slow, { ...never, signal: stop.signal });
    assert.equal(taken, 20);
  });
});

test("an answer that says no is refused, with the server's own words", async () => {
  const said = JSON.stringify({ kind: "Status", message: 'pods is forbidden: User "x" cannot list resource "pods"' });
  await answering(
    (_, answer) => answer.writeHead(403).end(said),
    async (api) => {
      const error = await failure(api.list(PODS, { limit: 1 }, never));
      assert.equal(error.code, "forbidden");
      assert.equal(error.message, 'HTTP 403: pods is forbidden: User "x" cannot list resource "pods"');
    },
  );
});

for (const [status, expected] of [
  [400, "refused"],
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "absent"],
  [410, "expired"],
  [429, "busy"],
  [503, "busy"],
] as const) {
  test(`HTTP ${status} is ${expected}, of lists and of watches`, async () => {
    await answering(
      (_, answer) => answer.writeHead(status).end("no"),
      async (api) => {
        assert.equal(await code(api.list(PODS, { limit: 1 }, never)), expected);
        const line = async (): Promise<void> => assert.fail("there is no line");
        assert.equal(await code(api.watch(PODS, { ...WATCH, resourceVersion: "1" }, line, never)), expected);
      },
    );
  });
}

test("pages and lines without end are refused at their limits", async () => {
  const part = Buffer.alloc(1024 * 1024, 0x20);
  const endless: RequestListener = (_, answer) => {
    const more = (): void => {
      while (!answer.destroyed && answer.write(part));
      answer.once("drain", more);
    };
    more();
  };
  await answering(endless, async (api) => {
    assert.equal(await code(api.list(PODS, { limit: 1 }, never)), "too-large");
    const line = async (): Promise<void> => assert.fail("there is no line");
    assert.equal(await code(api.watch(PODS, { ...WATCH, resourceVersion: "1" }, line, never)), "too-large");
  });
});

test("a path before the API, as some providers have it, stays in front", async () => {
  const paths: (string | undefined)[] = [];
  const listener: RequestListener = ({ url }, answer) => {
    paths.push(url);
    answer.end("{}");
  };
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const config = configFile(kubeconfig(`http://127.0.0.1:${address.port}/k8s/clusters/c-1/`));
  await (await connectKube({ config })).list(PODS, { limit: 1 }, never);
  assert.deepEqual(paths, ["/k8s/clusters/c-1/api/v1/pods?limit=1"]);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

for (const [what, access, expected] of [
  ["no file", () => ({ config: "/none" }), /^\/none: ENOENT/],
  ["a file that is no kubeconfig", () => ({ config: configFile("[") }), /config-\d+: /],
  [
    "a context that is not there",
    () => ({ config: configFile(kubeconfig("http://h:1")), context: "x" }),
    /context "x"/,
  ],
  ["no pod", () => ({}), /^service account: this is no pod of Kubernetes$/],
] as const) {
  test(`access that makes no sense is refused at once: ${what}`, async () => {
    const error = await failure(connectKube(access()));
    assert.equal(error.code, "refused");
    assert.match(error.message, expected);
  });
}

test("an object is made once: by the real body over HTTP as by the model", async () => {
  const path = "/api/v1/namespaces/billing/events";
  const body = new TextEncoder().encode(
    JSON.stringify({ metadata: { name: "ledger.1", namespace: "billing" }, type: "Warning" }),
  );
  const makes = async (api: KubeApi, kube: MemoryKube): Promise<void> => {
    await api.create(path, body, never);
    assert.equal(kube.objects("/api/v1/events").get("billing/ledger.1")?.["type"], "Warning");
    assert.equal(await code(api.create(path, body, never)), "exists");
    assert.equal(await code(api.create(path.replace("billing", "other"), body, never)), "refused");
    assert.equal(await code(api.create(path.replace("events", "nothings"), body, never)), "absent");
    const forbidden = faultyKube(api, { fault: (call) => (call === "create" ? "forbidden" : undefined) });
    assert.equal(await code(forbidden.create(path, body, never)), "forbidden");
  };
  const model = memoryKube();
  await makes(model, model);
  const kube = memoryKube();
  await served({ kube, token: "t" }, { token: "t" }, async (api, { asked }) => {
    await makes(api, kube);
    assert.ok(asked.has("create events"));
  });
  await served({ kube, token: "t" }, { token: "wrong" }, async (api) => {
    assert.equal(await code(api.create(path, body, never)), "unauthorized");
  });
});
