/**
 * A program's doors: an admin unix socket (mode 0600) with `GET /v1/status` and whatever else the program answers, streams or does; probes and
 * metrics on an address of the settings; and, where there is something to tell the tools of this machine, a read-only API on the loopback. Only
 * the admin socket changes anything.
 */
import { chmod, mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { FastifyInstance } from "fastify";
import fastify from "fastify";
import type { ProgramStatus, Readiness } from "../model/status.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { messageOf, UserError } from "../runtime/user-error.ts";
import { COMMON_DOCS } from "./common-docs.ts";
import { admitLoopbackNames, seal, splitListen } from "./loopback.ts";
import { type Door, openApi, type Route, type RouteDocs } from "./openapi.ts";
import {
  type Action,
  type Answer,
  addAction,
  addAnswer,
  addFeed,
  addFile,
  addStream,
  type Feed,
  type StaticFile,
  type Stream,
} from "./routes.ts";

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
  /** What is told on the loopback beside `/v1/status`. */
  readonly api?: ApiOptions | undefined;
  /** Of every route but those that all programs have: with them, `/v1/openapi.json` is answered too, and bodies of actions are checked. */
  readonly docs?: RouteDocs;
}

export interface ApiOptions {
  readonly listen: string;
  readonly answers: ReadonlyMap<string, Answer>;
  /** What a browser loads, and the events that it is sent. */
  readonly files?: ReadonlyMap<string, StaticFile>;
  readonly feeds?: ReadonlyMap<string, Feed>;
}

export interface Served {
  close(): Promise<void>;
}

/** One run of `serve`: its servers, and the routes that they have. */
class Doors {
  readonly #options: ServeOptions;
  readonly #docs: RouteDocs;
  readonly #routes: Route[] = [];
  readonly #servers: FastifyInstance[] = [];

  constructor(options: ServeOptions) {
    this.#options = options;
    this.#docs = new Map([...COMMON_DOCS, ...(options.docs ?? [])]);
  }

  async open(): Promise<void> {
    const { listen, api, adminSocket } = this.#options;
    if (listen !== undefined) await listenOnAddress(this.#server("probes"), "--listen", listen);
    if (api !== undefined) await listenOnAddress(this.#api(api), "--api-listen", api.listen);
    await listenOnSocket(this.#admin(), adminSocket);
  }

  async close(): Promise<void> {
    for (const server of this.#servers) await server.close();
  }

  #server(door: Door): FastifyInstance {
    const server = newServer();
    server.addHook("onRoute", ({ method, url: path }) => {
      if (method === "GET" || method === "POST") this.#routes.push({ door, method: method as Route["method"], path });
    });
    if (door === "api") forThisMachine(server);
    this.#servers.push(server);
    if (door !== "api") addProbes(server, this.#options);
    if (door !== "probes") this.#addCommon(server);
    return server;
  }

  #addCommon(server: FastifyInstance): void {
    const { status, docs } = this.#options;
    addAnswer(server, "/v1/status", status);
    if (docs === undefined) return;
    const title = `bulkhead ${status().program}`;
    addAnswer(server, "/v1/openapi.json", () => openApi(title, this.#routes, this.#docs));
  }

  #api(api: ApiOptions): FastifyInstance {
    const server = this.#server("api");
    addApi(server, api);
    return server;
  }

  #admin(): FastifyInstance {
    const { answers, streams, actions } = this.#options;
    const server = this.#server("admin");
    for (const [path, answer] of answers ?? []) addAnswer(server, path, answer);
    for (const [path, stream] of streams ?? []) addStream(server, path, stream);
    for (const [path, action] of actions ?? []) addAction(server, path, action, this.#docs.get(`POST ${path}`)?.body);
    return server;
  }
}

function newServer(): FastifyInstance {
  const server = fastify({ logger: false, forceCloseConnections: true, bodyLimit: MAX_BODY_BYTES });
  server.removeContentTypeParser("text/plain");
  return server;
}

function forThisMachine(server: FastifyInstance): void {
  seal(server);
  admitLoopbackNames(server);
}

function addApi(server: FastifyInstance, { answers, files, feeds }: ApiOptions): void {
  for (const [path, answer] of answers) addAnswer(server, path, answer);
  for (const [path, file] of files ?? []) addFile(server, path, file);
  for (const [path, feed] of feeds ?? []) addFeed(server, path, feed);
}

function addProbes(server: FastifyInstance, { ready, metrics }: ServeOptions): void {
  server.get("/healthz", () => ({ healthy: true }));
  server.get("/readyz", (_request, reply) => {
    const readiness = ready();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  server.get("/metrics", async (_request, reply) => reply.type("text/plain; version=0.0.4").send(await metrics.text()));
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

async function listenOnAddress(server: FastifyInstance, flag: string, listen: string): Promise<void> {
  try {
    await server.listen(splitListen(listen));
  } catch (error) {
    throw new UserError(`${flag} ${listen}: ${messageOf(error)}; choose a free port on an address of this machine`);
  }
}

/** Opens the doors. Throws a UserError when one cannot be had; then none stays open. */
export async function serve(options: ServeOptions): Promise<Served> {
  const doors = new Doors(options);
  try {
    await doors.open();
  } catch (error) {
    await doors.close();
    throw error;
  }
  return { close: () => doors.close() };
}

/** The loopback's door alone, of a verb that is no program. Throws a UserError that names `--listen` when it cannot be had. */
export async function serveLoopback(api: ApiOptions): Promise<Served> {
  const server = newServer();
  forThisMachine(server);
  addApi(server, api);
  await listenOnAddress(server, "--listen", api.listen);
  return { close: () => server.close() };
}
