/** A real Docker engine, over HTTP on its unix socket. Its newest API is asked: the fields that are read have been there since 1.24. */
import { type IncomingMessage, request } from "node:http";
import { type ConnectDocker, DockerError, MAX_ANSWER_BYTES } from "./door.ts";

/** What may change a container's addresses, labels or health. Without exec: health checks make two such events a second. */
const EVENTS = {
  type: ["container", "network"],
  event: [
    ...["create", "start", "die", "pause", "unpause", "rename", "destroy", "health_status"],
    ...["connect", "disconnect"],
  ],
};

const LONGEST_REASON = 200;

export const connectDocker: ConnectDocker = (socket) => ({
  async list(label, signal) {
    const path = `/containers/json?all=1&filters=${parameter({ label: [label] })}`;
    return await bytesOf(await answer(socket, path, signal));
  },
  async watch(onEvent, signal) {
    try {
      const stream = await answer(socket, `/events?filters=${parameter(EVENTS)}`, signal);
      onEvent();
      // Not parsed: an event says only that it is time to look.
      for await (const _ of stream) onEvent();
      throw new DockerError("cut-off", `${socket}: the events ended`);
    } catch (error) {
      if (!signal.aborted) throw failure(socket, error);
    }
  },
});

function parameter(filters: Readonly<Record<string, readonly string[]>>): string {
  return encodeURIComponent(JSON.stringify(filters));
}

function failure(socket: string, error: unknown): DockerError {
  if (error instanceof DockerError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new DockerError("unreachable", `${socket}: ${code ?? message}`);
}

/** Resolves to the answer once its head says 200. */
async function answer(socketPath: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false, signal, headers: { host: "docker" } }, resolve);
    asked.on("error", (error) => reject(failure(socketPath, error)));
    asked.end();
  });
  if (response.statusCode === 200) return response;
  const reason = Buffer.from(await bytesOf(response))
    .toString("utf8", 0, LONGEST_REASON)
    .trim();
  throw new DockerError("refused", `${socketPath}: HTTP ${response.statusCode} ${JSON.stringify(reason)}`);
}

async function bytesOf(response: IncomingMessage): Promise<Uint8Array> {
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
