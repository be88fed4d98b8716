/** A real Docker engine, over HTTP on its unix socket. Its newest API is asked: the fields that are read have been there since 1.24. */
import { type ConnectDocker, DockerError } from "./door.ts";
import { answer, bytesOf, failure } from "./http.ts";

/** What may change a container's addresses, labels or health. Without exec: health checks make two such events a second. */
const EVENTS = {
  type: ["container", "network"],
  event: [
    ...["create", "start", "die", "pause", "unpause", "rename", "destroy", "health_status"],
    ...["connect", "disconnect"],
  ],
};

export const connectDocker: ConnectDocker = (socket) => ({
  async list(label, signal) {
    const path = `/containers/json?all=1&filters=${parameter({ label: [label] })}`;
    return await bytesOf(await answer(socket, { path }, signal));
  },
  async watch(onEvent, signal) {
    try {
      const stream = await answer(socket, { path: `/events?filters=${parameter(EVENTS)}` }, signal);
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
