/** Certificates of a configuration file: do they parse, fit together, and hold today. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Disk } from "../disk/door.ts";
import type { Clock } from "../runtime/clock.ts";
import { messageOf } from "../runtime/user-error.ts";
import type { EtcdConfig } from "../wire/etcd-config.ts";
import { Fault, type Steps } from "./steps.ts";

export interface Credentials {
  readonly ca?: Uint8Array;
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
}

const DAY_MS = 86_400_000;

/** Throws a Fault when it does not hold now. */
export function validity(certificate: Pick<X509Certificate, "validFrom" | "validTo">, clock: Clock): string {
  const nowMs = clock.wallMs();
  const fromMs = Date.parse(certificate.validFrom);
  const toMs = Date.parse(certificate.validTo);
  if (nowMs < fromMs) {
    throw new Fault(`not valid before ${certificate.validFrom}`, "check the clocks of both sides, or wait until then");
  }
  if (nowMs > toMs)
    throw new Fault(`expired on ${certificate.validTo}`, "issue a new certificate and put it in place of this one");
  return `valid until ${certificate.validTo} (${Math.floor((toMs - nowMs) / DAY_MS)} days)`;
}

function named(certificate: X509Certificate): string {
  const name = certificate.subject.replaceAll("\n", ", ");
  return certificate.subjectAltName === undefined ? name : `${name}; ${certificate.subjectAltName}`;
}

function read(path: string, bytes: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw new Fault(`${path} is no certificate: ${messageOf(error)}`, "put a certificate in PEM there");
  }
}

/** Undefined when something that is needed for TLS is missing or wrong. */
export async function checkCertificates(
  config: EtcdConfig,
  disk: Disk,
  clock: Clock,
  steps: Steps,
): Promise<Credentials | undefined> {
  const { caFile, certFile, keyFile } = config;
  const bytes = (path: string) => disk.readBytes(path);
  const readable = "make the file readable to this user, or name another";
  const ca =
    caFile &&
    (await steps.run(
      `authority ${caFile}`,
      readable,
      async () => {
        const found = await bytes(caFile);
        return { found, text: `${named(read(caFile, found))}, ${validity(read(caFile, found), clock)}` };
      },
      ({ text }) => text,
    ));
  const client =
    certFile &&
    keyFile &&
    (await steps.run(
      `client certificate ${certFile}`,
      readable,
      async () => {
        const [cert, key] = [await bytes(certFile), await bytes(keyFile)];
        const certificate = read(certFile, cert);
        if (!certificate.checkPrivateKey(createPrivateKey(Buffer.from(key)))) {
          throw new Fault(
            `${keyFile} is not the key of ${certFile}`,
            "put the key in place that belongs to the certificate",
          );
        }
        return { cert, key, text: `${named(certificate)}, ${validity(certificate, clock)}` };
      },
      ({ text }) => text,
    ));
  if ((caFile && !ca) || (certFile && !client)) return undefined;
  return { ...(ca && { ca: ca.found }), ...(client && { cert: client.cert, key: client.key }) };
}
