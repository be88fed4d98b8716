/** HTTP to a Docker engine on its unix socket: one request, one answer, and faults in the words of the door. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { DockerError, MAX_ANSWER_BYTES } from "./door.ts";

const LONGEST_REASON = 200;

export interface DockerCall {
  readonly path: string;
  /** GET when absent. */
  readonly method?: "GET" | "POST";
  readonly body?: unknown;
  /** Status codes that are no failure; 200 when absent. */
  readonly good?: readonly number[];
}

export function failure(socket: string, error: unknown): DockerError {
  if (error instanceof DockerError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new DockerError("unreachable", `${socket}: ${code ?? message}`);
}

/** Sends it. `headers` are those beside what its body needs. */
function send(
  socketPath: string,
  { path, method = "GET", body }: DockerCall,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): ClientRequest {
  const text = body === undefined ? "" : JSON.stringify(body);
  const typed = text === "" ? {} : { "content-type": "application/json" };
  const length = method === "GET" ? {} : { "content-length": `${Buffer.byteLength(text)}` };
  const all = { host: "docker", ...headers, ...typed, ...length };
  const asked = request({ socketPath, path, method, agent: false, signal, headers: all });
  asked.end(text);
  return asked;
}

/** Resolves to the answer once its head says that it is good. */
export async function answer(socket: string, call: DockerCall, signal: AbortSignal): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    send(socket, call, {}, signal)
      .on("response", resolve)
      .on("error", (error) => reject(failure(socket, error)));
  });
  if ((call.good ?? [200]).includes(response.statusCode ?? 0)) return response;
  throw await refusal(socket, response);
}

/** Resolves to the connection once the engine has turned it into a stream both ways. */
export async function upgraded(socket: string, call: DockerCall, signal: AbortSignal): Promise<Duplex> {
  const response = await new Promise<IncomingMessage | Duplex>((resolve, reject) => {
    send(socket, call, { connection: "Upgrade", upgrade: "tcp" }, signal)
      .on("response", resolve)
      .on("upgrade", (_, stream: Duplex, head: Buffer) => {
        if (head.length > 0) stream.unshift(head);
        resolve(stream);
      })
      .on("error", (error) => reject(failure(socket, error)));
  });
  if ("statusCode" in response) throw await refusal(socket, response);
  return response as Duplex;
}

async function refusal(socket: string, response: IncomingMessage): Promise<DockerError> {
  const reason = Buffer.from(await bytesOf(response))
    .toString("utf8", 0, LONGEST_REASON)
    .trim();
  return new DockerError("refused", `${socket}: HTTP ${response.statusCode} ${JSON.stringify(reason)}`);
}

export async function bytesOf(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > MAX_ANSWER_BYTES) throw new DockerError("too-large", `more than ${MAX_ANSWER_BYTES} bytes`);
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof DockerError) throw error;
    throw new DockerError("cut-off", `the answer was cut off: ${(error as Error).message}`);
  }
  return Buffer.concat(parts);
}
