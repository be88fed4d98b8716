/** Asking a program on its admin socket: the other end of `serve`. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";

/** Largest answer a program may give, and longest line of a stream. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_LINE_BYTES = 1024 * 1024;

export type Query = Readonly<Record<string, string>>;

function withQuery(path: string, query: Query): string {
  const text = new URLSearchParams(query).toString();
  return text === "" ? path : `${path}?${text}`;
}

/** What fastify says of a failure, else the bare code. */
function failureOf(statusCode: number | undefined, body: string): Error {
  try {
    const { message } = JSON.parse(body) as { readonly message?: unknown };
    if (typeof message === "string") return new Error(message);
  } catch {
    // Not JSON: the code says enough.
  }
  return new Error(`answered ${statusCode}`);
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`answer above ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

interface Sent {
  /** POSTed as JSON; absent: GET. */
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** Asks on a unix socket. Rejects when nobody answers within `timeoutMs`; also between two pieces of the answer. */
function open(
  socketPath: string,
  path: string,
  timeoutMs: number,
  { body, signal }: Sent = {},
): Promise<{ readonly asked: ClientRequest; readonly response: IncomingMessage }> {
  return new Promise((resolve, reject) => {
    const post = { method: "POST", headers: { "content-type": "application/json" } };
    const options = {
      socketPath,
      path,
      timeout: timeoutMs,
      ...(body !== undefined && post),
      ...(signal && { signal }),
    };
    let waitedFor: ClientRequest | IncomingMessage | undefined;
    const asked = request(options, (response) => {
      waitedFor = response;
      resolve({ asked, response });
    });
    asked.on("timeout", () => (waitedFor ?? asked).destroy(new Error(`no answer within ${timeoutMs} ms`)));
    asked.on("error", reject);
    asked.end(body);
  });
}

/** `GET path` on a unix socket, as JSON. Rejects when nobody answers within `timeoutMs`, and with the program's own words when it refuses. */
export async function askSocket(
  socketPath: string,
  path: string,
  timeoutMs: number,
  query: Query = {},
): Promise<unknown> {
  return answerOf(await open(socketPath, withQuery(path, query), timeoutMs));
}

/**
 * `POST path` with `body` as JSON on a unix socket; the answer as JSON. Rejects as `askSocket` does: after `timeoutMs` it is not known whether it
 * was done.
 */
export async function tellSocket(socketPath: string, path: string, body: unknown, timeoutMs: number): Promise<unknown> {
  return answerOf(await open(socketPath, path, timeoutMs, { body: JSON.stringify(body) }));
}

async function answerOf({ response }: { readonly response: IncomingMessage }): Promise<unknown> {
  const body = await readAll(response);
  if (response.statusCode !== 200) throw failureOf(response.statusCode, body);
  return JSON.parse(body);
}

/**
 * `GET path` on a unix socket, as the JSON lines of a stream. Ends when the program ends it; throws when the program goes away, and when it does
 * not begin to answer within `timeoutMs`. Reads no faster than the lines are taken.
 */
export async function* followSocket(
  socketPath: string,
  path: string,
  timeoutMs: number,
  query: Query,
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  const { asked, response } = await open(socketPath, withQuery(path, query), timeoutMs, { signal });
  if (response.statusCode !== 200) throw failureOf(response.statusCode, await readAll(response));
  asked.setTimeout(0);
  for await (const line of lines(response)) yield JSON.parse(line);
}

async function* lines(response: IncomingMessage): AsyncGenerator<string> {
  response.setEncoding("utf8");
  let rest = "";
  for await (const text of response as AsyncIterable<string>) {
    const parts = `${rest}${text}`.split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > MAX_LINE_BYTES) throw new Error(`a line above ${MAX_LINE_BYTES} bytes`);
    yield* parts;
  }
}
