/** Certificates for tests, made by openssl in a folder of the test's own. Each name is used once in a folder. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Authority {
  readonly folder: string;
  /** File of the certificate. */
  readonly ca: string;
  readonly caKey: string;
}

/** Files. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** In days from now: `{ fromDays: -2, toDays: -1 }` has expired, `{ fromDays: 1, toDays: 30 }` is not valid yet. */
export interface Validity {
  readonly fromDays: number;
  readonly toDays: number;
}

const NOW: Validity = { fromDays: -1, toDays: 30 };
export const EXPIRED: Validity = { fromDays: -2, toDays: -1 };
export const NOT_YET: Validity = { fromDays: 2, toDays: 30 };
const DAY_MS = 86_400_000;

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}

/** As openssl wants it: YYYYMMDDHHMMSSZ. */
function timeIn(days: number): string {
  return new Date(Date.now() + days * DAY_MS).toISOString().replace(/[-:T]|\.\d+/g, "");
}

function request(folder: string, name: string): { readonly key: string; readonly csr: string } {
  const [key, csr] = [join(folder, `${name}.key`), join(folder, `${name}.csr`)];
  const keyArguments = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key];
  openssl("req", ...keyArguments, "-out", csr, "-subj", `/CN=${name}`);
  return { key, csr };
}

/** @param by what signs, as arguments of `openssl ca`: that command alone takes both dates in OpenSSL 3.0. */
function sign(
  folder: string,
  name: string,
  by: readonly string[],
  extensions: string,
  { fromDays, toDays }: Validity,
): string {
  const at = (extension: string): string => join(folder, `${name}.${extension}`);
  writeFileSync(at("index"), "");
  writeFileSync(at("ext"), extensions);
  const settings = `database=${at("index")}\nnew_certs_dir=${folder}\nrand_serial=yes\ndefault_md=sha256\npolicy=names`;
  writeFileSync(at("conf"), `[ca]\ndefault_ca=it\n[it]\n${settings}\n[names]\ncommonName=supplied\n`);
  const dates = ["-startdate", timeIn(fromDays), "-enddate", timeIn(toDays)];
  const files = ["-config", at("conf"), "-extfile", at("ext"), "-in", at("csr"), "-out", at("crt")];
  openssl("ca", "-batch", "-notext", ...files, ...by, ...dates);
  return at("crt");
}

/** @param above who signs it; absent: itself. */
export function makeAuthority(folder: string, name: string, validity: Validity = NOW, above?: Authority): Authority {
  const { key } = request(folder, name);
  const extensions = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n";
  const by = above ? ["-cert", above.ca, "-keyfile", above.caKey] : ["-selfsign", "-keyfile", key];
  return { folder, ca: sign(folder, name, by, extensions, validity), caKey: key };
}

/** For servers and clients. @param names such as `DNS:osaka.mesh,IP:127.0.0.1`. */
export function issue({ folder, ca, caKey }: Authority, name: string, names: string, validity = NOW): Issued {
  const { key } = request(folder, name);
  const extensions = `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`;
  return { cert: sign(folder, name, ["-cert", ca, "-keyfile", caKey], extensions, validity), key };
}
