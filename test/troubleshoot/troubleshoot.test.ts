/** Each thing that can be wrong on the way to a remote, with real etcds and real certificates: the step that fails, and its mend. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemDisk } from "../../src/disk/system.ts";
import { connectEtcd } from "../../src/kv/etcd.ts";
import { troubleshootText } from "../../src/report/troubleshoot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { troubleshoot } from "../../src/troubleshoot/troubleshoot.ts";
import { encodeClusterConfig } from "../../src/wire/cluster-config.ts";
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY } from "../../src/wire/keys.ts";
import { RESOURCES } from "../../src/wire/resources.ts";
import { bulkhead } from "../programs/cli/command.ts";
import { type Authority, type Issued, issue, makeAuthority } from "../support/certificates.ts";
import { TestEtcd } from "../support/etcd.ts";
import { freePort } from "../support/free-port.ts";

const CONFIG = {
  id: 2,
  syncedCanaries: true,
  cached: false,
  maxConnectedClusters: 255,
  serviceExportsEnabled: false,
  endpointSlicesExportMode: "",
};

let folder: string;
let plain: TestEtcd;
let secure: TestEtcd;
let authority: Authority;
let stranger: Authority;
let client: Issued;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-troubleshoot-"));
  authority = makeAuthority(folder, "authority");
  stranger = makeAuthority(folder, "stranger");
  const server = issue(authority, "server", "DNS:osaka.mesh,IP:127.0.0.1");
  client = issue(authority, "remote", "DNS:remote");
  plain = await TestEtcd.start();
  secure = await TestEtcd.start({
    scheme: "https",
    flags: [
      `--cert-file=${server.cert}`,
      `--key-file=${server.key}`,
      `--trusted-ca-file=${authority.ca}`,
      "--client-cert-auth",
    ],
  });
  const kv = plain.connect();
  const put = (key: string, value: Uint8Array | string) => ({ put: { key, value: Buffer.from(value) } });
  const canaries = RESOURCES.filter(({ offers }) => offers(CONFIG)).map(({ stateCanary }) =>
    put(canaryKey("osaka", stateCanary), "t"),
  );
  await kv.txn({
    operations: [put(HEARTBEAT_KEY, "t"), put(clusterConfigKey("osaka"), encodeClusterConfig(CONFIG)), ...canaries],
  });
  kv.close();
});
after(async () => {
  await plain.end();
  await secure.end();
  rmSync(folder, { recursive: true });
});

async function look(name: string, file: string, own = { name: "amsterdam", id: 1 }): Promise<string> {
  const path = join(folder, name);
  writeFileSync(path, file);
  const options = { disk: systemDisk, connect: connectEtcd, clock: systemClock, timeoutMs: 2_000, own };
  return troubleshootText([await troubleshoot(name, path, name, new Map(), options)]);
}

const at = (endpoint: string, more = ""): string => `endpoints:\n- ${endpoint}\n${more}`;
const tls = (ca: string, { cert, key }: Issued): string =>
  `trusted-ca-file: ${ca}\ncert-file: ${cert}\nkey-file: ${key}\n`;

test("all is well: every step says what it saw", async () => {
  const text = await look("osaka", at(plain.endpoint));
  assert.doesNotMatch(text, /FAILED|not run/);
  assert.match(text, /ok +TCP 127\.0\.0\.1:\d+: connected/);
  assert.match(text, /note +etcd: version 3\./);
  assert.match(text, /ok +read: allowed, etcd cluster [0-9a-f]+, revision \d+/);
  assert.match(text, /ok +cluster config: id 2/);
  assert.match(text, /ok +canaries: all there: nodes, identities, ip, services/);
});

test("with TLS: certificates with names and days, protocol, cipher; an alias stands for a name", async () => {
  const port = new URL(secure.endpoint).port;
  const alias = "cilium-host-aliases:\n- hostname: osaka.mesh\n  ips: [127.0.0.1]\n";
  const text = await look("osaka", at(`https://osaka.mesh:${port}`, tls(authority.ca, client) + alias));
  assert.match(text, /ok +authority .*CN=authority.*valid until .*\(29 days\)/);
  assert.match(text, /ok +client certificate .*CN=remote/);
  assert.match(text, /note +name osaka\.mesh: 127\.0\.0\.1 by cilium-host-aliases/);
  assert.match(
    text,
    /ok +TLS 127\.0\.0\.1:\d+: TLSv1\.3, TLS_AES.*server server; DNS:osaka\.mesh, IP Address:127\.0\.0\.1, valid until/,
  );
  assert.match(text, /ok +read: allowed/);
  assert.match(
    text,
    /FAILED +cluster config: there is no cilium\/cluster-config\/osaka\n +mend: is osaka its name .*exporter running/,
  );
});

const FAULTS: readonly (readonly [string, () => string | Promise<string>, RegExp])[] = [
  [
    "a file that is no YAML of that kind",
    () => "endpoints: 7\n",
    /FAILED +file .*endpoints.*\n +mend: write it as etcd client YAML[\s\S]*not run +certificates, connection, etcd/,
  ],
  [
    "a certificate that is not there",
    () => at(secure.endpoint, tls(join(folder, "none.crt"), client)),
    /FAILED +authority .*none\.crt[\s\S]*not run +connection, etcd/,
  ],
  [
    "a file that is no certificate",
    () => at(secure.endpoint, tls(client.key, client)),
    /FAILED +authority .*is no certificate[\s\S]*mend: put a certificate in PEM there/,
  ],
  [
    "a key of another certificate",
    () => at(secure.endpoint, tls(authority.ca, { ...client, key: stranger.caKey })),
    /FAILED +client certificate .*is not the key of/,
  ],
  [
    "an expired client certificate",
    () => at(secure.endpoint, tls(authority.ca, issue(authority, "old", "DNS:old", -1))),
    /FAILED +client certificate .*: expired on .*\n +mend: issue a new certificate/,
  ],
  [
    "a foreign authority",
    () => at(secure.endpoint, tls(stranger.ca, client)),
    /FAILED +TLS .*(UNABLE|SELF_SIGNED|unable)[\s\S]*mend: trusted-ca-file must be the authority/,
  ],
  [
    "a name that the server does not have",
    () => at(secure.endpoint.replace("127.0.0.1", "localhost"), tls(authority.ca, client)),
    /FAILED +TLS .*ALTNAME.*\n +mend: the server's certificate must name localhost/,
  ],
  [
    "no client certificate where one is wanted",
    () => at(secure.endpoint, `trusted-ca-file: ${authority.ca}\n`),
    /FAILED +TLS .*(?:bad certificate|certificate required)\n +mend: does the server want a client certificate/,
  ],
  [
    "nobody there",
    async () => at(`http://127.0.0.1:${await freePort()}`),
    /FAILED +TCP .*ECONNREFUSED.*\n +mend: is etcd running there[\s\S]*not run +etcd: no endpoint can be reached/,
  ],
  [
    "a name that nobody knows",
    () => at("http://no-such-host.invalid:2379"),
    /FAILED +name no-such-host\.invalid: .*\n +mend: does the name exist/,
  ],
];

for (const [what, file, expected] of FAULTS) {
  test(`${what}: the step that fails, and its mend`, async () => {
    assert.match(await look("osaka", await file()), expected);
  });
}

test("something that is no etcd", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const text = await look("osaka", at(`http://127.0.0.1:${port}`));
  server.close();
  assert.match(
    text,
    /ok +TCP[\s\S]*FAILED +read: .*\n +mend: is it an etcd[\s\S]*not run +heartbeat, cluster config, canaries/,
  );
});

test("a wrong cluster name, an id that is ours, a canary that is missing", async () => {
  assert.match(
    await look("oslo", at(plain.endpoint)),
    /FAILED +cluster config: there is no cilium\/cluster-config\/oslo/,
  );
  const ours = await look("osaka", at(plain.endpoint), { name: "amsterdam", id: 2 });
  assert.match(
    ours,
    /FAILED +cluster config: id 2 is that of amsterdam too\n +mend: give one of the two clusters another id/,
  );
  const kv = plain.connect();
  const key = canaryKey("osaka", "cilium/state/ip/v1");
  await kv.txn({ operations: [{ delete: { key } }] });
  assert.match(
    await look("osaka", at(plain.endpoint)),
    /FAILED +canaries: missing: ip\n +mend: its exporter has not written everything/,
  );
  await kv.txn({ operations: [{ put: { key, value: new Uint8Array() } }] });
  kv.close();
});

test("a user who may not read: denied is told apart from down", async () => {
  const guarded = await TestEtcd.start();
  try {
    const root = { name: "root", password: "root" };
    await guarded.post("auth/user/add", root);
    await guarded.post("auth/role/add", { name: "root" });
    await guarded.post("auth/user/grant", { user: "root", role: "root" });
    await guarded.post("auth/enable", {});
    assert.match(await look("osaka", at(guarded.endpoint)), /FAILED +read: .*\n +mend: the etcd asks who we are/);
  } finally {
    await guarded.end();
  }
});

test("the command: exit codes 0, 1 and 2, and JSON", async () => {
  const directory = mkdtempSync(join(tmpdir(), "bulkhead-troubleshoot-dir-"));
  try {
    writeFileSync(join(directory, "osaka"), at(plain.endpoint));
    const good = await bulkhead("troubleshoot", "--config-dir", directory);
    assert.equal(good.code, 0, good.out);
    const json = await bulkhead("troubleshoot", "--config-dir", directory, "--json");
    assert.equal(JSON.parse(json.out)[0].remote, "osaka");
    writeFileSync(join(directory, "oslo"), at(`http://127.0.0.1:${await freePort()}`));
    assert.equal((await bulkhead("troubleshoot", "--config-dir", directory)).code, 1);
    assert.equal((await bulkhead("troubleshoot", "osaka", "--config-dir", directory)).code, 0);
    for (const wrong of [
      ["paris", "--config-dir", directory],
      ["--config-dir", join(directory, "none")],
    ]) {
      const { code, err } = await bulkhead("troubleshoot", ...wrong);
      assert.equal(code, 2);
      assert.match(err, /^bulkhead: [^\n]+\n$/);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
