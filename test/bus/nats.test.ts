/** Reaching a real nats-server: TLS, passwords, credentials, a server that is silent. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { BusError, type BusOptions, type BusSecrets } from "../../src/bus/client.ts";
import { connectNats } from "../../src/bus/nats.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { issue, makeAuthority } from "../support/certificates.ts";
import { TestNats } from "../support/nats.ts";
import { operatorMode } from "../support/nats-credentials.ts";

const STREAM = { name: "T", subjects: ["t.>"], maxBytes: 1 << 20, maxAgeMs: 60_000, duplicateWindowMs: 60_000 };
const folder = mkdtempSync(join(tmpdir(), "bulkhead-nats-"));
after(() => rmSync(folder, { recursive: true }));

const authority = makeAuthority(folder, "ca");
const other = makeAuthority(folder, "other");
const own = issue(authority, "by-address", "IP:127.0.0.1");
const foreign = issue(authority, "by-name", "DNS:elsewhere.mesh");
const client = issue(authority, "client", "DNS:client.mesh");
const bytes = (file: string): Uint8Array => new Uint8Array(readFileSync(file));

const tls = (issued: typeof own): string =>
  `tls { cert_file: "${issued.cert}", key_file: "${issued.key}", ca_file: "${authority.ca}", verify: true }`;

/** How a try to make a stream ends. */
async function tried(nats: TestNats, more: Partial<BusOptions>, secrets: BusSecrets = {}): Promise<string> {
  const bus = nats.connect(more, secrets);
  try {
    await bus.ensureStream(STREAM);
    return "made";
  } catch (error) {
    return String(error);
  } finally {
    bus.close();
  }
}

test("TLS: the server must be the one that is asked for, and may ask who we are", async (t) => {
  const nats = await TestNats.start(tls(own));
  t.after(() => nats.end());
  const servers = [`tls://127.0.0.1:${nats.port}`];
  const pair = { cert: bytes(client.cert), key: bytes(client.key) };
  assert.equal(await tried(nats, { servers }, { ca: bytes(authority.ca), ...pair }), "made");
  assert.match(await tried(nats, { servers }, { ca: bytes(other.ca), ...pair }), /certificate/);
  assert.match(await tried(nats, { servers }, pair), /certificate/);
  assert.notEqual(await tried(nats, { servers }, { ca: bytes(authority.ca) }), "made");
  assert.notEqual(await tried(nats, {}), "made");
});

test("TLS: a certificate of the same authority for another host is refused", async (t) => {
  const nats = await TestNats.start(tls(foreign));
  t.after(() => nats.end());
  const servers = [`tls://127.0.0.1:${nats.port}`];
  const pair = { cert: bytes(client.cert), key: bytes(client.key) };
  assert.match(await tried(nats, { servers }, { ca: bytes(authority.ca), ...pair }), /IP: 127\.0\.0\.1 is not in/);
});

test("TLS: certificates that were renewed are those of the next connection", async (t) => {
  const nats = await TestNats.start(tls(own));
  t.after(() => nats.end());
  const stranger = issue(other, "stranger", "DNS:client.mesh");
  const pem = (authority_: { readonly ca: string }, { cert, key }: typeof client): BusSecrets => {
    return { ca: bytes(authority_.ca), cert: bytes(cert), key: bytes(key) };
  };
  let now = Promise.resolve(pem(authority, client));
  const bus = nats.connect({ servers: [`tls://127.0.0.1:${nats.port}`], secrets: () => now });
  t.after(() => bus.close());
  await bus.ensureStream(STREAM);
  now = Promise.resolve(pem(authority, stranger));
  await bus.ensureStream(STREAM);
  await nats.kill();
  await nats.restart();
  await assert.rejects(bus.ensureStream(STREAM));
  await assert.rejects(bus.ensureStream(STREAM), BusError);
  now = Promise.reject(new Error("no such file"));
  await assert.rejects(bus.ensureStream(STREAM), /^BusError: tls:.*: no such file$/);
  now = Promise.resolve(pem(authority, client));
  await bus.ensureStream(STREAM);
});

test("TLS is not given up because the server has none", async (t) => {
  const nats = await TestNats.start();
  t.after(() => nats.end());
  assert.match(await tried(nats, { servers: [`tls://127.0.0.1:${nats.port}`] }), /does not support 'tls'/);
});

test("a user and a password", async (t) => {
  const nats = await TestNats.start('authorization { users: [ { user: "osaka", password: "right" } ] }');
  t.after(() => nats.end());
  assert.equal(await tried(nats, { user: "osaka" }, { password: "right" }), "made");
  assert.match(await tried(nats, { user: "osaka" }, { password: "wrong" }), /[Aa]uthorization/);
  assert.match(await tried(nats, {}), /[Aa]uthorization/);
});

test("a credentials file: the JWT of an account's user, and the seed that proves it", async (t) => {
  const { config, credentials, others } = operatorMode();
  const nats = await TestNats.start(config);
  t.after(() => nats.end());
  assert.equal(await tried(nats, {}, { credentials }), "made");
  assert.match(await tried(nats, {}, { credentials: others }), /[Aa]uthorization/);
  assert.match(await tried(nats, {}), /[Aa]uthorization/);
});

test("whoever may write for one cluster only may not for another", async (t) => {
  const may = '{ publish: ["t.osaka.>", "$JS.API.>"] }';
  const nats = await TestNats.start(`authorization { users: [ { user: "o", password: "p", permissions: ${may} } ] }`);
  t.after(() => nats.end());
  const bus = nats.connect({ user: "o", timeoutMs: 1_000 }, { password: "p" });
  t.after(() => bus.close());
  await bus.ensureStream(STREAM);
  assert.equal((await bus.publish({ subject: "t.osaka.x", id: "1", data: new Uint8Array() })).sequence, 1);
  await assert.rejects(bus.publish({ subject: "t.virginia.x", id: "2", data: new Uint8Array() }), /[Pp]ermission/);
});

test("a second server is tried when the first is gone", async (t) => {
  const nats = await TestNats.start();
  t.after(() => nats.end());
  const bus = connectNats({
    servers: ["nats://127.0.0.1:1", nats.url],
    name: "t",
    timeoutMs: 2_000,
    pingIntervalMs: 500,
  });
  t.after(() => bus.close());
  await assert.rejects(bus.ensureStream(STREAM), /127\.0\.0\.1:1: .*refused/);
  await bus.ensureStream(STREAM);
});

test("a silent server: calls end at their deadline, readers by the pings, and all works again", async (t) => {
  const nats = await TestNats.start();
  const bus = nats.connect({ timeoutMs: 300, pingIntervalMs: 100 });
  const stop = new AbortController();
  t.after(async () => {
    stop.abort();
    bus.close();
    nats.thaw();
    await nats.end();
  });
  await bus.ensureStream(STREAM);
  await bus.publish({ subject: "t.x", id: "1", data: new Uint8Array() });
  const reading = bus.read({ stream: "T", subject: "t.>", follow: true }, stop.signal);
  assert.equal((await reading.next()).value?.sequence, 1);
  await nats.freeze();
  await assert.rejects(bus.publish({ subject: "t.x", id: "2", data: new Uint8Array() }));
  await assert.rejects(reading.next());
  nats.thaw();
  assert((await bus.publish({ subject: "t.x", id: "2", data: new Uint8Array() })).sequence === 2);
});

test("servers that make no sense are a UserError", () => {
  const options = { name: "t", timeoutMs: 1, pingIntervalMs: 1 };
  for (const [servers, line] of [
    [["http://a:1"], /is no server/],
    [["nats://"], /is no server/],
    [["nats://a:1/x"], /is no server/],
    [["nats://u:p@a:1"], /user or a password/],
    [["nats://a:1", "tls://a:1"], /must be all/],
  ] as const) {
    assert.throws(
      () => connectNats({ ...options, servers }),
      (error) => error instanceof UserError && line.test(error.message),
    );
  }
});
