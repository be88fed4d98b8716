/**
 * An API server for tests: the model behind HTTP, as `kubectl` and controllers see one. Lists in pages, watches with bookmarks, 410 in both of
 * its forms, bearer tokens, Status bodies; streams can be made slow or be broken. It writes down who asked for what.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import { type KubeApi, KubeError, type KubeErrorCode } from "../../src/kube/door.ts";

export interface KubeServerOptions {
  readonly kube: KubeApi;
  /** Who does not send it is answered 401. */
  readonly token?: string;
  /** Absent: plain HTTP. */
  readonly tls?: ServerOptions;
  readonly host?: string;
}

const STATUS: Readonly<Record<KubeErrorCode, readonly [code: number, reason: string]>> = {
  unauthorized: [401, "Unauthorized"],
  forbidden: [403, "Forbidden"],
  absent: [404, "NotFound"],
  exists: [409, "AlreadyExists"],
  expired: [410, "Expired"],
  refused: [400, "BadRequest"],
  busy: [429, "TooManyRequests"],
  unreachable: [503, "ServiceUnavailable"],
  "cut-off": [500, "InternalError"],
  "too-large": [500, "InternalError"],
};

export class KubeServer {
  readonly #options: KubeServerOptions;
  readonly #server: Server;
  /** `list pods`, `watch endpointslices.discovery.k8s.io`: what was asked, as RBAC names it. */
  readonly asked = new Set<string>();
  /** Bytes of an answer after which it breaks off; absent: it does not. */
  cutAfterBytes: number | undefined;
  /** Rest between two pieces of 1 kB. */
  restMs = 0;

  constructor(options: KubeServerOptions) {
    this.#options = options;
    const listener = (asked: IncomingMessage, answer: ServerResponse): void => void this.#serve(asked, answer);
    this.#server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener);
  }

  /** Resolves to its URL. */
  async start(port = 0): Promise<string> {
    const { host = "127.0.0.1", tls } = this.#options;
    this.#server.listen(port, host);
    await once(this.#server, "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return `${tls ? "https" : "http"}://${host}:${address.port}`;
  }

  /** As after kill -9: connections are cut, nobody listens. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(asked.url ?? "", "http://kubernetes");
    const gone = new AbortController();
    answer.on("close", () => gone.abort());
    try {
      this.#authorize(asked);
      const isWatch = url.searchParams.get("watch") === "true";
      const verb = asked.method === "POST" ? "create" : isWatch ? "watch" : "list";
      this.asked.add(`${verb} ${resourceOf(url.pathname)}`);
      answer.setHeader("content-type", "application/json");
      if (verb === "create") await this.#create(url, asked, answer);
      else if (isWatch) await this.#watch(url, answer, gone.signal);
      else await this.#list(url, answer, gone.signal);
    } catch (error) {
      refuse(answer, error);
    }
  }

  #authorize({ headers }: IncomingMessage): void {
    const { token } = this.#options;
    if (token === undefined || headers.authorization === `Bearer ${token}`) return;
    throw new KubeError("unauthorized", "Unauthorized");
  }

  async #list(url: URL, answer: ServerResponse, signal: AbortSignal): Promise<void> {
    const query = {
      limit: Number(url.searchParams.get("limit") ?? Number.MAX_SAFE_INTEGER),
      continue: url.searchParams.get("continue") ?? undefined,
    };
    const bytes = await this.#options.kube.list(url.pathname, query, { signal, heard: () => undefined });
    await this.#send(answer, bytes);
    answer.end();
  }

  async #create(url: URL, asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of asked as AsyncIterable<Buffer>) parts.push(part);
    const body = Buffer.concat(parts);
    const call = { signal: new AbortController().signal, heard: () => undefined };
    await this.#options.kube.create(url.pathname, body, call);
    answer.statusCode = 201;
    answer.end(body);
  }

  async #watch(url: URL, answer: ServerResponse, signal: AbortSignal): Promise<void> {
    const query = { resourceVersion: url.searchParams.get("resourceVersion") ?? "0", timeoutSeconds: 0 };
    const bookmarks = url.searchParams.get("allowWatchBookmarks") === "true";
    const onLine = async (line: Uint8Array): Promise<void> => {
      const text = Buffer.from(line).toString();
      if (bookmarks || !text.startsWith('{"type":"BOOKMARK"')) await this.#send(answer, Buffer.from(`${text}\n`));
    };
    await this.#options.kube.watch(url.pathname, query, onLine, { signal, heard: () => answer.flushHeaders() });
    answer.end();
  }

  async #send(answer: ServerResponse, bytes: Uint8Array): Promise<void> {
    if (this.cutAfterBytes !== undefined && bytes.length > this.cutAfterBytes) {
      await new Promise((resolve) => answer.write(bytes.subarray(0, this.cutAfterBytes), resolve));
      throw new KubeError("cut-off", "on purpose");
    }
    const pieceBytes = this.restMs > 0 ? 1_024 : bytes.length;
    for (let at = 0; at < bytes.length && !answer.destroyed; at += pieceBytes) {
      answer.write(bytes.subarray(at, at + pieceBytes));
      if (this.restMs > 0) await new Promise((resolve) => setTimeout(resolve, this.restMs));
    }
  }
}

/** `/apis/discovery.k8s.io/v1/endpointslices` as `endpointslices.discovery.k8s.io`. */
function resourceOf(path: string): string {
  const [, root, group, ...rest] = path.replace(/\/namespaces\/[^/]+(?=\/)/, "").split("/");
  return root === "api" ? (rest[0] ?? "") : `${rest[1] ?? ""}.${group}`;
}

function refuse(answer: ServerResponse, error: unknown): void {
  const { code, message } = error instanceof KubeError ? error : new KubeError("refused", String(error));
  if (answer.headersSent) return void answer.destroy();
  const [status, reason] = STATUS[code];
  answer.statusCode = status;
  answer.end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", message, reason, code: status }));
}

/** A kubeconfig that leads to a server. */
export function kubeconfig(server: string, user: object = {}, cluster: object = { "skip-tls-verify": true }): string {
  // client-node asks for this of a server without TLS.
  const trust = server.startsWith("http:") ? { "insecure-skip-tls-verify": true } : cluster;
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "osaka", cluster: { server, ...trust } }],
    users: [{ name: "exporter", user }],
    contexts: [{ name: "osaka", context: { cluster: "osaka", user: "exporter" } }],
    "current-context": "osaka",
  });
}
