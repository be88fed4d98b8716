/** The way to one endpoint: its addresses, a TCP connection, and what TLS says. */
import { lookup } from "node:dns/promises";
import { connect, isIP } from "node:net";
import { connect as connectTls, type PeerCertificate, type TLSSocket } from "node:tls";
import type { Clock } from "../runtime/clock.ts";
import type { EtcdConfig } from "../wire/etcd-config.ts";
import { type Credentials, validity } from "./certificates.ts";
import { Fault, type Steps } from "./steps.ts";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

export function endpointOf(text: string): Endpoint {
  const url = new URL(text);
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port), secure: url.protocol === "https:" };
}

/** Addresses to dial; by the file's aliases, which come before DNS. */
export async function resolveHost({ host }: Endpoint, config: EtcdConfig, steps: Steps): Promise<readonly string[]> {
  const alias = config.hostAliases.find(({ hostname }) => hostname === host);
  if (alias) {
    steps.note(`name ${host}`, `${alias.ips.join(", ")} by cilium-host-aliases, DNS is not asked`);
    return alias.ips;
  }
  if (isIP(host)) return [host];
  const mend =
    "does the name exist, and does this machine ask the right DNS server? cilium-host-aliases can name addresses";
  const found = await steps.run(
    `name ${host}`,
    mend,
    () => lookup(host, { all: true }),
    (all) => all.map(({ address }) => address).join(", "),
  );
  return found?.map(({ address }) => address) ?? [];
}

export function reachTcp(
  address: string,
  { port }: Endpoint,
  timeoutMs: number,
  steps: Steps,
): Promise<true | undefined> {
  const mend = "is etcd running there, and does a firewall or a missing route stand between?";
  const attempt = (): Promise<true> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: address, port, timeout: timeoutMs });
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("timeout", () => {
        socket.destroy();
        reject(new Error(`no answer within ${timeoutMs} ms`));
      });
      socket.once("error", reject);
    });
  return steps.run(`TCP ${address}:${port}`, mend, attempt, () => "connected");
}

interface Shaken {
  readonly text: string;
  readonly certificate: PeerCertificate;
}

function judged(socket: TLSSocket, host: string, clock: Clock): Shaken {
  const certificate = socket.getPeerCertificate();
  const names = `${certificate.subject?.CN ?? "no name"}; ${certificate.subjectaltname ?? "no alternative names"}`;
  const holds = validity({ validFrom: certificate.valid_from, validTo: certificate.valid_to }, clock);
  if (!socket.authorized) {
    const reason = String(socket.authorizationError);
    const mend = reason.includes("ALTNAME")
      ? `the server's certificate must name ${host}: issue it so, or use a name that it has`
      : "trusted-ca-file must be the authority that signed the server's certificate";
    throw new Fault(`${reason}: the server shows ${names}`, mend);
  }
  return { certificate, text: `${socket.getProtocol()}, ${socket.getCipher().name}, server ${names}, ${holds}` };
}

/** What OpenSSL calls it, without where in its source. */
function reasonOf(error: Error): string {
  return "reason" in error && typeof error.reason === "string" ? error.reason : error.message;
}

/** A server that wants another client certificate says so after the handshake: that long is waited for it. */
const REFUSAL_MS = 300;

export function shakeTls(
  address: string,
  { host, port }: Endpoint,
  credentials: Credentials,
  { timeoutMs, clock, steps }: { readonly timeoutMs: number; readonly clock: Clock; readonly steps: Steps },
): Promise<Shaken | undefined> {
  const { ca, cert, key } = credentials;
  const pem = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes);
  const attempt = (): Promise<Shaken> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({
        host: address,
        port,
        ...(isIP(host) ? {} : { servername: host }),
        ...(ca && { ca: pem(ca) as Buffer }),
        ...(cert && { cert: pem(cert) as Buffer }),
        ...(key && { key: pem(key) as Buffer }),
        ALPNProtocols: ["h2"],
        rejectUnauthorized: false,
        timeout: timeoutMs,
      });
      const end = (settle: () => void): void => {
        socket.destroy();
        settle();
      };
      socket.once("error", (error) =>
        end(() =>
          reject(
            new Fault(
              reasonOf(error),
              "does the server want a client certificate, and is ours signed by its authority?",
            ),
          ),
        ),
      );
      socket.once("timeout", () =>
        end(() => reject(new Fault(`no answer within ${timeoutMs} ms`, "is it an etcd with TLS that listens there?"))),
      );
      socket.once("secureConnect", () => {
        try {
          const shaken = judged(socket, host, clock);
          clock.after(REFUSAL_MS, () => end(() => resolve(shaken)));
        } catch (error) {
          end(() => reject(error));
        }
      });
    });
  return steps.run(`TLS ${address}:${port}`, "see above", attempt, ({ text }) => text);
}
