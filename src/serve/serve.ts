/**
 * A program's doors: an admin unix socket (mode 0600) with `GET /v1/status` and whatever else the program answers or streams, and probes and
 * metrics on an address of the settings. Nothing here writes anything.
 */
import { chmod, mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import fastify from "fastify";
import type { ProgramStatus } from "../model/status.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";

export interface Readiness {
  readonly ready: boolean;
  /** Why, in a few words. */
  readonly detail: string;
}

/** May be a promise. A UserError is the asker's mistake, and its text is the answer. */
export type Answer = (query: ReadonlyMap<string, string>) => unknown;

/** One JSON line each. The signal aborts when the asker goes. A UserError thrown at the call, not later, is the asker's mistake. */
export type Stream = (query: ReadonlyMap<string, string>, signal: AbortSignal) => AsyncIterable<unknown>;

export interface ServeOptions {
  readonly status: () => ProgramStatus;
  readonly ready: () => Readiness;
  readonly metrics: Metrics;
  /** Path of the admin socket. */
  readonly adminSocket: string;
  /** `ADDRESS:PORT` of probes and metrics; none when absent. */
  readonly listen?: string | undefined;
  /** What the admin socket answers beside `/v1/status`, by path. */
  readonly answers?: ReadonlyMap<string, Answer>;
  readonly streams?: ReadonlyMap<string, Stream>;
}

export interface Served {
  close(): Promise<void>;
}

function newServer(): FastifyInstance {
  return fastify({ logger: false, forceCloseConnections: true });
}

function addProbes(server: FastifyInstance, { ready, metrics }: ServeOptions): void {
  server.get("/healthz", () => ({ healthy: true }));
  server.get("/readyz", (_request, reply) => {
    const readiness = ready();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  server.get("/metrics", async (_request, reply) => reply.type("text/plain; version=0.0.4").send(await metrics.text()));
}

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

/** Sends the stream no faster than it is read: what the asker does not take waits in `stream`, which knows its own bound. */
async function sendStream(request: FastifyRequest, reply: FastifyReply, stream: Stream): Promise<void> {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  const values = await forAsker(() => stream(queryOf(request), gone.signal));
  reply.hijack();
  reply.raw.writeHead(200, { "content-type": "application/x-ndjson" });
  reply.raw.flushHeaders();
  try {
    await pipeline(Readable.from(jsonLines(values)), reply.raw);
  } catch {
    // The asker went, or the program failed underway: either way this connection is over, and the asker sees that it broke off.
    reply.raw.destroy();
  } finally {
    gone.abort();
  }
}

async function* jsonLines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`;
}

function addAdmin(server: FastifyInstance, { status, answers, streams }: ServeOptions): void {
  server.get("/v1/status", () => status());
  for (const [path, answer] of answers ?? []) {
    server.get(path, (request) => forAsker(() => answer(queryOf(request))));
  }
  for (const [path, stream] of streams ?? []) {
    server.get(path, (request, reply) => sendStream(request, reply, stream));
  }
}

/** Whether some process answers on a unix socket: a path that nobody answers on is left over from a crash. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

async function listenOnSocket(server: FastifyInstance, socketPath: string): Promise<void> {
  if (await answers(socketPath)) {
    throw new UserError(
      `admin socket ${socketPath}: another process answers there; stop it or choose another --run-dir`,
    );
  }
  try {
    await mkdir(dirname(socketPath), { recursive: true });
    await rm(socketPath, { force: true });
    await server.listen({ path: socketPath });
    await chmod(socketPath, 0o600);
  } catch (error) {
    throw new UserError(`admin socket ${socketPath}: ${messageOf(error)}; choose a --run-dir that this user can write`);
  }
}

async function listenOnAddress(server: FastifyInstance, listen: string): Promise<void> {
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon).replace(/^\[|\]$/g, "");
  try {
    await server.listen({ host, port: Number(listen.slice(colon + 1)) });
  } catch (error) {
    throw new UserError(`--listen ${listen}: ${messageOf(error)}; choose a free port on an address of this machine`);
  }
}

/** Opens the doors. Throws a UserError when one cannot be had; then none stays open. */
export async function serve(options: ServeOptions): Promise<Served> {
  const servers: FastifyInstance[] = [];
  const close = async (): Promise<void> => {
    for (const server of servers) await server.close();
  };
  const open = (): FastifyInstance => {
    const server = newServer();
    addProbes(server, options);
    servers.push(server);
    return server;
  };
  try {
    if (options.listen !== undefined) await listenOnAddress(open(), options.listen);
    const admin = open();
    addAdmin(admin, options);
    await listenOnSocket(admin, options.adminSocket);
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}
