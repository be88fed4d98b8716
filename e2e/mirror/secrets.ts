/** Certificates in the ways in which they are mounted and replaced. */
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Authority, Issued } from "../../test/support/certificates.ts";

/** What a folder holds: certificates that are trusted, a certificate and its key. */
export interface Identity {
  readonly trusted: readonly Authority[];
  readonly own: Issued;
}

/** Replaces what a folder holds. */
export type Replace = (identity: Identity) => void;

const [CA, CERT, KEY] = ["ca.crt", "tls.crt", "tls.key"];

export function pathsIn(folder: string): { readonly ca: string; readonly cert: string; readonly key: string } {
  return { ca: join(folder, CA), cert: join(folder, CERT), key: join(folder, KEY) };
}

function write(folder: string, { trusted, own }: Identity): void {
  const { ca, cert, key } = pathsIn(folder);
  writeFileSync(ca, trusted.map((authority) => readFileSync(authority.ca, "utf8")).join(""));
  writeFileSync(cert, readFileSync(own.cert));
  writeFileSync(key, readFileSync(own.key));
}

/** Each file is written over. */
export function inPlace(folder: string): Replace {
  mkdirSync(folder);
  return (identity) => write(folder, identity);
}

/** As Kubernetes mounts a secret: names lead through `..data` to a folder of the version, and one rename replaces all of them. */
export function asSecret(folder: string): Replace {
  mkdirSync(folder);
  for (const name of [CA, CERT, KEY]) symlinkSync(join("..data", name), join(folder, name));
  let version = 0;
  return (identity) => {
    const name = `..version-${++version}`;
    mkdirSync(join(folder, name));
    write(join(folder, name), identity);
    symlinkSync(name, join(folder, "..data_tmp"));
    renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
  };
}
