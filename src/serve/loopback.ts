/** The loopback as a door: who may listen there, and who is talking to it. */
import { isIPv4 } from "node:net";
import type { FastifyInstance } from "fastify";

/** `ADDRESS:PORT` in its parts, IPv6 without brackets. */
export function splitListen(listen: string): { readonly host: string; readonly port: number } {
  const colon = listen.lastIndexOf(":");
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(listen.slice(colon + 1)) };
}

function isLoopback(host: string): boolean {
  return host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/** Why `listen` is not `ADDRESS:PORT` on the loopback, or undefined when it is. */
export function loopbackFault(listen: string): string | undefined {
  const { host, port } = splitListen(listen);
  const formed = /^(\[[^\]]+\]|[^:]+):\d{1,5}$/.test(listen) && port <= 65_535;
  if (formed && isLoopback(host)) return undefined;
  return "must be ADDRESS:PORT on the loopback, such as 127.0.0.1:9889 or [::1]:9889: what is said there is for this machine";
}

/**
 * Refuses requests whose Host is no name of the loopback: a page in a browser of this machine can make a name of its own point here, and would
 * read the answers as its own.
 */
export function admitLoopbackNames(server: FastifyInstance): void {
  server.addHook("onRequest", async (request, reply) => {
    const name = (request.headers.host ?? "").replace(/:\d*$/, "").toLowerCase();
    if (name === "localhost" || isLoopback(name.replace(/^\[|\]$/g, ""))) return;
    await reply
      .code(403)
      .send({ statusCode: 403, error: "Forbidden", message: "Host must be localhost or an address of the loopback" });
  });
}

/** A browser loads what this door has and nothing else, runs no text of a page as a script, and shows none of it inside of other pages. */
const POLICY = [
  "default-src 'none'",
  ...["script-src", "style-src", "img-src", "connect-src"].map((what) => `${what} 'self'`),
  ...["base-uri", "form-action", "frame-ancestors"].map((what) => `${what} 'none'`),
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const SEALED: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** Gives every answer, refusals too, the headers that hold a browser to that. */
export function seal(server: FastifyInstance): void {
  server.addHook("onRequest", async (_request, reply) => {
    reply.headers(SEALED);
  });
}
