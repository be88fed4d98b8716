/** Each thing that can be wrong on the way to a remote, with real etcds and certificates: the step that fails, and its mend. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { after, before, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { canaryKey, HEARTBEAT_KEY } from "../../src/wire/keys.ts";
import { issue } from "../support/certificates.ts";
import { TestEtcd } from "../support/etcd.ts";
import { freePort } from "../support/free-port.ts";
import { at, fill, put, Stage, tls } from "./stage.ts";

let stage: Stage;
before(async () => {
  stage = await Stage.start();
});
after(() => stage.end());

const secureFile = (): string => at(stage.secure.endpoint, tls(stage.authority.ca, stage.remote));

test("all is well in the open: every step says what it saw", async () => {
  const text = await stage.report({ osaka: at(stage.plain.endpoint) });
  assert.doesNotMatch(text, /FAILED|not run/);
  assert.match(text, /ok +TCP 127\.0\.0\.1:\d+: connected/);
  assert.match(text, /ok +etcd .*: lets us read, version 3\.\S+, etcd cluster [0-9a-f]+, revision \d+/);
  assert.match(text, /ok +heartbeat: there, written at "2026-11-27T12:00:00Z"/);
  assert.match(text, /ok +cluster config: id 2: canaries, service exports false/);
  assert.match(text, /ok +canaries: all there: nodes, identities, ip, services, serviceexports/);
  assert.match(text, /ok +state: 0 nodes, /);
  assert.match(text, /ok +cluster id: 2, of nobody else here/);
});

test("all is well with TLS and Cilium's role: names, dates, issuers, protocol, cipher; and no key is told", async () => {
  const text = await stage.report({ osaka: secureFile() });
  assert.doesNotMatch(text, /FAILED|not run/);
  assert.match(text, /ok +authority .*: CN=authority\n +ok +dates of .*: valid from .* to .* \(29 days left\)/);
  assert.match(
    text,
    /ok +client certificate .*: CN=remote; DNS:remote, issued by CN=authority; .*remote\.key is its key/,
  );
  assert.match(text, /note +signature of .*remote\.crt: signed by .*authority\.crt/);
  assert.match(
    text,
    /ok +TLS .*: TLSv1\.3, TLS_AES\S+, server CN=server; DNS:osaka\.mesh, IP Address:127\.0\.0\.1, issued by CN=authority, valid from .*, asks for a client certificate, takes ours/,
  );
  const secrets = readFileSync(stage.remote.key, "utf8").split("\n").slice(1, -2);
  assert(secrets.length > 0);
  for (const line of secrets) assert(!text.includes(line));
});

test("an alias stands for a name, and each of its addresses is tried: one that is down is a fault, the other is read", async () => {
  const { port } = new URL(stage.secure.endpoint);
  const alias = "cilium-host-aliases:\n- hostname: Osaka.mesh\n  ips: [127.0.0.2, 127.0.0.1]\n";
  const file = at(`https://osaka.mesh:${port}`, tls(stage.authority.ca, stage.remote) + alias);
  const text = await stage.report({ osaka: file });
  assert.match(text, /ok +name osaka\.mesh: 127\.0\.0\.2, 127\.0\.0\.1 by cilium-host-aliases, DNS is not asked/);
  assert.match(
    text,
    /FAILED +TCP 127\.0\.0\.2:.*\n.*\n +not run TLS 127\.0\.0\.2:\d+, etcd 127\.0\.0\.2:\d+: there is no conn/,
  );
  assert.match(text, /ok +etcd 127\.0\.0\.1:[\s\S]*ok +cluster id: 2/);
});

test("two dead endpoints do not hide a third that lives", async () => {
  const dead = [await freePort(), await freePort()].map((port) => `http://127.0.0.1:${port}`);
  const text = await stage.report({ osaka: at([...dead, stage.plain.endpoint].join("\n- ")) });
  assert.equal(text.match(/FAILED +TCP/g)?.length, 2);
  assert.match(text, /ok +etcd[\s\S]*ok +cluster config: id 2/);
});

const FILES: readonly (readonly [string, () => string | Promise<string>, RegExp])[] = [
  [
    "a file that is no YAML of that kind",
    () => "endpoints: 7\n",
    /FAILED +file .*endpoints.*\n +mend: write it as etcd client YAML.*\n +not run certificates, connection, etcd, heartbeat/,
  ],
  ["bad YAML", () => "endpoints: [", /FAILED +file .*osaka:1: bad YAML: .*\n +mend: write it as etcd client YAML/],
  [
    "nobody there",
    async () => at(`http://127.0.0.1:${await freePort()}`),
    /FAILED +TCP .*ECONNREFUSED.*\n +mend: is etcd running there, and is the port right\?\n +not run etcd .*: there is no connection\n +not run heartbeat, cluster config, canaries, state: no etcd lets us read\n +not run cluster id/,
  ],
  [
    // A label of 64 letters is refused by the resolver itself: nothing leaves this machine.
    "a name that nobody knows",
    () => at(`http://${"a".repeat(64)}.invalid:2379`),
    /FAILED +name a+\.invalid: .*\n +mend: does the name exist.*\n +not run TCP a+\.invalid:2379, etcd a+\.invalid:2379: its name has no address/,
  ],
  [
    "https where TLS is not spoken",
    () => at(stage.plain.endpoint.replace("http:", "https:")),
    /FAILED +TLS .*\n +mend: .*should the endpoint be http:\/\/\?\n +not run etcd/,
  ],
  [
    "http where TLS is spoken",
    () => at(stage.secure.endpoint.replace("https:", "http:")),
    /ok +TCP[\s\S]*FAILED +etcd .*: unavailable: .*\n +mend: .*should the endpoint be https:\/\/\?/,
  ],
  [
    "a user without the role",
    () => at(stage.secure.endpoint, tls(stage.authority.ca, stage.nobody)),
    /ok +TLS[\s\S]*FAILED +etcd .*: denied: .*\n +mend: its user may not read that: at a remote it needs Cilium's role `remote`/,
  ],
  [
    "a user who may read the heartbeat only",
    () => at(stage.secure.endpoint, tls(stage.authority.ca, stage.narrow)),
    /ok +heartbeat[\s\S]*FAILED +cluster config: denied: .*\n +mend: its user may not read that.*\n +not run canaries, state: without a/,
  ],
];

for (const [what, file, expected] of FILES) {
  test(`${what}: the step that fails, and its mend`, async () => {
    assert.match(await stage.report({ osaka: await file() }), expected);
  });
}

test("a name that is no cluster's, and a file that is not there", async () => {
  assert.match(
    await stage.report({ Osaka: at(stage.plain.endpoint) }),
    /FAILED +file .*Osaka is no cluster's name: .*\n +mend: name the file as the cluster is named/,
  );
  const local = await stage.report({}, {}, `${stage.folder}/none`);
  assert.match(local, /^local\n +FAILED +file .*none: .*ENOENT.*\n +mend: make the file readable to this user/);
});

test("users are on and we show no certificate: unauthenticated is told apart from denied and down", async () => {
  const guarded = await TestEtcd.start();
  try {
    await guarded.post("auth/user/add", { name: "root", password: "root" });
    await guarded.post("auth/role/add", { name: "root" });
    await guarded.post("auth/user/grant", { user: "root", role: "root" });
    await guarded.post("auth/enable", {});
    assert.match(
      await stage.report({ osaka: at(guarded.endpoint) }),
      /FAILED +etcd .*: unauthenticated: .*\n +mend: the etcd asks who we are: name cert-file and key-file/,
    );
  } finally {
    await guarded.end();
  }
});

/** A child that listens, is stopped, and has its queue full: what comes is dropped, as by a firewall. */
test("a port that swallows what comes: the time is bounded", async () => {
  const code = `require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
    process.stdout.write(String(this.address().port) + "\\n", () => process.kill(process.pid, "SIGSTOP")); })`;
  const child = spawn(process.execPath, ["--eval", code], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  const port = Number(String(line));
  const fillers = Array.from({ length: 8 }, () => connect({ host: "127.0.0.1", port }).on("error", () => undefined));
  try {
    await once(fillers[0] as ReturnType<typeof connect>, "connect");
    const text = await stage.report({ osaka: at(`http://127.0.0.1:${port}`) }, { timeoutMs: 300 });
    assert.match(text, /FAILED +TCP .*: no answer within 300 ms\n +mend: does a firewall stand between/);
  } finally {
    for (const socket of fillers) socket.destroy();
    child.kill("SIGKILL");
  }
});

test("an etcd that hangs takes connections and does not answer", async () => {
  stage.plain.stop();
  try {
    const text = await stage.report({ osaka: at(stage.plain.endpoint) }, { timeoutMs: 300 });
    assert.match(text, /ok +TCP[\s\S]*FAILED +etcd .*: deadline: .*\n +mend: it takes connections and does not answer/);
  } finally {
    stage.plain.cont();
  }
});

async function portOf(server: Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as { readonly port: number }).port;
}

test("something that is no etcd, with and without TLS", async () => {
  const answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
  const open = createServer((socket) => socket.on("error", () => undefined).end(answer));
  const { cert, key } = issue(stage.authority, "web", "IP:127.0.0.1");
  const files = { cert: readFileSync(cert), key: readFileSync(key) };
  const closed = createTlsServer(files, (socket) => socket.on("error", () => undefined).end(answer));
  try {
    const osaka = at(`http://127.0.0.1:${await portOf(open)}`);
    assert.match(await stage.report({ osaka }), /ok +TCP[\s\S]*FAILED +etcd .*\n +mend: is it an etcd/);
    const secure = at(`https://127.0.0.1:${await portOf(closed)}`, tls(stage.authority.ca, stage.remote));
    assert.match(
      await stage.report({ osaka: secure }),
      /FAILED +TLS .*: the server speaks no HTTP\/2, server CN=web.*\n +mend: is it an etcd with TLS/,
    );
  } finally {
    open.close();
    closed.close();
  }
});

test("a wrong cluster name, a canary and a heartbeat that are missing", async () => {
  assert.match(
    await stage.report({ oslo: at(stage.plain.endpoint) }),
    /FAILED +cluster config: there is no cilium\/cluster-config\/oslo\n +mend: is oslo its name .*exporter running\?\n +not run canaries, state: .*\n +not run cluster id/,
  );
  const kv = stage.plain.connect();
  const canary = canaryKey("osaka", "cilium/state/ip/v1");
  await kv.txn({ operations: [{ delete: { key: canary } }, { delete: { key: HEARTBEAT_KEY } }] });
  const text = await stage.report({ osaka: at(stage.plain.endpoint) });
  assert.match(text, /FAILED +heartbeat: missing: .*\n +mend: is its exporter running\?/);
  assert.match(text, /FAILED +canaries: missing: ip\n +mend: its exporter has not written everything/);
  await fill(kv, "osaka", 2);
  kv.close();
});

test("a config that is refused says why", async () => {
  const kv = stage.plain.connect();
  await kv.txn({ operations: [put("cilium/cluster-config/zero", '{"id":0,"capabilities":{}}')] });
  kv.close();
  assert.match(
    await stage.report({ zero: at(stage.plain.endpoint) }),
    /FAILED +cluster config: id: cluster id 0 is not from 1 to 255\n +mend: its exporter must write another config/,
  );
});

test("a heartbeat is waited for only when that is asked for", async () => {
  const osaka = at(stage.plain.endpoint);
  assert.match(
    await stage.report({ osaka }, { heartbeatWaitMs: 200 }),
    /FAILED +heartbeat: no answer within 200 ms\n +mend: is its exporter running\?[\s\S]*ok +cluster config/,
  );
  const kv = stage.plain.connect();
  let done = false;
  const report = stage.report({ osaka }, { heartbeatWaitMs: 10_000 }).finally(() => {
    done = true;
  });
  while (!done) {
    await kv.txn({ operations: [put(HEARTBEAT_KEY, "2026-11-27T12:01:00Z")] });
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  kv.close();
  assert.match(await report, /ok +heartbeat: there, .*, and again after 0 s/);
});

test("a heartbeat that vanishes while it is waited for has not moved", async () => {
  const kv = stage.plain.connect();
  let done = false;
  const report = stage.report({ osaka: at(stage.plain.endpoint) }, { heartbeatWaitMs: 1_000 }).finally(() => {
    done = true;
  });
  // After the first look at it, which is what tells these from the heartbeat that is missing from the start.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(done, false);
  await kv.txn({ operations: [{ delete: { key: HEARTBEAT_KEY } }] });
  assert.match(await report, /FAILED +heartbeat: no answer within 1000 ms/);
  await fill(kv, "osaka", 2);
  kv.close();
});

test("ids: ours, another remote's, and what the local etcd says of us", async () => {
  const osaka = at(stage.plain.endpoint);
  const ours = await stage.report({ osaka }, { own: { name: "amsterdam", id: 2 } });
  const mend = /FAILED +cluster id: 2 is that of amsterdam too\n +mend: give one of the clusters another id/;
  assert.match(ours, mend);
  assert.match(
    await stage.report({ osaka }, { own: { id: 2 } }),
    /FAILED +cluster id: 2 is that of the own cluster too/,
  );
  const other = await TestEtcd.start();
  const kv = other.connect();
  try {
    await fill(kv, "oslo", 2);
    await fill(kv, "amsterdam", 2);
    const both = await stage.report({ osaka, oslo: at(other.endpoint) });
    assert.match(
      both,
      /^osaka[\s\S]*FAILED +cluster id: 2 is that of oslo too[\s\S]*\noslo[\s\S]*FAILED +cluster id: 2 is that of osaka too/,
    );
    const local = stage.write("local.yaml", at(other.endpoint));
    const known = await stage.report({ osaka }, { own: { name: "amsterdam" } }, local);
    assert.match(known, /^local[\s\S]*ok +cluster config: id 2[\s\S]*\nosaka/);
    assert.match(known, mend);
    assert.match(
      await stage.report({}, { own: { name: "amsterdam", id: 9 } }, local),
      /FAILED +cluster id: 2, but --cluster-id is 9\n +mend: is this the etcd of the own cluster\?/,
    );
    assert.match(
      await stage.report({}, { own: {} }, local),
      /ok +heartbeat: .*\n +not run cluster config, canaries, state: --cluster does not say whose etcd it is/,
    );
    const apart = await stage.report({ osaka: at(`${stage.plain.endpoint}\n- ${other.endpoint}`) });
    assert.match(
      apart,
      /note +etcd clusters: [0-9a-f]+, [0-9a-f]+: its endpoints are 2 etcds[\s\S]*ok +canaries[\s\S]*FAILED +cluster config/,
    );
  } finally {
    kv.close();
    await other.end();
  }
});
