/** Endpoints of an etcd as etcd3 clients: one at a time, the next one after a failure. */
import { X509Certificate } from "node:crypto";
import { noop } from "cockatiel";
import { Etcd3, type IOptions } from "etcd3";
import { messageOf, UserError } from "../runtime/user-error.ts";
import type { ConnectOptions } from "./client.ts";

/** Largest answer taken, in bytes: a page of a list, or a fragment of a watch response. */
const MAX_RECEIVE_BYTES = 64 * 1024 * 1024;

interface Target {
  /** With scheme. */
  readonly url: string;
  /** The name the certificate must carry, where `url` has an address in its place. */
  readonly serverName?: string;
}

/** The targets of all endpoints, aliases put in. */
function targetsOf(options: ConnectOptions): readonly Target[] {
  if (options.endpoints.length === 0)
    throw new UserError("no etcd endpoint given: name at least one, as https://host:2379");
  const urls = options.endpoints.map(parseEndpoint);
  const schemes = new Set(urls.map((url) => url.protocol));
  if (schemes.size > 1)
    throw new UserError(`etcd endpoints mix http and https: ${options.endpoints.join(" ")}; use one`);
  return urls.flatMap((url) => {
    // A URL's host is in small letters, whoever wrote it.
    const alias = options.hostAliases?.find(({ hostname }) => hostname.toLowerCase() === url.hostname);
    const at = (host: string): string => `${url.protocol}//${host}:${url.port || defaultPort(url)}`;
    if (!alias || alias.ips.length === 0) return [{ url: at(url.hostname) }];
    return alias.ips.map((ip) => ({ url: at(ip.includes(":") ? `[${ip}]` : ip), serverName: url.hostname }));
  });
}

/** URL drops the port that a scheme has by default. */
function defaultPort(url: URL): string {
  return url.protocol === "https:" ? "443" : "80";
}

function parseEndpoint(endpoint: string): URL {
  const url = URL.parse(endpoint);
  if (!url || !/^https?:$/.test(url.protocol) || url.hostname === "" || url.pathname.length > 1) {
    throw new UserError(`not an etcd endpoint: ${endpoint}; write http://host:port or https://host:port`);
  }
  return url;
}

function etcd3Options(target: Target, options: ConnectOptions): IOptions {
  const buffer = (bytes: Uint8Array | undefined): Buffer | undefined => bytes && Buffer.from(bytes);
  const credentials = {
    rootCertificate: buffer(options.ca),
    privateKey: buffer(options.key),
    certChain: buffer(options.cert),
  };
  return {
    hosts: target.url,
    // etcd3 hands these to gRPC as they are, where "no authority" means the system's own.
    ...(target.url.startsWith("https:") && { credentials: credentials as NonNullable<IOptions["credentials"]> }),
    faultHandling: { global: noop, host: () => noop },
    grpcOptions: {
      "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
      "grpc.keepalive_time_ms": options.keepaliveMs,
      "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs,
      // Pings without a call are what etcd punishes by hanging up (its policy for them is 2 hours).
      "grpc.keepalive_permit_without_calls": 0,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2000,
      // A connection of its own for every service: bulk reads hold up neither leases nor watches, and no backoff is inherited.
      "grpc.use_local_subchannel_pool": 1,
      ...(target.serverName && {
        "grpc.ssl_target_name_override": target.serverName,
        "grpc.default_authority": target.serverName,
      }),
    },
  };
}

function open(target: Target, options: ConnectOptions): Etcd3 {
  try {
    // Node's TLS takes an authority that is none without a word.
    if (options.ca) new X509Certificate(options.ca);
    return new Etcd3(etcd3Options(target, options));
  } catch (error) {
    throw new UserError(
      `certificate, key or authority for ${target.url} cannot be used (want PEM): ${messageOf(error)}`,
    );
  }
}

export class Endpoints {
  readonly #options: ConnectOptions;
  readonly #targets: readonly Target[];
  #at = 0;
  #current: Etcd3;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#targets = targetsOf(options);
    this.#current = open(this.#targets[0] as Target, options);
  }

  /** The client of the endpoint in use. */
  get current(): Etcd3 {
    return this.#current;
  }

  /** `client` could not be reached: the next call goes elsewhere. Its own connections are closed already, by etcd3. */
  failed(client: Etcd3): void {
    if (client !== this.#current || this.#targets.length === 1) return;
    this.#current.close();
    this.#at = (this.#at + 1) % this.#targets.length;
    this.#current = open(this.#targets[this.#at] as Target, this.#options);
  }

  close(): void {
    this.#current.close();
  }
}
