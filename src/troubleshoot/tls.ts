/** What TLS says at one door: the server's certificate, and whether it takes ours. */
import type { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { isIP } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { type Credentials, named, validity } from "./certificates.ts";
import type { Door } from "./connect.ts";
import { Fault, type Patience, type Steps, within } from "./steps.ts";

/**
 * How HTTP/2 begins: the preface and empty SETTINGS. Whatever speaks it answers with its own SETTINGS, and a server that does not
 * take our certificate (in TLS 1.3 it says so after the handshake) hangs up: both are certain, where a wait would be a guess.
 */
const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");

const NO_ETCD = "is it an etcd with TLS that listens there, or should the endpoint be http://?";
const NO_TLS = "what listens there speaks no TLS: is the port right, or should the endpoint be http://?";
const WANTED = "the server wants a client certificate: name cert-file and key-file";
const UNWANTED =
  "the server does not take our client certificate: it must be signed by an authority that the etcd trusts with clients, and hold by the server's clock";
const RENEW = "the remote must give its etcd a new certificate";

function mendOf(reason: string, { cert }: Credentials): string {
  if (/wrong version number|packet length too long|http request/i.test(reason)) return NO_TLS;
  if (/alert|certificate|unknown ca/i.test(reason)) return cert === undefined ? WANTED : UNWANTED;
  return NO_ETCD;
}

/** What OpenSSL calls it, without where in its source. */
function faultOf(error: unknown, credentials: Credentials): Fault {
  if (error instanceof Fault) return error;
  const known = error instanceof Error && "reason" in error && typeof error.reason === "string";
  const reason = known ? String(error.reason) : error instanceof Error ? error.message : String(error);
  return new Fault(reason, mendOf(reason, credentials));
}

/** Throws a Fault when the server's certificate is not one that a client may trust. */
function judge(socket: TLSSocket, { endpoint }: Door, { ca }: Credentials, { clock }: Patience): string {
  const certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  if (!certificate) throw new Fault("the server shows no certificate", NO_ETCD);
  const holds = validity(certificate, clock, RENEW);
  if (socket.authorized) return `server ${named(certificate)}, ${holds}`;
  // The code as text, whatever its type says.
  const reason = String(socket.authorizationError);
  const seen = `${reason}: the server shows ${named(certificate)}`;
  if (reason.includes("ALTNAME")) {
    throw new Fault(
      seen,
      `the server's certificate must name ${endpoint.host}: issue it so, or use a name that it has`,
    );
  }
  if (/EXPIRED|NOT_YET_VALID/.test(reason))
    throw new Fault(seen, "an authority above the server's certificate must be renewed");
  const trusted = ca === undefined ? "name the authority that signed it in trusted-ca-file" : undefined;
  throw new Fault(seen, trusted ?? "trusted-ca-file must be the authority that signed the server's certificate");
}

/** OpenSSL knows these of a client only when the server has asked for its certificate. */
function clientText(socket: TLSSocket, { cert }: Credentials): string {
  const asked = socket.getSharedSigalgs().length > 0;
  if (!asked) return "asks for no client certificate";
  return cert === undefined
    ? "asks for a client certificate, does without"
    : "asks for a client certificate, takes ours";
}

function open({ address, endpoint }: Door, { ca, cert, key }: Credentials): TLSSocket {
  const pem = (bytes: Uint8Array) => Buffer.from(bytes);
  return connect({
    host: address,
    port: endpoint.port,
    ...(isIP(endpoint.host) ? {} : { servername: endpoint.host }),
    ...(ca && { ca: pem(ca) }),
    ...(cert && { cert: pem(cert) }),
    ...(key && { key: pem(key) }),
    ALPNProtocols: ["h2"],
    // The verdict is read from the socket, so that the certificate can be told whatever it is.
    rejectUnauthorized: false,
  });
}

async function shake(door: Door, credentials: Credentials, patience: Patience): Promise<string> {
  const socket = open(door, credentials);
  // What comes after the verdict is nobody's concern.
  socket.on("error", () => undefined);
  const ended = once(socket, "end").then(() =>
    Promise.reject(new Fault("the server hung up after the handshake", NO_ETCD)),
  );
  const answered = Promise.race([once(socket, "data"), ended]);
  // It is looked at after the handshake.
  answered.catch(() => undefined);
  try {
    await within(patience, NO_ETCD, once(socket, "secureConnect"));
    const server = judge(socket, door, credentials, patience);
    socket.write(HTTP2_PREFACE);
    await within(patience, NO_ETCD, answered);
    if (socket.alpnProtocol !== "h2") throw new Fault(`the server speaks no HTTP/2, ${server}`, NO_ETCD);
    return `${socket.getProtocol()}, ${socket.getCipher().name}, ${server}, ${clientText(socket, credentials)}`;
  } catch (error) {
    throw faultOf(error, credentials);
  } finally {
    socket.destroy();
  }
}

/** Undefined when the server or our certificate is refused. */
export function shakeTls(
  door: Door,
  credentials: Credentials,
  patience: Patience,
  steps: Steps,
): Promise<string | undefined> {
  return steps.run(
    `TLS ${door.label}`,
    NO_ETCD,
    () => shake(door, credentials, patience),
    (text) => text,
  );
}
