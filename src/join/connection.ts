/**
 * What joins two clusters: in each one's folder of remotes a file that says how to reach the other's etcd, and the certificates for it, named as Cilium
 * names those of a single peer. All of it is known before the first file is written, and undone when one cannot be.
 */
import { basename, join } from "node:path";
import { chains, checkPair, readPem } from "../access/pem.ts";
import { tombstoneOf } from "../access/remote-files.ts";
import { type Disk, DiskError, type FolderDisk } from "../disk/door.ts";
import { clusterNameFault } from "../model/cluster.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { encodeEtcdConfig, parseEtcdConfig } from "../wire/etcd-config.ts";
import { BUNDLE, ETCD_FILE } from "./pki.ts";

/** A cluster as its folder of certificates has it. */
export interface Side {
  readonly name: string;
  /** How others reach its etcd: text of an etcd client file without certificates. */
  readonly etcd: string;
  /** Who signs its etcd's certificate and, there, those of clients. */
  readonly ca: Uint8Array;
  /** What it shows to the etcds of others. */
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
}

/** Undefined: removed. */
export interface Change {
  readonly path: string;
  readonly bytes: Uint8Array | undefined;
}

export interface Link {
  /** Folder of the files of remotes. */
  readonly folder: string;
  /** The same, as the mirror sees it. */
  readonly at: string;
  /** Where the other's addresses lie; absent: wherever it says. */
  readonly allowedCidrs?: readonly string[];
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Names a side by its folder, without reading it. @throws UserError */
export function nameOf(folder: string): string {
  const name = basename(folder);
  const fault = clusterNameFault(name);
  if (fault !== undefined)
    throw new UserError(`${folder}: the folder must be named as the cluster, whose name ${fault}`);
  return name;
}

async function read(disk: Disk, path: string): Promise<Uint8Array> {
  try {
    return await disk.readBytes(path);
  } catch (error) {
    throw new UserError(`${messageOf(error)}: \`bulkhead pki issue\` makes it, or put it there`);
  }
}

/** Rejects with a UserError. */
export async function readSide(disk: Disk, folder: string): Promise<Side> {
  const name = nameOf(folder);
  const at = (file: string): string => join(folder, file);
  // One after the other: of several that are missing it is always the same one that is named.
  const files: Uint8Array[] = [];
  for (const file of [ETCD_FILE, BUNDLE, "remote.crt", "remote.key"]) files.push(await read(disk, at(file)));
  const [etcd, ca, cert, key] = files;
  if (!etcd || !ca || !cert || !key) throw new UserError(`${folder} is not complete`);
  readPem(at(BUNDLE), ca);
  checkPair(at("remote.crt"), readPem(at("remote.crt"), cert)[0], key);
  const text = new TextDecoder().decode(etcd);
  const judged = parseEtcdConfig(at(ETCD_FILE), text);
  if (!judged.ok) throw new UserError(judged.rejection.detail);
  return { name, etcd: text, ca, cert, key };
}

/** The other's etcd trusts who signed our certificate. Undefined, or one line. */
export function trustFault(from: Side, to: Side): string | undefined {
  const chain = readPem("remote.crt", from.cert);
  const trusted = readPem(BUNDLE, to.ca);
  if (chains(chain, trusted)) return undefined;
  const [leaf] = chain;
  return `the certificate that ${from.name} shows is issued by ${leaf.issuer.replaceAll("\n", ", ")}, which ${BUNDLE} of ${to.name} does not hold: issue both by one authority, or put the authority of ${from.name} into ${BUNDLE} of ${to.name} and give it to its etcd`;
}

const credentialsOf = (peer: string) =>
  ({ ca: `${peer}.etcd-client-ca.crt`, cert: `${peer}.etcd-client.crt`, key: `${peer}.etcd-client.key` }) as const;

/** Names of the files of a peer, its config last: whoever reads that finds the others. */
export function filesOf(peer: string): readonly string[] {
  return [...Object.values(credentialsOf(peer)), peer];
}

/** What `from` needs to follow `to`, by file name, in the order of writing. */
export function connectFiles(
  from: Side,
  to: Side,
  { at, allowedCidrs }: Omit<Link, "folder">,
): ReadonlyMap<string, Uint8Array> {
  const names = credentialsOf(to.name);
  const judged = parseEtcdConfig(ETCD_FILE, to.etcd);
  if (!judged.ok) throw new UserError(judged.rejection.detail);
  const { endpoints, hostAliases } = judged.value;
  const config = encodeEtcdConfig({
    endpoints,
    hostAliases,
    caFile: join(at, names.ca),
    certFile: join(at, names.cert),
    keyFile: join(at, names.key),
    ...(allowedCidrs && { allowedCidrs }),
  });
  return new Map([
    [names.ca, to.ca],
    [names.cert, from.cert],
    [names.key, from.key],
    [to.name, bytesOf(config)],
  ]);
}

/** The config after its certificates, and the tombstone last: a file takes precedence. */
export function connectChanges(from: Side, to: Side, link: Link): readonly Change[] {
  const files = Array.from(connectFiles(from, to, link), ([name, bytes]) => ({ path: join(link.folder, name), bytes }));
  return [...files, { path: join(link.folder, tombstoneOf(to.name)), bytes: undefined }];
}

export const tombstone = (nowMs: number): Uint8Array => bytesOf(`disconnected ${new Date(nowMs).toISOString()}\n`);

/** The tombstone first: when the config goes, it is meant. */
export function disconnectChanges(peer: string, folder: string, nowMs: number): readonly Change[] {
  const gone = filesOf(peer).toReversed();
  return [
    { path: join(folder, tombstoneOf(peer)), bytes: tombstone(nowMs) },
    ...gone.map((name) => ({ path: join(folder, name), bytes: undefined })),
  ];
}

/** A disk on which `files` (path -> bytes) are already there. */
export function staged(disk: Disk, files: ReadonlyMap<string, Uint8Array>): Disk {
  const readBytes = async (path: string): Promise<Uint8Array> => files.get(path) ?? (await disk.readBytes(path));
  return { ...disk, readBytes, readText: async (path) => new TextDecoder().decode(await readBytes(path)) };
}

async function present(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  try {
    return await disk.readBytes(path);
  } catch (error) {
    if (error instanceof DiskError && error.code === "absent") return undefined;
    throw error;
  }
}

async function make(disk: FolderDisk, { path, bytes }: Change): Promise<void> {
  if (bytes) await disk.writeAtomic(path, bytes);
  else await disk.unlink(path);
}

/** All of them, or none: what was changed is put back when one fails. Rejects with a UserError. */
export async function applyChanges(disk: FolderDisk, changes: readonly Change[]): Promise<void> {
  const before: Change[] = [];
  try {
    for (const change of changes) {
      const old = await present(disk, change.path);
      if (old && change.bytes && Buffer.compare(old, change.bytes) === 0) continue;
      if (!old && !change.bytes) continue;
      before.unshift({ path: change.path, bytes: old });
      await make(disk, change);
    }
  } catch (error) {
    for (const change of before) await make(disk, change).catch(() => undefined);
    throw new UserError(`${messageOf(error)}: nothing was changed`);
  }
}
