/** What a program's doors answer, path by path. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { parseAs, type Schema } from "../runtime/schema.ts";
import { UserError } from "../runtime/user-error.ts";

/** May be a promise. A UserError is the asker's mistake, and its text is the answer. */
export type Answer = (query: ReadonlyMap<string, string>) => unknown;

/** One JSON line each. The signal aborts when the asker goes. A UserError thrown at the call, not later, is the asker's mistake. */
export type Stream = (query: ReadonlyMap<string, string>, signal: AbortSignal) => AsyncIterable<unknown>;

/** One event of `text/event-stream`. */
export interface FeedEvent {
  readonly name: string;
  /** JSON: one line. */
  readonly data: string;
}

/** Events for a page. The signal aborts when the asker goes. What is thrown at the call, not later, is the answer, under its `statusCode`. */
export type Feed = (signal: AbortSignal) => AsyncIterable<FeedEvent>;

/** A file that a browser loads. */
export interface StaticFile {
  /** Media type. */
  readonly type: string;
  readonly body: string;
}

/** Changes something. `body` is parsed JSON, of the route's schema where there is one; the result, which may be a promise, is sent as JSON. */
export type Action = (body: unknown) => unknown;

function queryOf({ query }: FastifyRequest): ReadonlyMap<string, string> {
  return new Map(Object.entries(query as Record<string, unknown>).map(([name, value]) => [name, String(value)]));
}

/** Runs what a program does for an asker; the asker's mistake is a 400. */
async function forAsker<T>(work: () => T): Promise<Awaited<T>> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof UserError ? Object.assign(error, { statusCode: 400 }) : error;
  }
}

/**
 * Sends no faster than it is read: what the asker does not take waits in `open`'s iterable, which knows its own bound.
 *
 * @param headers beside those that the reply has already.
 */
async function sendStream(
  reply: FastifyReply,
  headers: Readonly<Record<string, string>>,
  open: (signal: AbortSignal) => AsyncIterable<string>,
): Promise<void> {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  const texts = await forAsker(() => open(gone.signal));
  reply.hijack();
  reply.raw.writeHead(200, { ...(reply.getHeaders() as Readonly<Record<string, string>>), ...headers });
  reply.raw.flushHeaders();
  try {
    await pipeline(Readable.from(texts), reply.raw);
  } catch {
    // The asker went, or the program failed underway: either way this connection is over, and the asker sees that it broke off.
    reply.raw.destroy();
  } finally {
    gone.abort();
  }
}

async function* mapped<T>(values: AsyncIterable<T>, text: (value: T) => string): AsyncGenerator<string> {
  for await (const value of values) yield text(value);
}

export function addAnswer(server: FastifyInstance, path: string, answer: Answer): void {
  server.get(path, async (request, reply) => sendJson(reply, await forAsker(() => answer(queryOf(request)))));
}

export function addStream(server: FastifyInstance, path: string, stream: Stream): void {
  server.get(path, (request, reply) =>
    sendStream(reply, { "content-type": "application/x-ndjson" }, (signal) =>
      mapped(stream(queryOf(request), signal), (value) => `${JSON.stringify(value)}\n`),
    ),
  );
}

export function addFeed(server: FastifyInstance, path: string, feed: Feed): void {
  const headers = { "content-type": "text/event-stream", "cache-control": "no-store" };
  server.get(path, (_request, reply) =>
    sendStream(reply, headers, (signal) =>
      mapped(feed(signal), ({ name, data }) => `event: ${name}\ndata: ${data}\n\n`),
    ),
  );
}

export function addFile(server: FastifyInstance, path: string, { type, body }: StaticFile): void {
  server.get(path, (_request, reply) => reply.type(type).header("cache-control", "no-cache").send(body));
}

/** @param schema what the body must be; whatever else is the asker's mistake. */
export function addAction(server: FastifyInstance, path: string, action: Action, schema?: Schema): void {
  server.post(path, async (request, reply) => {
    const result = await forAsker(() =>
      action(schema === undefined ? request.body : parseAs(schema, request.body, "body")),
    );
    return sendJson(reply, result ?? null);
  });
}

/** With a newline at its end, as Go's encoder writes it. */
function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type("application/json").send(`${JSON.stringify(value)}\n`);
}
