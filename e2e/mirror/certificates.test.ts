/** Certificates that are replaced, that do not fit and that have expired: the mirror reads them anew at every try, and says what is wrong. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { WatchEvent } from "../../src/kv/client.ts";
import type { Findings, Step } from "../../src/model/troubleshoot.ts";
import {
  type Authority,
  EXPIRED,
  type Issued,
  issue,
  makeAuthority,
  NOT_YET,
} from "../../test/support/certificates.ts";
import { freePort } from "../../test/support/free-port.ts";
import { RealCluster } from "./cluster.ts";
import { asSecret, inPlace, pathsIn, type Replace } from "./secrets.ts";
import { type MirrorProcess, Stage, until } from "./stage.ts";

const PODS = 200;
const BULKHEAD = fileURLToPath(new URL("../../src/bulkhead.ts", import.meta.url));

let stage: Stage;
let osaka: RealCluster;
let mirror: MirrorProcess;
let folder: string;
/** Of the etcd and of the mirror. */
let server: Replace;
let client: Replace;
let events: readonly WatchEvent[];
let changes = 0;

const OURS_REFUSED = /^the server refuses our certificate/;

beforeEach(async () => {
  stage = await Stage.start();
  folder = join(stage.folder, "made");
  mkdirSync(folder);
});
afterEach(() => stage.end());

const serverOf = (authority: Authority, name: string, validity?: typeof EXPIRED): Issued =>
  issue(authority, name, "DNS:localhost,IP:127.0.0.1", validity);
const clientOf = (authority: Authority, name: string, validity?: typeof EXPIRED): Issued =>
  issue(authority, name, "DNS:amsterdam", validity);

/** A remote with TLS and client certificates, mirrored. The test's own hand writes past them. */
async function begin(mount: (folder: string) => Replace, authority: Authority): Promise<void> {
  const [etcdFolder, mirrorFolder] = [join(stage.folder, "etcd"), join(stage.folder, "mirror")];
  server = mount(etcdFolder);
  client = mount(mirrorFolder);
  server({ trusted: [authority], own: serverOf(authority, "first-server") });
  client({ trusted: [authority], own: clientOf(authority, "first-client") });
  const secure = `https://127.0.0.1:${await freePort()}`;
  const { ca, cert, key } = pathsIn(etcdFolder);
  const flags = ["--client-cert-auth", `--trusted-ca-file=${ca}`, `--cert-file=${cert}`, `--key-file=${key}`];
  osaka = await RealCluster.populated("osaka", 2, PODS, { moreUrls: [secure], flags });
  const mine = pathsIn(mirrorFolder);
  const files = `trusted-ca-file: ${mine.ca}\ncert-file: ${mine.cert}\nkey-file: ${mine.key}\n`;
  stage.configure(osaka, secure, files);
  mirror = stage.mirror();
  await stage.mirrored(osaka, PODS);
  events = await stage.record();
}

/** The etcd ends every connection and comes back with the files that are there now. */
const restart = (): Promise<void> => osaka.server.restart();

async function flows(): Promise<void> {
  osaka.putIp(1 + (changes % PODS), `change-${++changes}`);
  await osaka.flush();
  await stage.mirrored(osaka, PODS);
  await until("it is watched", async () => {
    const remote = await mirror.remote("osaka");
    return remote?.connected && remote.lastError === undefined ? true : undefined;
  });
}

/** Kept as it was, with a reason. */
async function refused(reason: RegExp): Promise<void> {
  const before = await stage.fingerprint(osaka);
  await restart();
  osaka.putIp(PODS, `held-${++changes}`);
  await osaka.flush();
  await until(`the status says ${reason}`, async () => {
    const remote = await mirror.remote("osaka");
    return remote?.connected === false && reason.test(remote.lastError ?? "") ? true : undefined;
  });
  assert.equal(await stage.fingerprint(osaka), before);
  assert.notEqual(await stage.difference(osaka), undefined);
}

/** What `bulkhead troubleshoot` says, but not of the heartbeat and what comes after. */
async function found(): Promise<readonly Step[]> {
  const argv = ["troubleshoot", "--config-dir", join(stage.folder, "mesh"), "--cluster", "amsterdam", "--json"];
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, [BULKHEAD, ...argv], (_error, stdout) => resolve(stdout));
  });
  const [osakas] = JSON.parse(output) as readonly Findings[];
  assert(osakas);
  return osakas.steps;
}

async function foundFault(of: RegExp, seen: RegExp): Promise<void> {
  const steps = await found();
  const fault = steps.find(({ name, outcome }) => outcome === "failed" && of.test(name));
  assert(fault && seen.test(fault.seen) && fault.mend, JSON.stringify(steps));
}

async function foundWell(): Promise<void> {
  const steps = await found();
  assert.deepEqual(
    steps.filter(({ outcome }) => outcome === "failed"),
    [],
  );
  assert(steps.some(({ name, outcome }) => name.startsWith("TLS") && outcome === "ok"));
}

const kept = (): void =>
  assert.deepEqual(
    events.filter(({ type }) => type === "delete"),
    [],
  );

for (const [first, how, mount] of [
  ["server", "as Kubernetes swaps secrets", asSecret],
  ["client", "written over in place", inPlace],
] as const) {
  test(`A03: authority and certificates replaced with a bundle in between, the ${first}'s first, ${how}: nothing is lost, nothing restarted`, async () => {
    const [old, next] = ["old", "next"].map((name) => makeAuthority(folder, name)) as [Authority, Authority];
    await begin(mount, old);
    const { pid } = mirror;
    const both = [old, next];
    let [itsOwn, ours] = [serverOf(old, "old-server"), clientOf(old, "old-client")];
    const step = async (trusted: readonly Authority[]): Promise<void> => {
      server({ trusted, own: itsOwn });
      client({ trusted, own: ours });
      await flows();
      await restart();
      await flows();
    };
    await step(both);
    for (const end of first === "server" ? ["server", "client"] : ["client", "server"]) {
      if (end === "server") itsOwn = serverOf(next, "next-server");
      else ours = clientOf(next, "next-client");
      await step(both);
    }
    await step([next]);
    assert.equal(mirror.pid, pid);
    assert(mirror.alive);
    assert(((await mirror.remote("osaka"))?.losses ?? 0) >= 4, "each step broke the connection");
    kept();
  });
}

test("A03: without a bundle each end says what it does not trust, the keys stay; the right files mend it", async () => {
  const [old, next] = ["old", "next"].map((name) => makeAuthority(folder, name)) as [Authority, Authority];
  await begin(asSecret, old);
  await foundWell();
  const ours = clientOf(old, "ours");

  server({ trusted: [old], own: serverOf(next, "unknown-server") });
  await refused(/^the server's certificate is not trusted \(unable to verify/);
  await foundFault(/^TLS/, /UNABLE_TO_/);
  client({ trusted: [next], own: ours });
  await flows();
  await foundWell();

  server({ trusted: [next], own: serverOf(next, "strict-server") });
  await refused(OURS_REFUSED);
  await foundFault(/^TLS/, /alert/);
  client({ trusted: [next], own: clientOf(next, "new-client") });
  await flows();
  await foundWell();
  kept();
});

for (const [name, validity, reason] of [
  ["has expired", EXPIRED, /expired/],
  ["is not valid yet", NOT_YET, /not yet valid|not valid before/],
] as const) {
  test(`A04: a certificate that ${name}, at either end: said so, nothing is deleted, and a new one mends it`, async () => {
    const authority = makeAuthority(folder, "authority");
    await begin(inPlace, authority);
    server({ trusted: [authority], own: serverOf(authority, "bad-server", validity) });
    await refused(new RegExp(`^the server's certificate is not trusted .*(?:${reason.source})`));
    await foundFault(/^TLS/, reason);
    server({ trusted: [authority], own: serverOf(authority, "good-server") });
    await restart();
    await flows();

    client({ trusted: [authority], own: clientOf(authority, "bad-client", validity) });
    await refused(OURS_REFUSED);
    await foundFault(/^dates of/, reason);
    client({ trusted: [authority], own: clientOf(authority, "good-client") });
    await flows();
    await foundWell();
    kept();
  });
}
