/** Certificates of a configuration file: do they parse, fit together, and hold today. No key is ever told, only its path. */
import type { X509Certificate } from "node:crypto";
import { type Chain, chains, keyFault, readPem } from "../access/pem.ts";
import type { Disk } from "../disk/door.ts";
import type { Clock } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import type { EtcdConfig } from "../wire/etcd-config.ts";
import { Fault, type Steps } from "./steps.ts";

/** PEM, as the file names it. */
export interface Credentials {
  readonly ca?: Uint8Array;
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
}

interface Client extends Required<Omit<Credentials, "ca">> {
  readonly chain: Chain;
}

const DAY_MS = 86_400_000;
const READABLE = "make the file readable to this user, or name another";
const RENEW = "issue a new certificate and put it in place of this one";

const oneLine = (name: string | undefined): string => name?.replaceAll("\n", ", ") || "no name";

/** `CN=remote; DNS:remote, issued by CN=authority`. */
export function named({ subject, subjectAltName, issuer }: X509Certificate): string {
  const names = subjectAltName === undefined ? oneLine(subject) : `${oneLine(subject)}; ${subjectAltName}`;
  return `${names}, issued by ${oneLine(issuer)}`;
}

const day = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

interface Dates {
  readonly text: string;
  /** It does not hold now. */
  readonly mend?: string;
}

function datesOf(certificate: X509Certificate, clock: Clock, renew: string): Dates {
  const nowMs = clock.wallMs();
  const fromMs = Date.parse(certificate.validFrom);
  const toMs = Date.parse(certificate.validTo);
  if (nowMs < fromMs) {
    const mend = "set the clock that is wrong, here or where the certificate was issued; else wait until then";
    return { text: `not valid before ${day(fromMs)}, and here it is ${day(nowMs)}`, mend };
  }
  if (nowMs > toMs) return { text: `expired on ${day(toMs)}, and here it is ${day(nowMs)}`, mend: renew };
  return { text: `valid from ${day(fromMs)} to ${day(toMs)} (${Math.floor((toMs - nowMs) / DAY_MS)} days left)` };
}

function hold({ text, mend }: Dates): string {
  if (mend !== undefined) throw new Fault(text, mend);
  return text;
}

/** From when to when it holds. Throws a Fault when that is not now; `renew` says how to mend an expired one. */
export function validity(certificate: X509Certificate, clock: Clock, renew: string): string {
  return hold(datesOf(certificate, clock, renew));
}

/** One that holds is enough: while authorities are exchanged, the old one may run out in the bundle. */
function bundleValidity(bundle: readonly X509Certificate[], clock: Clock): string {
  const all = bundle.map((certificate) => datesOf(certificate, clock, RENEW));
  const [first, ...others] = all.map(({ text }, index) => `${oneLine(bundle[index]?.subject)} ${text}`);
  const text = others.length === 0 ? (all[0]?.text ?? "") : [first, ...others].join("; ");
  const mend = all.every((dates) => dates.mend !== undefined) ? all[0]?.mend : undefined;
  return hold({ text, ...(mend !== undefined && { mend }) });
}

/** Every certificate of a PEM file. */
function read(path: string, bytes: Uint8Array): Chain {
  try {
    return readPem(path, bytes);
  } catch (error) {
    throw new Fault(messageOf(error), "put a certificate in PEM there");
  }
}

function checkKey(certFile: string, leaf: X509Certificate, keyFile: string, key: Uint8Array): void {
  const fault = keyFault(leaf, key);
  if (fault === "no-key")
    throw new Fault(`${keyFile} is no private key`, "put the certificate's key in PEM there, without a passphrase");
  if (fault === "another")
    throw new Fault(`${keyFile} is not the key of ${certFile}`, "put the key of this certificate there");
}

async function checkAuthorities(path: string, disk: Disk, clock: Clock, steps: Steps) {
  const found = await steps.run(
    `authority ${path}`,
    READABLE,
    async () => {
      const pem = await disk.readBytes(path);
      return { pem, bundle: read(path, pem) };
    },
    ({ bundle }) => bundle.map(({ subject }) => oneLine(subject)).join("; "),
  );
  if (found) {
    const dates = (): string => bundleValidity(found.bundle, clock);
    await steps.run(`dates of ${path}`, RENEW, dates, (text) => text);
  }
  return found;
}

async function checkClient(
  certFile: string,
  keyFile: string,
  disk: Disk,
  clock: Clock,
  steps: Steps,
): Promise<Client | undefined> {
  const found = await steps.run(
    `client certificate ${certFile}`,
    READABLE,
    async (): Promise<Client> => {
      const [cert, key] = [await disk.readBytes(certFile), await disk.readBytes(keyFile)];
      const chain = read(certFile, cert);
      checkKey(certFile, chain[0], keyFile, key);
      return { cert, key, chain };
    },
    ({ chain }) => `${chain.slice(0, 1).map(named)}; ${keyFile} is its key`,
  );
  const leaf = found?.chain[0];
  if (leaf)
    await steps.run(
      `dates of ${certFile}`,
      RENEW,
      () => validity(leaf, clock, RENEW),
      (text) => text,
    );
  return found;
}

/**
 * Undefined when what TLS needs is missing or no certificate. One that has run out is a failed step, and is still tried: what the
 * server says of it is worth knowing.
 */
export async function checkCertificates(
  { caFile, certFile, keyFile }: EtcdConfig,
  disk: Disk,
  clock: Clock,
  steps: Steps,
): Promise<Credentials | undefined> {
  const ca = caFile === undefined ? undefined : await checkAuthorities(caFile, disk, clock, steps);
  const named = certFile !== undefined && keyFile !== undefined;
  const client = named ? await checkClient(certFile, keyFile, disk, clock, steps) : undefined;
  if ((caFile !== undefined && !ca) || (named && !client)) return undefined;
  if (ca && client) {
    const seen = chains(client.chain, ca.bundle)
      ? `signed by ${caFile}`
      : `not signed by ${caFile}: fine when the remote trusts another authority with clients than it shows itself`;
    steps.note(`signature of ${certFile}`, seen);
  }
  return { ...(ca && { ca: ca.pem }), ...(client && { cert: client.cert, key: client.key }) };
}
