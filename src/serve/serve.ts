/**
 * A program's doors: an admin unix socket (mode 0600) with `GET /v1/status` and whatever else the program answers, streams or does, and probes
 * and metrics on an address of the settings. Only the admin socket changes anything.
 */
import { chmod, mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { FastifyInstance } from "fastify";
import fastify from "fastify";
import type { ProgramStatus } from "../model/status.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { type Action, type Answer, addAction, addAnswer, addStream, type Readiness, type Stream } from "./routes.ts";

/** Bodies are a few names. */
const MAX_BODY_BYTES = 64 * 1024;

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
  /** What the admin socket, and nothing else, does when it is told to: `POST path`. */
  readonly actions?: ReadonlyMap<string, Action>;
}

export interface Served {
  close(): Promise<void>;
}

function newServer(): FastifyInstance {
  const server = fastify({ logger: false, forceCloseConnections: true, bodyLimit: MAX_BODY_BYTES });
  server.removeContentTypeParser("text/plain");
  return server;
}

function addProbes(server: FastifyInstance, { ready, metrics }: ServeOptions): void {
  server.get("/healthz", () => ({ healthy: true }));
  server.get("/readyz", (_request, reply) => {
    const readiness = ready();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  server.get("/metrics", async (_request, reply) => reply.type("text/plain; version=0.0.4").send(await metrics.text()));
}

function addAdmin(server: FastifyInstance, { status, answers, streams, actions }: ServeOptions): void {
  addAnswer(server, "/v1/status", status);
  for (const [path, answer] of answers ?? []) addAnswer(server, path, answer);
  for (const [path, stream] of streams ?? []) addStream(server, path, stream);
  for (const [path, action] of actions ?? []) addAction(server, path, action);
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
