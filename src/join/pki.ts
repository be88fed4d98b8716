/**
 * The folder of a mesh's certificates: `authority/` signs, and beside it a folder a cluster, with what its programs need. Where a rotation of the
 * authority stands is told by the files in `authority/`: `next` is trusted and signs nothing yet, `old` is trusted and signs no more.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { join } from "node:path";
import { checkPair, endOf, readPem, signsItself } from "../access/pem.ts";
import { DiskError, type FolderDisk } from "../disk/door.ts";
import { clusterNameFault } from "../model/cluster.ts";
import type { Clock } from "../runtime/clock.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { type EtcdConfig, encodeEtcdConfig, type HostAlias, parseEtcdConfig } from "../wire/etcd-config.ts";
import type { KeyPair, MakeCertificate } from "./x509.ts";

export const DEFAULT_ROLES = ["etcd", "exporter", "mirror", "agent", "remote"] as const;
/** `root` makes users and roles: for an hour, not for programs. */
export const ROLES = [...DEFAULT_ROLES, "dns", "drilld", "root"] as const;
export type CertificateRole = (typeof ROLES)[number];

const ROTATION_STEPS = ["trust", "switch", "retire", "renew"] as const;
export type RotationStep = (typeof ROTATION_STEPS)[number];
export const rotationSteps: readonly string[] = ROTATION_STEPS;

export interface PkiDoors {
  readonly disk: FolderDisk;
  readonly clock: Clock;
  readonly make: MakeCertificate;
}

export interface IssueOptions {
  readonly cluster: string;
  readonly roles: readonly CertificateRole[];
  readonly lifetimeMs: number;
  /** `https://host:port`, where programs of this and of other clusters reach its etcd; absent: as they were. */
  readonly endpoints?: readonly string[];
  /** Addresses of these hosts where DNS does not know them. */
  readonly hostAliases?: readonly HostAlias[];
  /** More names of the etcd's certificate: hosts or addresses. */
  readonly names?: readonly string[];
  /** Where the cluster's folder will be for those who read its files; absent: where it is. */
  readonly at?: string;
}

export interface ShownCertificate {
  readonly file: string;
  readonly subject: string;
  /** As OpenSSL writes them, such as `DNS:osaka.mesh, IP Address:10.0.0.2`. */
  readonly names: string;
  readonly issuer: string;
  /** RFC 3339. */
  readonly until: string;
  readonly leftMs: number;
}

const AUTHORITY = "authority";
export const BUNDLE = "ca.crt";
/** How to reach the etcd, without certificates. */
export const ETCD_FILE = "etcd.yaml";
/** Clocks differ. */
const BACKDATED_MS = 5 * 60_000;
const CA_EXTENSIONS = [
  "basicConstraints=critical,CA:TRUE",
  "keyUsage=critical,keyCertSign,cRLSign",
  "subjectKeyIdentifier=hash",
];
const LEAF_EXTENSIONS = [
  "basicConstraints=critical,CA:FALSE",
  "keyUsage=critical,digitalSignature",
  "authorityKeyIdentifier=keyid",
];
/** Programs that ask the etcd of their own cluster, with a client file each. */
const PROGRAMS: ReadonlySet<CertificateRole> = new Set(["exporter", "mirror", "agent", "dns", "drilld", "root"]);

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytesOf = (given: string): Uint8Array => new TextEncoder().encode(given);

/** Of a certificate. @throws UserError */
function sanOf(host: string): string {
  if (isIP(host)) return `IP:${host}`;
  if (/^[A-Za-z0-9*._-]+$/.test(host)) return `DNS:${host}`;
  throw new UserError(`--name ${JSON.stringify(host)}: must be a host name or an address`);
}

export class MeshPki {
  readonly #doors: PkiDoors;
  readonly #folder: string;

  constructor(doors: PkiDoors, folder: string) {
    this.#doors = doors;
    this.#folder = folder;
  }

  #at(...names: readonly string[]): string {
    return join(this.#folder, ...names);
  }

  async #read(path: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#doors.disk.readBytes(path);
    } catch (error) {
      if (error instanceof DiskError && error.code === "absent") return undefined;
      throw new UserError(messageOf(error));
    }
  }

  /** @param name `ca`, `next` or `old`. */
  async #certificate(name: string): Promise<Uint8Array | undefined> {
    return await this.#read(this.#at(AUTHORITY, `${name}.crt`));
  }

  async #pair(name: string): Promise<KeyPair | undefined> {
    const [cert, key] = [await this.#certificate(name), await this.#read(this.#at(AUTHORITY, `${name}.key`))];
    return cert && key && { cert, key };
  }

  /** The key first: a certificate whose key is missing would be of no use. */
  async #keep(name: string, { cert, key }: KeyPair): Promise<void> {
    await this.#doors.disk.writeAtomic(this.#at(AUTHORITY, `${name}.key`), key);
    await this.#doors.disk.writeAtomic(this.#at(AUTHORITY, `${name}.crt`), cert);
  }

  /** Makes the authority, or takes the one that is given. */
  async init(given: KeyPair | undefined, lifetimeMs: number): Promise<void> {
    if (await this.#pair("ca"))
      throw new UserError(`${this.#at(AUTHORITY)} has an authority; \`pki rotate\` replaces it`);
    await this.#doors.disk.mkdir(this.#at(AUTHORITY));
    await this.#keep("ca", given ? this.#checked(given) : await this.#newAuthority(lifetimeMs));
  }

  #checked(given: KeyPair): KeyPair {
    const chain = readPem("--ca-cert", given.cert);
    const [certificate] = chain;
    if (!certificate.ca) throw new UserError("the authority's certificate may not sign others: give one with CA:TRUE");
    checkPair("the authority", certificate, given.key);
    // Who trusts one that another signed needs that one too.
    if (chain.some(signsItself)) return given;
    const above = oneLine(chain.at(-1)?.issuer ?? "");
    throw new UserError(`--ca-cert is signed by ${above}: put that certificate behind it, and so on up to the root`);
  }

  #newAuthority(lifetimeMs: number): Promise<KeyPair> {
    const nowMs = this.#doors.clock.wallMs();
    // A name of its own, so that two in one bundle are told apart.
    const commonName = `bulkhead mesh CA ${new Date(nowMs).toISOString()}`;
    const dates = { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + lifetimeMs };
    return this.#doors.make({ commonName, extensions: CA_EXTENSIONS, ...dates });
  }

  async #signer(): Promise<KeyPair> {
    const pair = await this.#pair("ca");
    if (pair) return pair;
    throw new UserError(`${this.#folder} has no authority: \`bulkhead pki init ${this.#folder}\` makes one`);
  }

  /** Everything that is trusted now, who signs first. */
  async #bundle(): Promise<Uint8Array> {
    const parts = [await this.#certificate("ca"), await this.#certificate("next"), await this.#certificate("old")];
    const pems = parts.flatMap((part) => (part ? [`${text(part).trim()}\n`] : []));
    return bytesOf([...new Set(pems)].join(""));
  }

  async clusters(): Promise<readonly string[]> {
    const folders = await this.#doors.disk.folders(this.#folder);
    return folders.filter((name) => name !== AUTHORITY && clusterNameFault(name) === undefined);
  }

  /** Makes or renews certificates of a cluster; returns the files written. */
  async issue(options: IssueOptions): Promise<readonly string[]> {
    const { cluster, roles, lifetimeMs, at } = options;
    const fault = clusterNameFault(cluster);
    if (fault !== undefined || cluster === AUTHORITY) {
      throw new UserError(`${cluster}: a cluster's name ${fault ?? `must not be '${AUTHORITY}' here`}`);
    }
    const signer = await this.#signer();
    const etcd = await this.#etcd(options);
    await this.#doors.disk.mkdir(this.#at(cluster));
    const written = [await this.#write(cluster, BUNDLE, await this.#bundle())];
    const folder = at ?? this.#at(cluster);
    if (options.endpoints) written.push(await this.#write(cluster, ETCD_FILE, bytesOf(encodeEtcdConfig(etcd))));
    for (const role of roles) {
      const hosts = etcd.endpoints.map((endpoint) => new URL(endpoint).hostname.replace(/^\[|\]$/g, ""));
      const addresses = etcd.hostAliases.flatMap(({ ips }) => ips);
      const names = [...hosts, ...addresses, ...(options.names ?? []), "localhost", "127.0.0.1", "::1"];
      const sans = [...new Set(names)].map(sanOf).join(",");
      await this.#issueOne(signer, cluster, role, sans, lifetimeMs);
      written.push(this.#at(cluster, `${role}.crt`), this.#at(cluster, `${role}.key`));
      if (PROGRAMS.has(role)) written.push(await this.#writeClientFile(cluster, role, etcd, folder));
    }
    return written;
  }

  async #write(cluster: string, name: string, content: Uint8Array): Promise<string> {
    const path = this.#at(cluster, name);
    await this.#doors.disk.writeAtomic(path, content);
    return path;
  }

  async #etcd({ cluster, endpoints, hostAliases = [] }: IssueOptions): Promise<EtcdConfig> {
    const path = this.#at(cluster, ETCD_FILE);
    const given = endpoints && encodeEtcdConfig({ endpoints, hostAliases });
    const known = given ?? (await this.#read(path).then((bytes) => bytes && text(bytes)));
    if (known === undefined) {
      throw new UserError(
        `--endpoint is missing: say where the etcd of ${cluster} is, such as https://${cluster}:2379`,
      );
    }
    const judged = parseEtcdConfig(endpoints ? "--endpoint, --address" : path, known);
    if (judged.ok) return judged.value;
    throw new UserError(judged.rejection.detail);
  }

  async #issueOne(
    signer: KeyPair,
    cluster: string,
    role: CertificateRole,
    sans: string,
    lifetimeMs: number,
  ): Promise<void> {
    const nowMs = this.#doors.clock.wallMs();
    const isServer = role === "etcd";
    const commonName = role === "root" ? "root" : `${role}-${cluster}`;
    // The etcd asks itself, too.
    const usage = isServer ? "serverAuth,clientAuth" : "clientAuth";
    const names = isServer ? sans : `DNS:${commonName}`;
    const extensions = [...LEAF_EXTENSIONS, `extendedKeyUsage=${usage}`, `subjectAltName=${names}`];
    // What outlives who signed it holds no longer than that.
    const untilMs = Math.min(nowMs + lifetimeMs, endOf(signer.cert));
    const made = await this.#doors.make({
      commonName,
      extensions,
      fromMs: nowMs - BACKDATED_MS,
      untilMs,
      issuer: signer,
    });
    await this.#place(cluster, role, made);
  }

  /** One after the other at once: whoever reads both meanwhile finds that they do not fit, and tries again. */
  async #place(cluster: string, role: string, { cert, key }: KeyPair): Promise<void> {
    await this.#write(cluster, `${role}.key`, key);
    await this.#write(cluster, `${role}.crt`, cert);
  }

  #writeClientFile(cluster: string, role: string, etcd: EtcdConfig, folder: string): Promise<string> {
    const file = (name: string): string => join(folder, name);
    const files = { caFile: file(BUNDLE), certFile: file(`${role}.crt`), keyFile: file(`${role}.key`) };
    return this.#write(cluster, `${role}.yaml`, bytesOf(encodeEtcdConfig({ ...etcd, ...files })));
  }

  /** What is there, the authority first. */
  async show(): Promise<readonly ShownCertificate[]> {
    await this.#signer();
    const folders = [AUTHORITY, ...(await this.clusters())];
    const nowMs = this.#doors.clock.wallMs();
    const shown: ShownCertificate[] = [];
    for (const folder of folders) {
      const { files } = await this.#doors.disk.list(this.#at(folder));
      // A bundle holds what the authority's folder shows.
      const certificates = files.filter(
        ({ name }) => name.endsWith(".crt") && (folder === AUTHORITY || name !== BUNDLE),
      );
      for (const { name, bytes } of certificates) {
        shown.push(describe(`${folder}/${name}`, readPem(this.#at(folder, name), bytes)[0], nowMs));
      }
    }
    return shown;
  }

  /** One step of a rotation; returns the clusters whose files are others now. */
  async rotate(
    step: RotationStep,
    lifetimeMs: number,
    authorityMs: number,
    given?: KeyPair,
  ): Promise<readonly string[]> {
    await this.#signer();
    const [next, old] = [await this.#pair("next"), await this.#certificate("old")];
    if (given && step !== "trust") throw new UserError("--ca-cert is for the step `trust` alone");
    if (step === "trust") {
      if (next) throw new UserError("a next authority is trusted already: when every program has it, `rotate switch`");
      if (old) throw new UserError("the old authority is still trusted: `rotate retire` first");
      await this.#keep("next", given ? this.#checked(given) : await this.#newAuthority(authorityMs));
    } else if (step === "switch") {
      if (!next)
        throw new UserError("there is no next authority: `rotate trust` first, and give its bundles to everybody");
      await this.#switchTo(next, old !== undefined);
    } else if (step === "retire") {
      if (!old || next)
        throw new UserError("no old authority is trusted that could be retired: `rotate switch` comes first");
      await this.#refuseSignedBy(old);
      await this.#doors.disk.unlink(this.#at(AUTHORITY, "old.crt"));
    }
    const clusters = await this.clusters();
    for (const cluster of clusters) {
      await this.#write(cluster, BUNDLE, await this.#bundle());
      if (step === "switch" || step === "renew") await this.#renew(cluster, lifetimeMs);
    }
    if (step === "switch") await this.#forgetNext();
    return clusters;
  }

  /** Interrupted, the same step goes on: `old` is written once, and `next` goes last. */
  async #switchTo(next: KeyPair, oldIsKept: boolean): Promise<void> {
    if (!oldIsKept) {
      const { cert } = await this.#signer();
      await this.#doors.disk.writeAtomic(this.#at(AUTHORITY, "old.crt"), cert);
    }
    await this.#keep("ca", next);
  }

  async #forgetNext(): Promise<void> {
    for (const file of ["next.key", "next.crt"]) await this.#doors.disk.unlink(this.#at(AUTHORITY, file));
  }

  async #leaves(cluster: string): Promise<ReadonlyMap<CertificateRole, X509Certificate>> {
    const leaves = new Map<CertificateRole, X509Certificate>();
    for (const role of ROLES) {
      const path = this.#at(cluster, `${role}.crt`);
      const pem = await this.#read(path);
      if (pem) leaves.set(role, readPem(path, pem)[0]);
    }
    return leaves;
  }

  /** A certificate of root is not renewed: it is made for an hour. */
  async #renew(cluster: string, lifetimeMs: number): Promise<void> {
    const signer = await this.#signer();
    for (const [role, leaf] of await this.#leaves(cluster)) {
      if (role === "root") continue;
      const sans = (leaf.subjectAltName ?? "").replaceAll("IP Address:", "IP:").replaceAll(" ", "");
      await this.#issueOne(signer, cluster, role, sans, lifetimeMs);
    }
  }

  async #refuseSignedBy(old: Uint8Array): Promise<void> {
    const authority = new X509Certificate(Buffer.from(old));
    for (const cluster of await this.clusters()) {
      for (const [role, leaf] of await this.#leaves(cluster)) {
        if (role === "root" || !leaf.checkIssued(authority)) continue;
        throw new UserError(`${cluster}/${role}.crt is signed by the old authority: \`rotate renew\` first`);
      }
    }
  }
}

const oneLine = (name: string): string => name.replaceAll("\n", ", ");

function describe(file: string, leaf: X509Certificate, nowMs: number): ShownCertificate {
  const untilMs = Date.parse(leaf.validTo);
  return {
    file,
    subject: oneLine(leaf.subject),
    names: leaf.subjectAltName ?? "",
    issuer: oneLine(leaf.issuer),
    until: new Date(untilMs).toISOString(),
    leftMs: untilMs - nowMs,
  };
}

/** The files of one certificate and its key, of an authority for example. */
export async function readPair(disk: FolderDisk, certFile: string, keyFile: string): Promise<KeyPair> {
  try {
    return { cert: await disk.readBytes(certFile), key: await disk.readBytes(keyFile) };
  } catch (error) {
    throw new UserError(messageOf(error));
  }
}
