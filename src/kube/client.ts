/**
 * A real API server. @kubernetes/client-node reads the kubeconfig and says who we are; requests are plain ones, so that a page is read and
 * dropped as it comes (decision 0025). The package is loaded on the first connection: who has no Kubernetes does not pay for it.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { messageOf } from "../runtime/user-error.ts";
import {
  type ConnectKube,
  codeOfStatus,
  type KubeAccess,
  type KubeApi,
  type KubeCall,
  KubeError,
  MAX_LINE_BYTES,
  MAX_PAGE_BYTES,
} from "./door.ts";

const LONGEST_REASON = 300;
const NEWLINE = 0x0a;

/** Adds who we are, and whom we trust, to the options of a request. */
type Authorize = (options: RequestOptions) => Promise<void>;

export const connectKube: ConnectKube = async (access) => {
  const { server, authorize } = await readAccess(access);
  const answer = (path: string, query: Readonly<Record<string, string>>, call: KubeCall): Promise<IncomingMessage> =>
    ask(server, { path: `${path}?${new URLSearchParams(query)}` }, authorize, call);
  return {
    async list(path, { limit, continue: token }, call) {
      const query = { limit: String(limit), ...(token !== undefined && { continue: token }) };
      return await bytesOf(await answer(path, query, call), call);
    },
    async watch(path, { resourceVersion, timeoutSeconds }, onLine, call) {
      const query = { watch: "true", allowWatchBookmarks: "true", resourceVersion };
      try {
        const stream = await answer(path, { ...query, timeoutSeconds: String(timeoutSeconds) }, call);
        await readLines(stream, onLine, call);
      } catch (error) {
        if (!call.signal.aborted) throw error;
      }
    },
    async create(path, body, call) {
      await bytesOf(await ask(server, { path, body }, authorize, call), call);
    },
  } satisfies KubeApi;
};

async function readAccess({ config: file, context }: KubeAccess): Promise<{ server: URL; authorize: Authorize }> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    if (file === undefined && !process.env["KUBERNETES_SERVICE_HOST"]) throw new Error("this is no pod of Kubernetes");
    if (file === undefined) config.loadFromCluster();
    else config.loadFromFile(file);
    if (context !== undefined) config.setCurrentContext(context);
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw new Error(`no cluster in context ${JSON.stringify(config.getCurrentContext())}`);
    return { server: new URL(cluster.server), authorize: (options) => config.applyToHTTPSOptions(options) };
  } catch (error) {
    throw new KubeError("refused", `${file ?? "service account"}: ${messageOf(error)}`);
  }
}

/** What is asked: a GET, or a POST where there is a body. */
interface Asked {
  readonly path: string;
  readonly body?: Uint8Array;
}

/** Resolves to the answer once its head says that it is one. */
async function ask(server: URL, { path, body }: Asked, authorize: Authorize, call: KubeCall): Promise<IncomingMessage> {
  const url = new URL(server.pathname.replace(/\/$/, "") + path, server);
  const options: RequestOptions = {
    method: body ? "POST" : "GET",
    headers: { accept: "application/json", ...(body && { "content-type": "application/json" }) },
  };
  try {
    await authorize(options);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = requestTo(url, options, call.signal, resolve);
      asked.on("error", reject);
      asked.end(body);
    });
    call.heard();
    if (response.statusCode === 200 || response.statusCode === 201) return response;
    throw new KubeError(codeOfStatus(response.statusCode ?? 0), await reasonOf(response, call));
  } catch (error) {
    throw error instanceof KubeError ? error : new KubeError("unreachable", `${server.host}: ${reasonText(error)}`);
  }
}

function requestTo(url: URL, options: RequestOptions, signal: AbortSignal, onAnswer: (got: IncomingMessage) => void) {
  if (url.protocol === "https:") return httpsRequest(url, { ...options, signal }, onAnswer);
  // The package makes an agent for TLS in any case.
  const { agent: _, ...plain } = options;
  return httpRequest(url, { ...plain, signal }, onAnswer);
}

function reasonText(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && code !== "ABORT_ERR" ? `${code} ${messageOf(error)}` : messageOf(error);
}

/** `HTTP 403: pods is forbidden: ...`: the message of the Status that the server sends along, or the beginning of what it sent. */
async function reasonOf(response: IncomingMessage, call: KubeCall): Promise<string> {
  const bytes = await bytesOf(response, call).catch(() => new Uint8Array());
  const text = Buffer.from(bytes).toString("utf8", 0, MAX_REASON_BYTES);
  const said = statusMessage(text) ?? text;
  return `HTTP ${response.statusCode}: ${said.trim().slice(0, LONGEST_REASON)}`;
}

const MAX_REASON_BYTES = 16_384;

function statusMessage(text: string): string | undefined {
  try {
    const { message } = JSON.parse(text);
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}

async function bytesOf(response: IncomingMessage, call: KubeCall): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of chunksOf(response, call)) {
    length += part.length;
    if (length > MAX_PAGE_BYTES) throw new KubeError("too-large", `a page of more than ${MAX_PAGE_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function readLines(
  stream: IncomingMessage,
  onLine: (line: Uint8Array) => Promise<void>,
  call: KubeCall,
): Promise<void> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunksOf(stream, call)) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, end)]);
      parts = [];
      length = 0;
      from = end + 1;
      if (line.length > 0) await onLine(line);
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > MAX_LINE_BYTES) throw new KubeError("too-large", `a line of more than ${MAX_LINE_BYTES} bytes`);
  }
  if (length > 0) throw new KubeError("cut-off", "the stream ended within a line");
}

async function* chunksOf(stream: IncomingMessage, { heard }: KubeCall): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      heard();
      yield chunk;
    }
  } catch (error) {
    throw new KubeError("cut-off", `the answer was cut off: ${messageOf(error)}`);
  }
}
