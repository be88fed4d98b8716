/** A03, A04: certificates that change under a running mirror. Real etcds with TLS both ways, the real program. */
import assert from "node:assert/strict";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type Authority, EXPIRED, type Issued, issue, makeAuthority } from "../../test/support/certificates.ts";
import { RealCluster } from "./cluster.ts";
import { type MirrorProcess, pause, Stage, until } from "./stage.ts";

const PODS = 500;
const NAMES = "IP:127.0.0.1,DNS:localhost";

let folder: string;
let stage: Stage;
let osaka: RealCluster;
let mirror: MirrorProcess;
let changes = 0;
let versions = 0;

const at = (...parts: readonly string[]): string => join(folder, ...parts);
const authority = (name: string): Authority => makeAuthority(folder, name);

/** Several authorities in one file. */
function bundle(...authorities: readonly Authority[]): string {
  return authorities.map(({ ca }) => readFileSync(ca, "utf8")).join("");
}

/** What the etcd is started with the next time. */
function serveWith({ cert, key }: Issued, trusted: string): void {
  copyFileSync(cert, at("server.crt"));
  copyFileSync(key, at("server.key"));
  writeFileSync(at("server-ca.crt"), trusted);
}

/** As Kubernetes changes a secret: a new folder, and one symlink that is swapped. */
function mountSecret({ cert, key }: Issued, trusted: string): void {
  const version = `..v${++versions}`;
  mkdirSync(at("secret", version), { recursive: true });
  copyFileSync(cert, at("secret", version, "tls.crt"));
  copyFileSync(key, at("secret", version, "tls.key"));
  writeFileSync(at("secret", version, "ca.crt"), trusted);
  symlinkSync(version, at("secret", "..next"));
  renameSync(at("secret", "..next"), at("secret", "..data"));
}

/** The same files, written over. */
function overwriteSecret({ cert, key }: Issued, trusted: string): void {
  copyFileSync(cert, at("secret", "..data", "tls.crt"));
  copyFileSync(key, at("secret", "..data", "tls.key"));
  writeFileSync(at("secret", "..data", "ca.crt"), trusted);
}

function handOf({ ca }: Authority, { cert, key }: Issued) {
  return { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
}

async function restartEtcd(as: ReturnType<typeof handOf>): Promise<void> {
  await osaka.server.kill();
  await osaka.server.restart();
  osaka.connectAs(as);
}

async function flows(what: string): Promise<void> {
  osaka.putIp(1, `change-${++changes}`);
  await osaka.flush();
  await stage.mirrored(osaka, PODS);
  const remote = await mirror.remote("osaka");
  assert.equal(remote?.connected, true, what);
}

const troubled = (like: RegExp): Promise<string> =>
  until(`the status says ${like}`, async () => {
    const { connected, lastError = "" } = (await mirror.remote("osaka")) ?? { connected: true };
    return !connected && like.test(lastError) ? lastError : undefined;
  });

let old: Authority;
let oldServer: Issued;
let oldClient: Issued;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-e2e-certificates-"));
  versions = 0;
  old = authority("old");
  oldServer = issue(old, "old-server", NAMES);
  oldClient = issue(old, "old-client", NAMES);
  serveWith(oldServer, bundle(old));
  mountSecret(oldClient, bundle(old));
  stage = await Stage.start();
  const files = [`--cert-file=${at("server.crt")}`, `--key-file=${at("server.key")}`];
  const flags = [...files, `--trusted-ca-file=${at("server-ca.crt")}`, "--client-cert-auth"];
  osaka = await RealCluster.start("osaka", 2, { scheme: "https", flags }, handOf(old, oldClient));
  osaka.populate(PODS);
  osaka.announce();
  await osaka.flush();
  const lines = ["trusted-ca-file: ca.crt", "cert-file: tls.crt", "key-file: tls.key"];
  const yaml = lines.map((line) => line.replace(": ", `: ${at("secret", "..data")}/`)).join("\n");
  stage.configure(osaka, osaka.server.endpoint, `${yaml}\n`);
  mirror = stage.mirror();
  await flows("to begin with");
});
afterEach(async () => {
  await stage.end();
  rmSync(folder, { recursive: true });
});

for (const [how, change] of [
  ["the way of a Kubernetes secret", mountSecret],
  ["files written over", overwriteSecret],
] as const) {
  test(`A03: authority and certificates are rotated, clients first, ${how}: no restart, nothing goes`, async () => {
    const seen = await stage.record();
    const fresh = authority("fresh");
    const [server, client] = [issue(fresh, "fresh-server", NAMES), issue(fresh, "fresh-client", NAMES)];
    change(oldClient, bundle(old, fresh));
    serveWith(server, bundle(old, fresh));
    await restartEtcd(handOf(fresh, client));
    await flows("the new server, the old client");
    change(client, bundle(fresh));
    serveWith(server, bundle(fresh));
    await restartEtcd(handOf(fresh, client));
    await flows("all is new");
    assert.deepEqual(
      seen.filter(({ type }) => type === "delete").filter((event) => !JSON.stringify(event).includes("/drain")),
      [],
    );
  });
}

test("A03: the server first: what it says until the new authority is there, and that it mends itself then", async () => {
  const before = await stage.fingerprint(osaka);
  const fresh = authority("fresh");
  const [server, client] = [issue(fresh, "fresh-server", NAMES), issue(fresh, "fresh-client", NAMES)];
  serveWith(server, bundle(old, fresh));
  await restartEtcd(handOf(fresh, client));
  await troubled(/certificate/);
  await pause(2_000);
  assert.equal(await stage.fingerprint(osaka), before);
  mountSecret(oldClient, bundle(fresh));
  await flows("it trusts the new authority");
  serveWith(server, bundle(fresh));
  await restartEtcd(handOf(fresh, client));
  await troubled(/certificate|handshake|alert|closed|disconnected/);
  mountSecret(client, bundle(fresh));
  await flows("and is trusted");
});

test("A04: a server whose certificate has expired: said, nothing goes, and it is mended by a new one", async () => {
  const before = await stage.fingerprint(osaka);
  serveWith(issue(old, "expired-server", NAMES, EXPIRED), bundle(old));
  await osaka.server.kill();
  await osaka.server.restart();
  await troubled(/expired/);
  await pause(2_000);
  assert.equal(await stage.fingerprint(osaka), before);
  serveWith(oldServer, bundle(old));
  await restartEtcd(handOf(old, oldClient));
  await flows("it is valid again");
});
