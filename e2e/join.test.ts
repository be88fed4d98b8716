/**
 * Two clusters from nothing: authority and certificates, users and roles, exporters and mirrors over TLS, joined both ways, every certificate and the
 * authority replaced while pods come, parted again. By the command, as an operator does it; no secret shows anywhere.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type KeyValue, type KvClient, prefixEnd } from "../src/kv/client.ts";
import type { ProgramStatus } from "../src/model/status.ts";
import { askSocket } from "../src/serve/ask.ts";
import { TestEtcd } from "../test/support/etcd.ts";
import { freePort } from "../test/support/free-port.ts";
import { until } from "./mirror/stage.ts";

const BULKHEAD = fileURLToPath(new URL("../src/bulkhead.ts", import.meta.url));
const NAMES = ["amsterdam", "osaka"] as const;
type Name = (typeof NAMES)[number];

const QUICK = {
  "log-level": "trace",
  "lease-ttl-seconds": 2,
  "etcd-timeout-ms": 1_000,
  "backoff-base-ms": 50,
  "backoff-cap-ms": 500,
  "certificates-interval-ms": 100,
};
const QUICK_MIRROR = {
  ...QUICK,
  "api-listen": "none",
  "config-interval-ms": 100,
  "retry-cap-ms": 300,
  "drain-grace-ms": 500,
};

let folder: string;
/** All that any program or command ever said. */
let said = "";
const children: ChildProcess[] = [];
const etcds = new Map<Name, TestEtcd>();
/** Keys that were made, all of them. */
const secrets = new Set<string>();

const at = (...names: readonly string[]): string => join(folder, ...names);
const other = (name: Name): Name => (name === "amsterdam" ? "osaka" : "amsterdam");

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function bulkhead(...args: readonly string[]): Promise<Ran> {
  const ran = await new Promise<Ran>((resolve) => {
    execFile(process.execPath, [BULKHEAD, ...args], { timeout: 60_000 }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
  said += ran.out + ran.err;
  rememberSecrets();
  return ran;
}

async function done(...args: readonly string[]): Promise<string> {
  const { code, out, err } = await bulkhead(...args);
  assert.equal(code, 0, `bulkhead ${args.join(" ")}: ${err}`);
  return out;
}

/** The middle of each key's text: what gives it away wherever it shows. */
function rememberSecrets(): void {
  for (const file of readdirSync(at("pki"), { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".key")) continue;
    const body = readFileSync(at("pki", file), "utf8").split("\n").slice(1, -2).join("");
    assert(body.length > 100, file);
    secrets.add(body.slice(60, 100));
  }
}

function start(program: string, name: Name, flags: Readonly<Record<string, string | number>>): void {
  const all = { cluster: name, "cluster-id": NAMES.indexOf(name) + 1, "run-dir": at("run"), ...flags };
  const argv = Object.entries(all).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
  const child = spawn(process.execPath, [BULKHEAD, program, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  const remember = (chunk: Buffer): void => {
    said += chunk.toString();
  };
  child.stdout.on("data", remember);
  child.stderr.on("data", remember);
  children.push(child);
}

/** A pod of its own address; `put` again changes nothing. */
function addPod(name: Name, index: number): string {
  const address = `10.${NAMES.indexOf(name) + 1}.1.${index}`;
  const manifest = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${index}`, namespace: "demo", labels: { app: "pod" } },
    spec: { nodeName: `${name}-1` },
    status: { podIP: address, podIPs: [{ ip: address }], conditions: [{ type: "Ready", status: "True" }] },
  };
  writeFileSync(at("manifests", name, `pod-${index}.yaml`), JSON.stringify(manifest));
  return address;
}

function writeManifests(name: Name): void {
  const id = NAMES.indexOf(name) + 1;
  const node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: `${name}-1` },
    spec: { podCIDR: `10.${id}.1.0/24`, podCIDRs: [`10.${id}.1.0/24`] },
    status: { addresses: [{ type: "InternalIP", address: `172.16.${id}.1` }] },
  };
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "demo" } };
  mkdirSync(at("manifests", name), { recursive: true });
  writeFileSync(
    at("manifests", name, "cluster.yaml"),
    [node, namespace].map((one) => JSON.stringify(one)).join("\n---\n"),
  );
  addPod(name, 1);
}

async function startEtcd(name: Name): Promise<void> {
  const secure = `https://127.0.0.1:${await freePort()}`;
  await done("pki", "issue", at("pki"), name, "--endpoint", secure);
  const file = (one: string): string => at("pki", name, one);
  const files = [
    `--trusted-ca-file=${file("ca.crt")}`,
    `--cert-file=${file("etcd.crt")}`,
    `--key-file=${file("etcd.key")}`,
  ];
  const etcd = await TestEtcd.start({ moreUrls: [secure], flags: ["--client-cert-auth", ...files] });
  etcds.set(name, etcd);
  // Nobody is admitted yet: a fresh etcd asks for no rights, and is on the loopback only.
  await done("etcd", "init", "--cluster", name, "--endpoints", etcd.endpoint);
}

/** Reads as the agent of that cluster does, with the certificate of now. */
function reader(name: Name): KvClient {
  const file = (one: string): Buffer => readFileSync(at("pki", name, one));
  const etcd = etcds.get(name);
  assert(etcd);
  const [endpoint = ""] = JSON.parse(/endpoints: (.*)/.exec(file("etcd.yaml").toString())?.[1] ?? "[]") as string[];
  return etcd.connect({ endpoints: [endpoint], ca: file("ca.crt"), cert: file("agent.crt"), key: file("agent.key") });
}

async function held(name: Name, prefix: string): Promise<readonly KeyValue[]> {
  const kv = reader(name);
  try {
    return (await kv.range({ key: prefix, rangeEnd: prefixEnd(prefix), keysOnly: true })).kvs;
  } finally {
    kv.close();
  }
}

async function status(name: Name, program: string): Promise<ProgramStatus | undefined> {
  const socket = at("run", name, `${program}.sock`);
  return (await askSocket(socket, "/v1/status", 2_000).catch(() => undefined)) as ProgramStatus | undefined;
}

const cached = (name: Name, address: string): Promise<true> =>
  until(`${address} of ${other(name)} is in ${name}`, async () => {
    const kvs = await held(name, `cilium/cache/ip/v1/${other(name)}/`).catch((): readonly KeyValue[] => []);
    return kvs.some(({ key }) => key.endsWith(`/${address}`)) ? true : undefined;
  });

/** Key -> revision at which it was made: another one after it was taken away and came back. */
async function made(name: Name): Promise<ReadonlyMap<string, number>> {
  const kvs = await held(name, "cilium/cache/");
  return new Map(kvs.map(({ key, createRevision }) => [key, createRevision]));
}

let pods = 1;
/** A new pod in each cluster, which the other learns of. */
async function newPodsArrive(): Promise<void> {
  pods++;
  const addresses = NAMES.map((name) => [other(name), addPod(name, pods)] as const);
  await Promise.all(addresses.map(([name, address]) => cached(name, address)));
}

const connect = (...more: readonly string[]): Promise<Ran> =>
  bulkhead("connect", at("pki/amsterdam"), at("pki/osaka"), ...more);

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-e2e-join-"));
  await done("pki", "init", at("pki"));
  for (const name of NAMES) {
    await startEtcd(name);
    writeManifests(name);
    mkdirSync(at("pki", name, "remotes"));
  }
  for (const name of NAMES) {
    const etcdConfig = (role: string) => ({ "etcd-config": at("pki", name, `${role}.yaml`) });
    start("exporter", name, { ...etcdConfig("exporter"), ...QUICK, manifests: at("manifests", name) });
    start("kvstoremesh", name, { ...etcdConfig("mirror"), ...QUICK_MIRROR, "config-dir": at("pki", name, "remotes") });
  }
  for (const name of NAMES) {
    await until(`the exporter of ${name} has written`, async () => {
      const now = await status(name, "exporter");
      return now?.program === "exporter" && now.synced ? true : undefined;
    });
  }
});

after(async () => {
  for (const child of children) child.kill("SIGKILL");
  for (const etcd of etcds.values()) await etcd.end();
  rmSync(folder, { recursive: true, force: true });
});

/** As its operator does where auth is on: as root for an hour. */
async function admit(name: Name): Promise<string> {
  await done("pki", "issue", at("pki"), name, "--role", "root", "--lifetime", "1h");
  return await done(
    "etcd",
    "init",
    "--etcd-config",
    at("pki", name, "root.yaml"),
    "--cluster",
    name,
    "--peer",
    other(name),
  );
}

test("a cluster admits its peers: by a certificate of root, and by nothing less", async () => {
  const stranger = await connect();
  assert.equal(stranger.code, 2);
  assert.match(
    stranger.err,
    /^bulkhead: amsterdam -> osaka: etcd 127\.0\.0\.1:\d+: .*mend: .*`bulkhead etcd init --peer`/m,
  );
  const agent = ["--etcd-config", at("pki/osaka/agent.yaml"), "--cluster", "osaka", "--peer", "amsterdam"];
  const denied = await bulkhead("etcd", "init", ...agent);
  assert.equal(denied.code, 2);
  assert.match(denied.err, /^bulkhead: etcd: .*permission denied; this etcd has auth: use a certificate of root/);
  for (const name of NAMES)
    assert.match(await admit(name), new RegExp(`^done: user remote-${other(name)}, without password$`, "m"));
});

test("connect joins both ways, says what it has seen, and can be run again", async () => {
  const dry = await connect("--dry-run");
  assert.equal(dry.code, 0, dry.err);
  assert.match(dry.out, /write .*pki\/amsterdam\/remotes\/osaka\n/);
  assert.deepEqual(readdirSync(at("pki/amsterdam/remotes")), [], "a dry run writes nothing");
  const first = await connect();
  assert.equal(first.code, 0, first.err);
  assert.match(first.out, /^amsterdam follows osaka: /m);
  assert.match(first.out, /pin it by --allow osaka=10\.2\.1\.0\/24,172\.16\.2\.1\/32$/m);
  for (const name of NAMES) {
    const files = readdirSync(at("pki", name, "remotes"));
    const peer = other(name);
    const names = ["", ".etcd-client-ca.crt", ".etcd-client.crt", ".etcd-client.key"].map((end) => `${peer}${end}`);
    assert.deepEqual(files, names);
    for (const file of files) assert.equal(statSync(at("pki", name, "remotes", file)).mode & 0o777, 0o600, file);
  }
  await Promise.all([cached("amsterdam", "10.2.1.1"), cached("osaka", "10.1.1.1")]);
  assert.equal((await connect()).code, 0, "as often as you like");
  const narrow = await connect("--allow", "osaka=10.2.1.0/25,172.16.2.1/32");
  assert.equal(narrow.code, 2);
  assert.match(narrow.err, /amsterdam -> osaka: --allow leaves out 10\.2\.1\.0\/24, which osaka has; mend: widen it/);
});

test("every certificate and the authority are replaced while pods come: each arrives, nothing is taken away, nobody is restarted", async () => {
  const pids = children.map(({ pid }) => pid);
  const before = await Promise.all(NAMES.map(made));
  for (const step of ["renew", "trust", "switch", "retire"]) {
    await done("pki", "rotate", at("pki"), step);
    // An etcd reads whom it trusts at its start only.
    if (step === "trust" || step === "retire") for (const etcd of etcds.values()) await etcd.restart();
    const again = await until(`connect after ${step}`, async () => {
      const ran = await connect();
      return ran.code === 0 ? ran : undefined;
    });
    assert.equal(again.code, 0);
    await newPodsArrive();
  }
  for (const [index, name] of NAMES.entries()) {
    const now = await made(name);
    assert(now.size >= (before[index]?.size ?? 0) + 4, "a pod a step");
    for (const [key, revision] of before[index] ?? []) assert.equal(now.get(key), revision, key);
  }
  assert.deepEqual(
    children.map(({ pid }) => pid),
    pids,
  );
  assert(children.every(({ exitCode, signalCode }) => exitCode === null && signalCode === null));
  const authority = readFileSync(at("pki/authority/ca.crt"), "utf8");
  assert.equal(readFileSync(at("pki/amsterdam/remotes/osaka.etcd-client-ca.crt"), "utf8"), authority);
});

test("the first certificate to end is in the status of each program; one that ends soon is a problem", async () => {
  for (const name of NAMES) {
    for (const program of ["exporter", "kvstoremesh"]) {
      const { certificate, problems } = (await status(name, program)) ?? {};
      assert(certificate && certificate.leftMs > 89 * 86_400_000 && certificate.leftMs < 90 * 86_400_000, program);
      assert.deepEqual(
        problems?.filter((line) => line.startsWith("certificate")),
        [],
      );
    }
  }
  const text = await done("status", "--run-dir", at("run"));
  assert.match(text, /certificates of exporter: the first ends on \d{4}-.*Z \(90 d\), .*\/pki\/amsterdam\//);
});

test("disconnect drains both, the last file though it is; connect joins them again", async () => {
  await done("disconnect", at("pki/amsterdam"), at("pki/osaka"));
  for (const name of NAMES) {
    assert.deepEqual(readdirSync(at("pki", name, "remotes")), [`${other(name)}.disconnected`]);
    await until(`${other(name)} is drained from ${name}`, async () => {
      const left = [...(await held(name, "cilium/cache/")), ...(await held(name, `cilium/synced/${other(name)}/`))];
      return left.length === 0 ? true : undefined;
    });
    assert.equal((await held(name, "cilium/state/")).length > 0, true, "our own stays");
  }
  const again = await connect();
  assert.equal(again.code, 0, again.err);
  await newPodsArrive();
  assert.deepEqual(
    readdirSync(at("pki/amsterdam/remotes")).filter((file) => file.endsWith(".disconnected")),
    [],
  );
});

test("no secret in anything that was said, in arguments or in the environment of a program", async () => {
  assert(secrets.size >= 20, `${secrets.size} keys were made`);
  assert(said.length > 5_000, `only ${said.length} characters were said`);
  assert.match(said, /"level":/, "logs are among them");
  const processes = children.flatMap(({ pid }) =>
    ["cmdline", "environ"].map((file) => readFileSync(`/proc/${pid}/${file}`, "utf8")),
  );
  const answers = await done("status", "--json", "--run-dir", at("run"));
  for (const text of [said, ...processes, answers]) {
    assert(!text.includes("PRIVATE KEY"));
    for (const secret of secrets) assert(!text.includes(secret));
  }
  // The positive twin: asked for, they are printed.
  const printed = await bulkhead("connect", at("pki/amsterdam"), at("pki/osaka"), "-o", "yaml");
  assert.equal(printed.code, 0, printed.err);
  const key = readFileSync(at("pki/amsterdam/remote.key")).toString("base64");
  assert(printed.out.includes(`  osaka.etcd-client.key: ${key}\n`));
});
