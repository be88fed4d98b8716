/** Every user of a real etcd against every key of docs/WIRE.md, by each call: what is written down here is what may be, and nothing else is. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemDisk } from "../../src/disk/system.ts";
import { FileGateway } from "../../src/drill/etcd-gateway.ts";
import { giveRights } from "../../src/join/rights.ts";
import { rightsOf } from "../../src/join/roles.ts";
import { type KvClient, KvError, prefixEnd } from "../../src/kv/client.ts";
import { connectAdmin, type EtcdAdmin } from "../../src/kv/etcd-admin.ts";
import { MARKER_KEY } from "../../src/model/drill.ts";
import { encodeEtcdConfig } from "../../src/wire/etcd-config.ts";
import { type Authority, type Issued, issue, makeAuthority } from "../support/certificates.ts";
import { TestEtcd } from "../support/etcd.ts";
import { freePort } from "../support/free-port.ts";

const USERS = [
  "exporter-osaka",
  "mirror-osaka",
  "agent-osaka",
  "dns-osaka",
  "drilld-osaka",
  "remote-amsterdam",
  "remote",
  "local-osaka",
];
const TIMES = { timeoutMs: 10_000, keepaliveMs: 10_000, keepaliveTimeoutMs: 10_000 };
const RIGHTS = rightsOf({ cluster: "osaka", peers: ["amsterdam"], cilium: true });
const DO_IT = { dryRun: false, exact: false };

/** Letters: e exporter, m mirror, a agent, d dns, b drilld, r remote users, l Cilium's agents. `range` is of everything below the folder of the key. */
interface Row {
  readonly key: string;
  readonly read: string;
  readonly range: string;
  readonly write: string;
}

const row = (key: string, read: string, range: string, write: string): Row => ({ key, read, range, write });

/** In the order of docs/WIRE.md; osaka is the own cluster, amsterdam a peer, virginia no peer. */
const ROWS: readonly Row[] = [
  row("cilium/.heartbeat", "emarl", "", "e"),
  row("cilium/cluster-config/osaka", "emarl", "mal", "e"),
  row("cilium/cluster-config/amsterdam", "mal", "mal", "m"),
  row("cilium/cluster-config/virginia", "mal", "mal", ""),
  row("cilium/synced/osaka/cilium/state/ip/v1", "emadrl", "emadrl", "e"),
  row("cilium/synced/osaka/bulkhead/v1/services", "emadrl", "emadrl", "e"),
  row("cilium/synced/amsterdam/cilium/cache/ip/v1", "mal", "mal", "m"),
  row("cilium/synced/virginia/cilium/cache/ip/v1", "mal", "mal", ""),
  row("cilium/state/nodes/v1/osaka/osaka-1", "emar", "emar", "e"),
  row("cilium/state/identities/v1/id/131329", "emar", "emar", "e"),
  row("cilium/state/ip/v1/default/10.2.0.1", "emar", "emar", "e"),
  row("cilium/state/services/v1/osaka/demo/hello", "emar", "emar", "e"),
  row("cilium/state/endpointslices/v1/osaka/demo/hello-1", "emar", "emar", "e"),
  row("cilium/state/serviceexports/v1/osaka/demo/hello", "emar", "emar", "e"),
  row("cilium/state/bulkhead/v1/osaka/drain", "emar", "emar", "e"),
  row("cilium/cache/nodes/v1/amsterdam/amsterdam-1", "mal", "mal", "m"),
  row("cilium/cache/identities/v1/amsterdam/id/65793", "mal", "mal", "m"),
  row("cilium/cache/ip/v1/amsterdam/10.1.0.1", "mal", "mal", "m"),
  row("cilium/cache/services/v1/amsterdam/demo/hello", "mal", "mal", "m"),
  row("cilium/cache/endpointslices/v1/amsterdam/demo/hello-1", "mal", "mal", "m"),
  row("cilium/cache/serviceexports/v1/amsterdam/demo/hello", "mal", "mal", "m"),
  row("cilium/cache/bulkhead/v1/amsterdam/drain", "mal", "mal", "m"),
  row("cilium/kvstoremesh-lock/1", "ma", "ma", "m"),
  row("bulkhead/v1/locks/exporter/1", "ea", "ea", "e"),
  row("bulkhead/v1/checkpoints/amsterdam", "ma", "ma", "m"),
  row("bulkhead/v1/holds/amsterdam", "ma", "ma", "m"),
  row("bulkhead/v1/claims/amsterdam", "ma", "ma", "m"),
  row("bulkhead/v1/peers/grades", "ma", "ma", "m"),
  row("bulkhead/v1/peers/detail/amsterdam", "ma", "ma", "m"),
  row("bulkhead/v1/services/demo/hello", "emad", "emad", "e"),
  row("bulkhead/v1/identities/131330", "ea", "ea", "e"),
  row("bulkhead/v1/ip/10.2.0.2", "ea", "ea", "e"),
  row("bulkhead/v1/endpoints/demo/hello-1", "ea", "ea", "e"),
  row("bulkhead/v1/policies/ciliumnetworkpolicy/demo/ledger", "ea", "ea", "e"),
  row("bulkhead/v1/lab", "ab", "a", ""),
  // Nobody's, and beside what is somebody's.
  row("bulkhead/v1/unknown/x", "a", "a", ""),
  row("bulkhead/v2/services/x", "", "", ""),
  row("cilium/other/x", "", "", ""),
  row("elsewhere/x", "", "", ""),
];

let folder: string;
let etcd: TestEtcd;
let secure: string;
let authority: Authority;
const clients = new Map<string, KvClient>();
let root: EtcdAdmin;

const issued = new Map<string, Issued>();

function credentials(name: string) {
  const files = issued.get(name) ?? issue(authority, name, `DNS:${name}`);
  issued.set(name, files);
  return { ca: readFileSync(authority.ca), cert: readFileSync(files.cert), key: readFileSync(files.key) };
}

function clientOf(name: string): KvClient {
  const known = clients.get(name) ?? etcd.connect({ endpoints: [secure], ...credentials(name), timeoutMs: 10_000 });
  clients.set(name, known);
  return known;
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-rights-"));
  authority = makeAuthority(folder, "mesh");
  const server = issue(authority, "etcd-osaka", "IP:127.0.0.1");
  issued.set("etcd-osaka", server);
  secure = `https://127.0.0.1:${await freePort()}`;
  const flags = [
    "--client-cert-auth",
    `--trusted-ca-file=${authority.ca}`,
    `--cert-file=${server.cert}`,
    `--key-file=${server.key}`,
  ];
  etcd = await TestEtcd.start({ moreUrls: [secure], flags });
  const fresh = connectAdmin({ endpoints: [etcd.endpoint], ...TIMES });
  const first = await giveRights(fresh, RIGHTS, DO_IT);
  fresh.close();
  assert.equal(first.done.at(-1), "auth is on");
  root = connectAdmin({ endpoints: [secure], ...credentials("root"), ...TIMES });
});
after(async () => {
  for (const client of clients.values()) client.close();
  root?.close();
  await etcd?.end();
  rmSync(folder, { recursive: true });
});

async function allowed(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    assert(error instanceof KvError && error.code === "denied", String(error));
    return false;
  }
}

const put = (kv: KvClient, key: string) => kv.txn({ operations: [{ put: { key, value: new Uint8Array([1]) } }] });

const VERBS: Readonly<Record<string, (kv: KvClient, key: string) => Promise<unknown>>> = {
  get: (kv, key) => kv.range({ key }),
  range: (kv, key) => {
    const prefix = key.slice(0, key.lastIndexOf("/") + 1);
    return kv.range({ key: prefix, rangeEnd: prefixEnd(prefix) });
  },
  put,
  delete: (kv, key) => kv.txn({ operations: [{ delete: { key } }] }),
};

const wanted = (one: Row, verb: string): string => {
  if (verb === "get") return one.read;
  return verb === "range" ? one.range : one.write;
};

test("each user may what is written down, and nothing else", async () => {
  const surprises: string[] = [];
  let asked = 0;
  for (const user of USERS) {
    const letter = user === "drilld-osaka" ? "b" : user.charAt(0);
    for (const one of ROWS) {
      for (const [verb, call] of Object.entries(VERBS)) {
        const may = await allowed(call(clientOf(user), one.key));
        if (may !== wanted(one, verb).includes(letter))
          surprises.push(`${user} ${may ? "may" : "may not"} ${verb} ${one.key}`);
        asked++;
      }
    }
  }
  assert.deepEqual(surprises, []);
  assert.equal(asked, USERS.length * ROWS.length * 4);
});

test("every key of docs/WIRE.md is in the table", () => {
  const page = readFileSync(new URL("../../docs/WIRE.md", import.meta.url), "utf8");
  const section = page.slice(page.indexOf("## Keys"), page.indexOf("## Users"));
  const keys = [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, key = ""]) => key);
  assert(keys.length >= 25, `only ${keys.length} keys`);
  const missing = keys.filter((key) => {
    // Up to what differs from key to key.
    const [fixed = ""] = key.replace("<own>", "osaka").split("<");
    return !ROWS.some((one) => one.key.startsWith(fixed));
  });
  assert.deepEqual(missing, []);
});

test("who is nobody here may nothing: another cluster's programs, the etcd's own certificate, and no certificate at all", async () => {
  for (const name of ["exporter-virginia", "remote-virginia", "etcd-osaka"]) {
    await assert.rejects(clientOf(name).range({ key: "cilium/.heartbeat" }), (error: unknown) => {
      assert(error instanceof KvError, String(error));
      assert(["denied", "unauthenticated", "invalid"].includes(error.code), `${name}: ${error.code} ${error.message}`);
      return true;
    });
  }
  const plain = etcd.connect();
  await assert.rejects(plain.range({ key: "cilium/.heartbeat" }), { code: "unauthenticated" });
  plain.close();
});

test("a second time nothing is left to do; what is beyond is told, and taken away only when that is asked for", async () => {
  const again = await giveRights(root, RIGHTS, DO_IT);
  assert.deepEqual([again.done, again.beyond], [["auth is on"], []]);
  await root.grant("agent", { right: "readwrite", key: "elsewhere/", rangeEnd: prefixEnd("elsewhere/") });
  await root.addUser("remote-virginia");
  await root.giveRole("remote-virginia", "remote");
  const told = await giveRights(root, RIGHTS, DO_IT);
  assert.deepEqual(told.beyond, ["role agent may also readwrite elsewhere/*", "user remote-virginia is no peer here"]);
  assert.equal(await allowed(clientOf("agent-osaka").range({ key: "elsewhere/x" })), true);
  const dry = await giveRights(root, RIGHTS, { dryRun: true, exact: true });
  const taken = ["role agent: no more readwrite elsewhere/*", "no more user remote-virginia"];
  assert.deepEqual(dry.done, [...taken, "auth is on"]);
  assert.equal(await allowed(clientOf("agent-osaka").range({ key: "elsewhere/x" })), true, "a dry run changes nothing");
  const exact = await giveRights(root, RIGHTS, { dryRun: false, exact: true });
  assert.deepEqual([exact.done, exact.beyond], [[...taken, "auth is on"], []]);
  assert.equal(await allowed(clientOf("agent-osaka").range({ key: "elsewhere/x" })), false);
  assert(!(await root.users()).includes("remote-virginia"));
});

test("a running etcd admits another peer, and its mirror may write that peer's state", async () => {
  const key = "cilium/cluster-config/virginia";
  assert.equal(await allowed(put(clientOf("mirror-osaka"), key)), false);
  const more = rightsOf({ cluster: "osaka", peers: ["amsterdam", "virginia"], cilium: true });
  const { done } = await giveRights(root, more, DO_IT);
  assert.deepEqual(done, [
    "role mirror: readwrite cilium/synced/virginia/*",
    "role mirror: readwrite cilium/cluster-config/virginia",
    "user remote-virginia, without password",
    "user remote-virginia: role remote",
    "auth is on",
  ]);
  assert.equal(await allowed(put(clientOf("mirror-osaka"), key)), true);
});

test("drilld's right is enough for what drills ask of an etcd, and another cluster's drilld has none", async () => {
  const gateway = new FileGateway(systemDisk);
  const fileOf = (name: string): string => {
    credentials(name);
    const file = join(folder, `${name}.yaml`);
    const { cert = "", key = "" } = issued.get(name) ?? {};
    const config = { endpoints: [secure], hostAliases: [], caFile: authority.ca, certFile: cert, keyFile: key };
    writeFileSync(file, encodeEtcdConfig(config));
    return file;
  };
  const own = fileOf("drilld-osaka");
  assert.equal(await gateway.hasKey(own, MARKER_KEY), false);
  await put(clientOf("root"), MARKER_KEY);
  assert.equal(await gateway.hasKey(own, MARKER_KEY), true);
  const write = () => put(clientOf("exporter-osaka"), "cilium/.heartbeat");
  await gateway.noSpace(own, true);
  await assert.rejects(write(), { code: "no-space" });
  await gateway.noSpace(own, false);
  await write();
  const stranger = fileOf("drilld-virginia");
  await assert.rejects(gateway.hasKey(stranger, MARKER_KEY), /^Error: etcd of .*drilld-virginia\.yaml: /);
});

test("the users that programs have are not root's: none may read or change users and roles", async () => {
  for (const name of USERS) {
    const admin = connectAdmin({ endpoints: [secure], ...credentials(name), ...TIMES });
    await assert.rejects(admin.addUser("intruder"), { code: "denied" }, name);
    admin.close();
  }
});
