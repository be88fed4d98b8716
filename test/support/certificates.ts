/** Certificates for tests, made by openssl in a folder of the test's own. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Authority {
  readonly folder: string;
  readonly ca: string;
  readonly caKey: string;
}

export interface Issued {
  readonly cert: string;
  readonly key: string;
}

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}

/** `-days` from `-not_before`: openssl takes dates as YYYYMMDDHHMMSSZ only in later versions, so validity is moved with negative days. */
export function makeAuthority(folder: string, name: string): Authority {
  const [ca, caKey] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const subject = ["-subj", `/CN=${name}`, "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE"];
  openssl(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    caKey,
    "-out",
    ca,
    ...subject,
  );
  return { folder, ca, caKey };
}

/** @param names such as `DNS:osaka.mesh` or `IP:127.0.0.1`. @param days negative: it has expired. */
export function issue({ folder, ca, caKey }: Authority, name: string, names: string, days = 30): Issued {
  const at = (extension: string): string => join(folder, `${name}.${extension}`);
  openssl(
    "req",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    at("key"),
    "-out",
    at("csr"),
    "-subj",
    `/CN=${name}`,
  );
  writeFileSync(at("ext"), `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  const signed = ["-CA", ca, "-CAkey", caKey, "-CAcreateserial", "-extfile", at("ext"), "-days", String(days)];
  openssl("x509", "-req", "-in", at("csr"), "-out", at("crt"), ...signed);
  return { cert: at("crt"), key: at("key") };
}
