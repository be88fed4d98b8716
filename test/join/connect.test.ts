/** What is looked at before two clusters are joined, on real etcds; and files that are written all or not at all. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { memoryDisk } from "../../src/disk/memory.ts";
import { systemDisk } from "../../src/disk/system.ts";
import { applyChanges, connectChanges, disconnectChanges, readSide, type Side } from "../../src/join/connection.ts";
import { DEFAULT_ROLES, MeshPki } from "../../src/join/pki.ts";
import { agentsFile, secretYaml } from "../../src/join/secret.ts";
import { makeCertificate } from "../../src/join/x509.ts";
import type { KvClient } from "../../src/kv/client.ts";
import { faultsOf, type Plan } from "../../src/programs/cli/connect-checks.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { UserError } from "../../src/runtime/user-error.ts";
import { parseEtcdConfig } from "../../src/wire/etcd-config.ts";
import { clusterConfigKey } from "../../src/wire/keys.ts";
import { encodeNode } from "../../src/wire/node.ts";
import { stateKey } from "../../src/wire/resources.ts";
import { bulkhead } from "../programs/cli/command.ts";
import { TestEtcd } from "../support/etcd.ts";
import { fill, put } from "../troubleshoot/stage.ts";

const HOUR_MS = 3_600_000;
const IDS = { amsterdam: 1, osaka: 2 } as const;
type Name = keyof typeof IDS;
const NAMES: readonly Name[] = ["amsterdam", "osaka"];

let folder: string;
const etcds = new Map<Name, TestEtcd>();
const clients = new Map<Name, KvClient>();
const sides = new Map<Name, Side>();

const at = (...names: readonly string[]): string => join(folder, ...names);

function pkiOf(name: string): MeshPki {
  return new MeshPki({ disk: systemDisk, clock: systemClock, make: makeCertificate }, at(name));
}

const issued = (cluster: Name) => ({
  cluster,
  roles: DEFAULT_ROLES,
  lifetimeMs: HOUR_MS,
  endpoints: [etcds.get(cluster)?.endpoint ?? ""],
});

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-connect-"));
  await pkiOf("pki").init(undefined, HOUR_MS);
  for (const name of NAMES) {
    const etcd = await TestEtcd.start();
    etcds.set(name, etcd);
    clients.set(name, etcd.connect());
    await pkiOf("pki").issue(issued(name));
    sides.set(name, await readSide(systemDisk, at("pki", name)));
  }
});
after(async () => {
  for (const client of clients.values()) client.close();
  for (const etcd of etcds.values()) await etcd.end();
  rmSync(folder, { recursive: true });
});

const kvOf = (name: Name): KvClient => clients.get(name) as KvClient;
const sideOf = (name: Name): Side => sides.get(name) as Side;

async function say(name: Name, id: number, podCidr: string): Promise<void> {
  await fill(kvOf(name), name, id);
  const node = {
    cluster: name,
    clusterId: id,
    name: "n1",
    addresses: [{ type: "InternalIP", address: `172.16.${IDS[name]}.1` }],
    podCidrs: [podCidr],
    reservedAddresses: [],
    labels: new Map(),
  };
  await kvOf(name).txn({ operations: [put(stateKey("nodes", name, "n1"), encodeNode(node))] });
}

beforeEach(async () => {
  for (const name of NAMES) {
    await say(name, IDS[name], `10.${IDS[name]}.0.0/16`);
    rmSync(at(name), { recursive: true, force: true });
    mkdirSync(at(name));
  }
});

function plan(from: Name, to: Name, more: Partial<Plan> = {}): Plan {
  return { from, to, folder: at(from), at: at(from), sides: { from: sideOf(from), to: sideOf(to) }, ...more };
}

const both = (more: Partial<Plan> = {}): readonly Plan[] => [
  plan("amsterdam", "osaka", more),
  plan("osaka", "amsterdam"),
];
const look = (plans: readonly Plan[], offline = false) => faultsOf(plans, { offline, timeoutMs: 10_000 });

async function faults(plans: readonly Plan[] = both()): Promise<readonly string[]> {
  const found = (await look(plans)).faults;
  assert.deepEqual(
    NAMES.flatMap((name) => readdirSync(at(name)).filter((file) => NAMES.includes(file as Name))),
    [],
  );
  return found;
}

test("nothing is wrong: where the addresses of both lie is known", async () => {
  const { faults: none, known } = await look(both());
  assert.deepEqual(none, []);
  assert.deepEqual(Object.fromEntries(known), {
    osaka: ["10.2.0.0/16", "172.16.2.1/32"],
    amsterdam: ["10.1.0.0/16", "172.16.1.1/32"],
  });
});

test("an authority that the other's etcd does not trust: whose, and what to do", async () => {
  await pkiOf("elsewhere").init(undefined, HOUR_MS);
  await pkiOf("elsewhere").issue(issued("osaka"));
  const osaka = await readSide(systemDisk, at("elsewhere/osaka"));
  const [first, second, ...more] = (
    await look([plan("amsterdam", "osaka", { sides: { from: sideOf("amsterdam"), to: osaka } })])
  ).faults;
  assert.match(
    first ?? "",
    /^the certificate that amsterdam shows is issued by CN=bulkhead mesh CA .* of osaka does not hold: issue both by one authority/,
  );
  assert.deepEqual([second, ...more], [undefined]);
  const offline = await look(both(), true);
  assert.deepEqual([offline.faults, offline.known.size], [[], 0], "the same without a fault");
});

test("two clusters of one id; one that says nothing yet; one that cannot be reached", async () => {
  await say("osaka", 1, "10.2.0.0/16");
  assert.deepEqual(await faults(), [
    "amsterdam -> osaka: cluster id: 1 is that of amsterdam too; mend: give one of the clusters another id: each must have its own",
    "osaka -> amsterdam: cluster id: 1 is that of osaka too; mend: give one of the clusters another id: each must have its own",
  ]);
  await kvOf("osaka").txn({ operations: [{ delete: { key: clusterConfigKey("osaka") } }] });
  const [silent = "", ...others] = await faults();
  assert.match(silent, /^amsterdam -> osaka: cluster config: .*; mend: /);
  assert.deepEqual(others, []);
  const lost = { ...sideOf("osaka"), etcd: 'endpoints: ["http://127.0.0.1:1"]\n' };
  const [refused = ""] = await faults([plan("amsterdam", "osaka", { sides: { from: sideOf("amsterdam"), to: lost } })]);
  assert.match(
    refused,
    /^amsterdam -> osaka: TCP 127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1; mend: is etcd running there/,
  );
});

test("addresses that overlap: of the two, of --allow, and of a remote that is there already", async () => {
  await say("osaka", 2, "10.1.4.0/24");
  assert.deepEqual(await faults(), [
    "osaka, amsterdam: their addresses overlap (10.1.4.0/24 and 10.1.0.0/16); mend: give one of them other ranges of pods and nodes",
  ]);
  await say("osaka", 2, "10.2.0.0/16");
  assert.deepEqual(await faults(both({ allowedCidrs: ["10.2.0.0/17", "172.16.2.0/24"] })), [
    "amsterdam -> osaka: --allow leaves out 10.2.0.0/16, which osaka has; mend: widen it",
  ]);
  writeFileSync(
    at("amsterdam/virginia"),
    'endpoints: ["http://10.0.0.9:2379"]\nbulkhead-allowed-cidrs: ["10.2.8.0/24"]\n',
  );
  assert.deepEqual(await faults(), [
    "amsterdam -> osaka: osaka overlaps bulkhead-allowed-cidrs of virginia (10.2.0.0/16 and 10.2.8.0/24); mend: make them disjoint",
  ]);
  writeFileSync(
    at("amsterdam/virginia"),
    'endpoints: ["http://10.0.0.9:2379"]\nbulkhead-allowed-cidrs: ["10.3.0.0/16"]\n',
  );
  assert.deepEqual(await faults(both({ allowedCidrs: ["10.2.0.0/16", "172.16.2.0/24"] })), []);
});

test("the command: one line a fault and exit code 2; names must differ, folders be complete", async () => {
  const fails = async (line: RegExp, ...args: readonly string[]): Promise<void> => {
    const { code, out, err } = await bulkhead(...args);
    assert.equal(code, 2, err);
    assert.equal(out, "");
    assert.match(err, line);
  };
  const [amsterdam, osaka] = NAMES.map((name) => at("pki", name));
  assert(amsterdam && osaka);
  await Promise.all([
    fails(/^bulkhead: amsterdam: both clusters have this name/, "connect", amsterdam, amsterdam),
    fails(/: the folder must be named as the cluster, whose name may hold only/, "connect", amsterdam, at("Osaka")),
    fails(/virginia\/etcd\.yaml: ENOENT: `bulkhead pki issue` makes it/, "connect", amsterdam, at("pki/virginia")),
    fails(/--allow 10\.2\.0\.1\/16: is no CIDR/, "connect", amsterdam, osaka, "--allow", "osaka=10.2.0.1/16"),
    fails(
      /amsterdam does not follow osaka: there is no file/,
      "disconnect",
      amsterdam,
      osaka,
      "--config-dir",
      `amsterdam=${at("amsterdam")}`,
      "--one-way",
    ),
  ]);
});

test("files are written in an order in which a reader finds what a file names, and all or none", async () => {
  const link = { folder: "/remotes", at: "/mounted", allowedCidrs: ["10.2.0.0/16"] };
  const changes = connectChanges(sideOf("amsterdam"), sideOf("osaka"), link);
  const names = [
    "osaka.etcd-client-ca.crt",
    "osaka.etcd-client.crt",
    "osaka.etcd-client.key",
    "osaka",
    "osaka.disconnected",
  ];
  assert.deepEqual(
    changes.map(({ path }) => path),
    names.map((name) => `/remotes/${name}`),
  );
  const disk = memoryDisk({ "/remotes/osaka.disconnected": "x", "/remotes/osaka.etcd-client.crt": "before" });
  await applyChanges(disk, changes);
  const config = parseEtcdConfig("osaka", await disk.readText("/remotes/osaka"));
  assert(config.ok);
  assert.equal(config.value.keyFile, "/mounted/osaka.etcd-client.key");
  assert.deepEqual(config.value.allowedCidrs, ["10.2.0.0/16"]);
  const list = async (): Promise<readonly string[]> => (await disk.list("/remotes")).files.map(({ name }) => name);
  assert.deepEqual(await list(), names.slice(0, 4).toSorted());
  const parting = disconnectChanges("osaka", "/remotes", 0);
  assert.deepEqual(parting.map(({ path }) => path).slice(0, 2), ["/remotes/osaka.disconnected", "/remotes/osaka"]);
  const broken = [...parting.slice(0, 4), { path: "/nowhere/x", bytes: new Uint8Array() }];
  await assert.rejects(applyChanges(disk, broken), (error: unknown) => {
    assert(error instanceof UserError, String(error));
    assert.equal(error.message, "/nowhere/x: ENOENT: nothing was changed");
    return true;
  });
  assert.deepEqual(await list(), names.slice(0, 4).toSorted(), "put back");
  await applyChanges(disk, parting);
  assert.deepEqual(await list(), ["osaka.disconnected"]);
});

test("Secrets: names and keys as Cilium has them", () => {
  const files = new Map([["osaka", agentsFile("mesh")]]);
  const yaml = secretYaml(
    { name: "cilium-clustermesh", namespace: "mesh", comment: "for the cluster amsterdam" },
    files,
  );
  const [, data = ""] = /^ {2}osaka: (.*)$/m.exec(yaml) ?? [];
  assert.match(
    yaml,
    /^# for the cluster amsterdam\napiVersion: v1\nkind: Secret\nmetadata:\n {2}name: cilium-clustermesh\n {2}namespace: mesh\n/,
  );
  const config = parseEtcdConfig("osaka", Buffer.from(data, "base64").toString());
  assert(config.ok);
  assert.deepEqual(config.value.endpoints, ["https://clustermesh-apiserver.mesh.svc:2379"]);
  assert.equal(config.value.certFile, "/var/lib/cilium/clustermesh/local-etcd-client.crt");
});
