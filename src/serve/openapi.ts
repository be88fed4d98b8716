/** What a program's doors answer, as an OpenAPI 3.1 document, made of the routes that they have. */
import assert from "node:assert/strict";
import { jsonSchemaOf, type Schema } from "../runtime/schema.ts";

/** `admin`: the unix socket; `api`: read-only, on the loopback; `probes`: probes and metrics, on an address of the settings. */
export type Door = "admin" | "api" | "probes";

export interface Route {
  readonly door: Door;
  readonly method: "GET" | "POST";
  readonly path: string;
}

export interface RouteDoc {
  readonly summary: string;
  /** Name of a parameter -> what it means. All may be left out. */
  readonly query?: Readonly<Record<string, string>>;
  /** What is POSTed. */
  readonly body?: Schema;
  readonly answer: Schema;
  /** Default: JSON. `application/x-ndjson`: a stream, and `answer` is one line of it. `text/event-stream`: the same of one event's data. */
  readonly type?: string;
}

/** By method and path: `GET /v1/status`. */
export type RouteDocs = ReadonlyMap<string, RouteDoc>;

type Json = Readonly<Record<string, unknown>>;

const REFUSED: Json = { description: "The asker's mistake; `message` is one line that says how to mend it." };

function operation(doc: RouteDoc, doors: readonly Door[]): Json {
  const { summary, query, body, answer, type = "application/json" } = doc;
  const parameters = Object.entries(query ?? {}).map(([name, description]) => {
    return { name, in: "query", description, schema: { type: "string" } };
  });
  return {
    summary,
    tags: doors,
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: { required: true, content: { "application/json": { schema: jsonSchemaOf(body) } } } }),
    responses: {
      200: { description: summary, content: { [type]: { schema: jsonSchemaOf(answer) } } },
      ...((query || body) && { 400: REFUSED }),
    },
  };
}

/** @param docs has one for every route. */
export function openApi(title: string, routes: readonly Route[], docs: RouteDocs): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const [name, same] of Map.groupBy(routes, ({ method, path }) => `${method} ${path}`)) {
    const [{ method, path }] = same as [Route, ...Route[]];
    const doc = docs.get(name);
    assert(doc !== undefined, `${name} is served and not described`);
    paths[path] = {
      ...paths[path],
      [method.toLowerCase()]: operation(
        doc,
        same.map(({ door }) => door),
      ),
    };
  }
  const tags = [
    {
      name: "admin",
      description: "The admin unix socket, which only its owner may open. The only door that changes anything.",
    },
    { name: "api", description: "Read-only, on the loopback, for tools of this machine." },
    { name: "probes", description: "Probes and metrics." },
  ];
  return { openapi: "3.1.0", info: { title, version: "1" }, tags, paths };
}
