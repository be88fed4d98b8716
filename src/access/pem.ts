/** Certificates and keys in PEM. What is said of a key is the name of its file, never more. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { UserError } from "../runtime/user-error.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** In their order, at least one. @throws UserError */
export function readPem(file: string, bytes: Uint8Array): readonly X509Certificate[] {
  const blocks = new TextDecoder().decode(bytes).match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new UserError(`${file} holds no certificate in PEM`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    throw new UserError(`${file} holds a certificate that cannot be read`);
  }
}

/** @throws UserError when `key` is none, or of another certificate. */
export function checkPair(what: string, certificate: X509Certificate, key: Uint8Array): void {
  let fits: boolean;
  try {
    fits = certificate.checkPrivateKey(createPrivateKey(Buffer.from(key)));
  } catch {
    throw new UserError(`the key of ${what} is no private key in PEM without passphrase`);
  }
  if (!fits) throw new UserError(`the key of ${what} is not that of its certificate`);
}

/** When the first certificate of `cert` ends, wall clock. */
export function endOf(cert: Uint8Array): number {
  return Date.parse(new X509Certificate(Buffer.from(cert)).validTo);
}
