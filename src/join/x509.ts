/**
 * Making certificates, by the openssl command: node:crypto reads X.509 and cannot write it. Keys pass through files of a folder that only we may open,
 * never through arguments.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { UserError } from "../runtime/user-error.ts";

/** PEM. */
export interface KeyPair {
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
}

export interface CertificateRequest {
  readonly commonName: string;
  /** Lines `name=value`, as openssl's configuration has them. */
  readonly extensions: readonly string[];
  readonly fromMs: number;
  readonly untilMs: number;
  /** Absent: it signs itself. */
  readonly issuer?: KeyPair;
}

/** A new key, and a certificate of it. Rejects with a UserError. */
export type MakeCertificate = (request: CertificateRequest) => Promise<KeyPair>;

const run = promisify(execFile);
const TIMEOUT_MS = 30_000;

/** As openssl wants it: YYYYMMDDHHMMSSZ. */
const time = (ms: number): string => new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");

async function openssl(args: readonly string[]): Promise<void> {
  try {
    await run("openssl", args, { timeout: TIMEOUT_MS });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new UserError("certificates are made by the openssl command, which is not on the PATH: install it");
    }
    const said = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
    const lines = said.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("Using configuration"));
    throw new UserError(`openssl ${args[0]} failed: ${lines[0] ?? "it says nothing"}`);
  }
}

/** `openssl ca` alone takes both dates in OpenSSL 3.0, hence lifetimes below a day. */
async function sign(folder: string, request: CertificateRequest): Promise<KeyPair> {
  const at = (name: string): string => join(folder, name);
  const [key, csr, cert] = [at("key.pem"), at("request.pem"), at("cert.pem")];
  const settings = `database=${at("index")}\nnew_certs_dir=${folder}\nrand_serial=yes\ndefault_md=sha256\npolicy=names`;
  await writeFile(at("conf"), `[ca]\ndefault_ca=it\n[it]\n${settings}\n[names]\ncommonName=supplied\n`);
  await writeFile(at("index"), "");
  await writeFile(at("extensions"), `${request.extensions.join("\n")}\n`);
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(["req", ...kind, "-keyout", key, "-out", csr, "-subj", `/CN=${request.commonName}`]);
  const by = request.issuer ? ["-cert", at("ca.pem"), "-keyfile", at("ca-key.pem")] : ["-selfsign", "-keyfile", key];
  if (request.issuer) {
    await writeFile(at("ca.pem"), request.issuer.cert);
    await writeFile(at("ca-key.pem"), request.issuer.key, { mode: 0o600 });
  }
  const dates = ["-startdate", time(request.fromMs), "-enddate", time(request.untilMs)];
  const files = ["-config", at("conf"), "-extfile", at("extensions"), "-in", csr, "-out", cert];
  await openssl(["ca", "-batch", "-notext", ...files, ...by, ...dates]);
  return { cert: await readFile(cert), key: await readFile(key) };
}

export const makeCertificate: MakeCertificate = async (request) => {
  // Mode 0700.
  const folder = await mkdtemp(join(tmpdir(), "bulkhead-pki-"));
  try {
    return await sign(folder, request);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
