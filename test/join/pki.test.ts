/** The folder of certificates: who signs, for whom, and how an authority is replaced while everybody goes on. By the real openssl. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { readPem } from "../../src/access/pem.ts";
import { systemDisk } from "../../src/disk/system.ts";
import { DEFAULT_ROLES, MeshPki, readPair } from "../../src/join/pki.ts";
import { makeCertificate } from "../../src/join/x509.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { parseEtcdConfig } from "../../src/wire/etcd-config.ts";
import { makeAuthority } from "../support/certificates.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
let folder: string;
let pki: MeshPki;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-pki-test-"));
  pki = new MeshPki({ disk: systemDisk, clock: systemClock, make: makeCertificate }, folder);
});
afterEach(() => rmSync(folder, { recursive: true }));

const at = (...names: readonly string[]): string => join(folder, ...names);
const bundle = (cluster: string): readonly X509Certificate[] => readPem(cluster, readFileSync(at(cluster, "ca.crt")));
const leaf = (cluster: string, role: string): X509Certificate =>
  new X509Certificate(readFileSync(at(cluster, `${role}.crt`)));
const isSignedBy = (one: X509Certificate, by: X509Certificate | undefined): boolean =>
  by !== undefined && one.checkIssued(by) && one.verify(by.publicKey);

const osaka = {
  cluster: "osaka",
  roles: DEFAULT_ROLES,
  lifetimeMs: 10 * HOUR_MS,
  endpoints: ["https://osaka.mesh:2379"],
  hostAliases: [{ hostname: "osaka.mesh", ips: ["10.0.0.2"] }],
};

function refused(line: RegExp) {
  return (error: unknown): boolean => {
    assert(error instanceof UserError, String(error));
    assert.match(error.message, line);
    return true;
  };
}

test("a cluster's certificates: names, lifetimes, usages and client files; every file is its owner's alone", async () => {
  await pki.init(undefined, YEAR_MS);
  const written = await pki.issue({ ...osaka, names: ["etcd-0.osaka", "fd00::2"] });
  const [authority] = bundle("osaka");
  for (const role of DEFAULT_ROLES) {
    const one = leaf("osaka", role);
    assert(isSignedBy(one, authority), role);
    assert.equal(one.subject, `CN=${role}-osaka`);
    assert.equal(one.ca, false);
    const leftMs = Date.parse(one.validTo) - Date.now();
    assert(leftMs > 9 * HOUR_MS && leftMs < 10 * HOUR_MS, `${role}: ${leftMs}`);
    assert(one.checkPrivateKey(createPrivateKey(readFileSync(at("osaka", `${role}.key`)))));
  }
  for (const host of ["osaka.mesh", "etcd-0.osaka", "localhost"]) assert(leaf("osaka", "etcd").checkHost(host), host);
  for (const ip of ["10.0.0.2", "fd00::2", "127.0.0.1", "::1"]) assert(leaf("osaka", "etcd").checkIP(ip), ip);
  assert.equal(leaf("osaka", "etcd").checkHost("amsterdam.mesh"), undefined);
  assert.deepEqual(leaf("osaka", "agent").keyUsage, ["1.3.6.1.5.5.7.3.2"], "clients alone");
  const config = parseEtcdConfig("agent.yaml", readFileSync(at("osaka", "agent.yaml"), "utf8"));
  assert(config.ok);
  assert.deepEqual(config.value, {
    endpoints: osaka.endpoints,
    caFile: at("osaka", "ca.crt"),
    certFile: at("osaka", "agent.crt"),
    keyFile: at("osaka", "agent.key"),
    hostAliases: osaka.hostAliases,
    ignored: [],
  });
  for (const name of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const mode = statSync(join(name.parentPath, name.name)).mode & 0o777;
    assert.equal(mode, name.isDirectory() ? 0o700 : 0o600, name.name);
  }
  assert(written.includes(at("osaka", "remote.key")) && !written.includes(at("osaka", "remote.yaml")));
});

test("an authority is replaced in three steps: at each one, whoever is a step behind is still believed", async () => {
  await pki.init(undefined, YEAR_MS);
  await pki.issue(osaka);
  await assert.rejects(pki.rotate("switch", HOUR_MS, YEAR_MS), refused(/^there is no next authority/));
  await assert.rejects(pki.rotate("retire", HOUR_MS, YEAR_MS), refused(/^no old authority/));
  const before = { bundle: bundle("osaka"), leaf: leaf("osaka", "remote") };
  assert.deepEqual(await pki.rotate("trust", HOUR_MS, YEAR_MS), ["osaka"]);
  const trusting = bundle("osaka");
  assert.equal(trusting.length, 2);
  assert.equal(trusting[0]?.raw.equals(before.bundle[0]?.raw ?? Buffer.of()), true, "who signs comes first");
  assert.equal(leaf("osaka", "remote").serialNumber, before.leaf.serialNumber, "nothing is signed by the next one");
  await assert.rejects(pki.rotate("trust", HOUR_MS, YEAR_MS), refused(/trusted already/));
  await pki.rotate("switch", HOUR_MS, YEAR_MS);
  const switched = { bundle: bundle("osaka"), leaf: leaf("osaka", "remote") };
  assert(isSignedBy(switched.leaf, trusting[1]), "those who only trust so far believe the new one");
  assert(isSignedBy(before.leaf, switched.bundle[1]), "those who switched believe the old one");
  assert.equal(switched.bundle.length, 2);
  assert.equal(leaf("osaka", "etcd").checkHost("osaka.mesh"), "osaka.mesh", "names are as they were");
  await pki.rotate("retire", HOUR_MS, YEAR_MS);
  assert.deepEqual(
    bundle("osaka").map(({ serialNumber }) => serialNumber),
    [switched.bundle[0]?.serialNumber],
  );
  assert.equal(leaf("osaka", "remote").serialNumber, switched.leaf.serialNumber);
});

test("what the old authority signed keeps it from being retired; certificates alone are renewed at any time", async () => {
  await pki.init(undefined, YEAR_MS);
  await pki.issue(osaka);
  const early = readFileSync(at("osaka", "agent.crt"));
  await pki.rotate("trust", HOUR_MS, YEAR_MS);
  await pki.rotate("switch", HOUR_MS, YEAR_MS);
  await systemDisk.writeAtomic(at("osaka", "agent.crt"), early);
  await assert.rejects(pki.rotate("retire", HOUR_MS, YEAR_MS), refused(/^osaka\/agent\.crt is signed by the old/));
  await pki.rotate("renew", HOUR_MS, YEAR_MS);
  await pki.rotate("retire", HOUR_MS, YEAR_MS);
  assert(isSignedBy(leaf("osaka", "agent"), bundle("osaka")[0]));
});

test("an authority may be given; one that is none, or without its key, is refused", async () => {
  const made = mkdtempSync(join(tmpdir(), "bulkhead-pki-given-"));
  const [root, other] = [makeAuthority(made, "corporate"), makeAuthority(made, "other")];
  await assert.rejects(
    pki.init(await readPair(systemDisk, root.ca, other.caKey), YEAR_MS),
    refused(/key of the authority is not that of its certificate/),
  );
  const below = makeAuthority(made, "below", undefined, root);
  const chain = join(made, "chain.crt");
  await assert.rejects(
    pki.init(await readPair(systemDisk, below.ca, below.caKey), YEAR_MS),
    refused(/^--ca-cert is signed by CN=corporate: put that/),
  );
  writeFileSync(chain, readFileSync(below.ca, "utf8") + readFileSync(root.ca, "utf8"));
  const middle = new MeshPki({ disk: systemDisk, clock: systemClock, make: makeCertificate }, at("middle"));
  await middle.init(await readPair(systemDisk, chain, below.caKey), YEAR_MS);
  await middle.issue(osaka);
  assert.equal(leaf("middle/osaka", "agent").issuer, "CN=below");
  execFileSync("openssl", ["verify", "-CAfile", at("middle/osaka/ca.crt"), at("middle/osaka/agent.crt")]);
  await pki.init(await readPair(systemDisk, root.ca, root.caKey), YEAR_MS);
  await pki.issue(osaka);
  assert.equal(leaf("osaka", "etcd").issuer, "CN=corporate");
  assert(leaf("osaka", "etcd").validToDate <= (bundle("osaka")[0] as X509Certificate).validToDate);
  await assert.rejects(pki.init(undefined, YEAR_MS), refused(/has an authority/));
  const elsewhere = new MeshPki({ disk: systemDisk, clock: systemClock, make: makeCertificate }, at("new"));
  const none = await readPair(systemDisk, at("osaka", "agent.crt"), at("osaka", "agent.key"));
  await assert.rejects(elsewhere.init(none, YEAR_MS), refused(/may not sign others/));
  await assert.rejects(elsewhere.show(), refused(/has no authority: `bulkhead pki init/));
  rmSync(made, { recursive: true });
});

test("what is shown: every certificate with its end, the authority first", async () => {
  await pki.init(undefined, YEAR_MS);
  await pki.issue({ ...osaka, roles: ["etcd", "root"] });
  const shown = await pki.show();
  assert.deepEqual(
    shown.map(({ file, subject }) => [file, subject.replace(/CA .*/, "CA")]),
    [
      ["authority/ca.crt", "CN=bulkhead mesh CA"],
      ["osaka/etcd.crt", "CN=etcd-osaka"],
      ["osaka/root.crt", "CN=root"],
    ],
  );
  for (const { leftMs } of shown) assert(leftMs > 9 * HOUR_MS);
  await assert.rejects(
    pki.issue({ ...osaka, cluster: "virginia", endpoints: ["https://v"] }),
    refused(/must be http\(s\):\/\/HOST:PORT/),
  );
  await assert.rejects(pki.issue({ ...osaka, names: ["a,DNS:b"] }), refused(/must be a host name or an address/));
  await assert.rejects(pki.issue({ ...osaka, cluster: "Osaka" }), refused(/a cluster's name may hold only/));
});
