/** Certificates and keys in PEM. What is said of a key is the name of its file, never more. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf, UserError } from "../runtime/user-error.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The leaf first, then who signed it, as far as the file has them. */
export type Chain = readonly [X509Certificate, ...X509Certificate[]];

/** Every certificate of a file. @throws UserError */
export function readPem(file: string, bytes: Uint8Array): Chain {
  try {
    const [first, ...others] = new TextDecoder().decode(bytes).match(CERTIFICATE) ?? [];
    if (first === undefined) throw new Error("there is none in it");
    return [new X509Certificate(first), ...others.map((text) => new X509Certificate(text))];
  } catch (error) {
    throw new UserError(`${file} is no certificate: ${messageOf(error)}`);
  }
}

/** What is wrong with a certificate's key, or undefined. */
export function keyFault(certificate: X509Certificate, key: Uint8Array): "no-key" | "another" | undefined {
  try {
    return certificate.checkPrivateKey(createPrivateKey(Buffer.from(key))) ? undefined : "another";
  } catch {
    return "no-key";
  }
}

/** @throws UserError when `key` is none, or of another certificate. */
export function checkPair(what: string, certificate: X509Certificate, key: Uint8Array): void {
  const fault = keyFault(certificate, key);
  if (fault === "no-key") throw new UserError(`the key of ${what} is no private key in PEM without passphrase`);
  if (fault === "another") throw new UserError(`the key of ${what} is not that of its certificate`);
}

function signs(issuer: X509Certificate, subject: X509Certificate): boolean {
  return subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

export const signsItself = (certificate: X509Certificate): boolean => signs(certificate, certificate);

/** Whether one of `bundle` signed the leaf, directly or by way of the others of its file. */
export function chains([leaf, ...others]: Chain, bundle: readonly X509Certificate[]): boolean {
  let at: X509Certificate | undefined = leaf;
  // Each round goes one certificate up; there are no more rounds than certificates.
  for (const _ of [leaf, ...others]) {
    if (at === undefined) return false;
    const below: X509Certificate = at;
    if (bundle.some((authority) => signs(authority, below))) return true;
    at = others.find((other) => other !== below && signs(other, below));
  }
  return false;
}

/** When the first certificate of `cert` ends, wall clock. */
export function endOf(cert: Uint8Array): number {
  return Date.parse(new X509Certificate(Buffer.from(cert)).validTo);
}
