/** Real etcds and certificates for the tests of troubleshoot: one etcd in the open, one with TLS, client certificates and users. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemDisk } from "../../src/disk/system.ts";
import type { KvClient } from "../../src/kv/client.ts";
import { connectEtcd } from "../../src/kv/etcd.ts";
import { troubleshootText } from "../../src/report/troubleshoot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { type TroubleshootOptions, troubleshoot } from "../../src/troubleshoot/troubleshoot.ts";
import { encodeClusterConfig } from "../../src/wire/cluster-config.ts";
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY } from "../../src/wire/keys.ts";
import { RESOURCES } from "../../src/wire/resources.ts";
import { type Authority, type Issued, issue, makeAuthority } from "../support/certificates.ts";
import { TestEtcd } from "../support/etcd.ts";

const CONFIG = {
  id: 2,
  syncedCanaries: true,
  cached: false,
  maxConnectedClusters: 255,
  serviceExportsEnabled: false,
  endpointSlicesExportMode: "",
};

export const put = (key: string, value: Uint8Array | string) => ({ put: { key, value: Buffer.from(value) } });

/** What an exporter of `cluster` would have written. */
export async function fill(kv: KvClient, cluster: string, id: number): Promise<void> {
  const offered = RESOURCES.filter(({ offers }) => offers(CONFIG));
  const canaries = offered.map(({ stateCanary }) => put(canaryKey(cluster, stateCanary), "t"));
  const config = put(clusterConfigKey(cluster), encodeClusterConfig({ ...CONFIG, id }));
  await kv.txn({ operations: [put(HEARTBEAT_KEY, "2026-11-27T12:00:00Z"), config, ...canaries] });
}

export const at = (endpoint: string, more = ""): string => `endpoints:\n- ${endpoint}\n${more}`;
export const tls = (ca: string, { cert, key }: Issued): string =>
  `trusted-ca-file: ${ca}\ncert-file: ${cert}\nkey-file: ${key}\n`;

export class Stage {
  readonly folder: string;
  readonly authority: Authority;
  /** Of the secure etcd: the user that Cilium's role is granted to, one that may read the heartbeat only, one that is none. */
  readonly remote: Issued;
  readonly narrow: Issued;
  readonly nobody: Issued;
  readonly plain: TestEtcd;
  readonly secure: TestEtcd;

  private constructor(folder: string, authority: Authority, plain: TestEtcd, secure: TestEtcd) {
    this.folder = folder;
    this.authority = authority;
    this.plain = plain;
    this.secure = secure;
    this.remote = issue(authority, "remote", "DNS:remote");
    this.narrow = issue(authority, "narrow", "DNS:narrow");
    this.nobody = issue(authority, "nobody", "DNS:nobody");
  }

  /** Both etcds are those of osaka, of id 2. */
  static async start(): Promise<Stage> {
    const folder = mkdtempSync(join(tmpdir(), "bulkhead-troubleshoot-"));
    const authority = makeAuthority(folder, "authority");
    const server = issue(authority, "server", "DNS:osaka.mesh,IP:127.0.0.1");
    const stage = new Stage(folder, authority, await TestEtcd.start(), await startTls(authority, server));
    const kv = stage.plain.connect();
    await fill(kv, "osaka", 2);
    kv.close();
    await stage.#grant();
    return stage;
  }

  /** Another server with TLS. The caller ends it. */
  startTls(server: Issued): Promise<TestEtcd> {
    return startTls(this.authority, server);
  }

  /** The secure etcd's content, and users by the common names of certificates, as Cilium's etcdinit makes them. */
  async #grant(): Promise<void> {
    const root = issue(this.authority, "root", "DNS:root");
    const who = [`--cacert=${this.authority.ca}`, `--cert=${root.cert}`, `--key=${root.key}`];
    const run = (...args: readonly string[]): void => {
      execFileSync("etcdctl", [`--endpoints=${this.secure.endpoint}`, ...who, ...args], {
        stdio: ["ignore", "ignore", "pipe"],
      });
    };
    const kv = this.secure.connect({
      ca: readFileSync(this.authority.ca),
      cert: readFileSync(root.cert),
      key: readFileSync(root.key),
    });
    await fill(kv, "osaka", 2);
    kv.close();
    const ranges = ["cilium/.heartbeat", "cilium/state/", "cilium/cluster-config/", "cilium/synced/osaka/"];
    for (const user of ["root", "remote", "narrow"]) run("user", "add", user, "--no-password");
    for (const role of ["root", "remote", "narrow"]) run("role", "add", role);
    for (const range of ranges) run("role", "grant-permission", "remote", "--prefix=true", "read", range);
    run("role", "grant-permission", "narrow", "--prefix=true", "read", HEARTBEAT_KEY);
    for (const user of ["root", "remote", "narrow"]) run("user", "grant-role", user, user);
    run("auth", "enable");
  }

  /** Its path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** The report on `files`: names and texts of a directory. @param local path of the local etcd's file. */
  async report(
    files: Readonly<Record<string, string>>,
    more: Partial<TroubleshootOptions> = {},
    local?: string,
  ): Promise<string> {
    const remotes = new Map(Object.entries(files).map(([name, text]) => [name, this.write(name, text)]));
    const doors = { disk: systemDisk, connect: connectEtcd, clock: systemClock, timeoutMs: 5_000 };
    const places = { remotes, ...(local !== undefined && { local }) };
    return troubleshootText(await troubleshoot(places, { ...doors, own: { name: "amsterdam", id: 1 }, ...more }));
  }

  async end(): Promise<void> {
    await this.plain.end();
    await this.secure.end();
    rmSync(this.folder, { recursive: true });
  }
}

function startTls(authority: Authority, server: Issued): Promise<TestEtcd> {
  const files = [`--cert-file=${server.cert}`, `--key-file=${server.key}`, `--trusted-ca-file=${authority.ca}`];
  return TestEtcd.start({ scheme: "https", flags: [...files, "--client-cert-auth"] });
}
