/** A real Docker engine, told what to do: API 1.30 and later. */
import type { Duplex } from "node:stream";
import type { ConnectControl } from "./control.ts";
import { DockerError } from "./door.ts";
import { connectDocker } from "./engine.ts";
import { FrameReader } from "./frames.ts";
import { answer, bytesOf, type DockerCall, failure, upgraded } from "./http.ts";

/** It has so many seconds until it is killed. */
const STOP = "stop?t=5";
/** 304: it runs. */
const DONE = [204, 304];
const MADE = [201];
const OUTPUT = { AttachStdout: true, AttachStderr: true };
/** Beside another container: nothing but its network, and that whole. */
const HELPER = {
  CapDrop: ["ALL"],
  CapAdd: ["NET_ADMIN"],
  SecurityOpt: ["no-new-privileges"],
  ReadonlyRootfs: true,
  AutoRemove: true,
};

export const connectControl: ConnectControl = (socket) => ({
  list: connectDocker(socket).list,
  async act(id, action, signal) {
    const path = container(id, action === "stop" ? STOP : action);
    await bytesOf(await answer(socket, { path, method: "POST", good: DONE }, signal));
  },
  inside: (id, argv, signal) => inside(socket, id, argv, signal),
  beside: (id, argv, signal) => beside(socket, id, argv, signal),
  async leaveBeside(id, argv, label, signal) {
    const [name = "", value = ""] = label.split("=");
    await run(socket, await helperOf(socket, id, { Entrypoint: argv, Labels: { [name]: value } }, signal), signal);
  },
});

const container = (id: string, what: string): string => `/containers/${encodeURIComponent(id)}/${what}`;

async function* inside(
  socket: string,
  id: string,
  argv: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<string> {
  const wanted = { AttachStdin: true, ...OUTPUT, Cmd: argv };
  const made = await ask(socket, { path: container(id, "exec"), method: "POST", body: wanted, good: MADE }, signal);
  const exec = `/exec/${encodeURIComponent(String(made["Id"]))}`;
  const body = { Detach: false, Tty: false };
  const stream = await upgraded(socket, { path: `${exec}/start`, method: "POST", body }, signal);
  const frames = new FrameReader();
  yield* linesOf(socket, stream, frames, signal);
  if (signal.aborted) return;
  requireSuccess(argv, (await ask(socket, { path: `${exec}/json` }, signal))["ExitCode"], frames);
}

/** Makes a container of the same image in the network of this one; it does not run yet. */
async function helperOf(socket: string, id: string, more: object, signal: AbortSignal): Promise<string> {
  const { Image } = await ask(socket, { path: container(id, "json") }, signal);
  const HostConfig = { ...HELPER, NetworkMode: `container:${id}` };
  const body = { Image, User: "0", Cmd: [], ...more, HostConfig };
  const made = await ask(socket, { path: "/containers/create", method: "POST", body, good: MADE }, signal);
  return String(made["Id"]);
}

async function run(socket: string, helper: string, signal: AbortSignal): Promise<void> {
  await bytesOf(await answer(socket, { path: container(helper, "start"), method: "POST", good: DONE }, signal));
}

async function beside(socket: string, id: string, argv: readonly string[], signal: AbortSignal): Promise<void> {
  const helper = await helperOf(socket, id, { Entrypoint: argv, ...OUTPUT }, signal);
  const attach = container(helper, "attach?stream=1&stdout=1&stderr=1");
  const stream = await upgraded(socket, { path: attach, method: "POST" }, signal);
  // Asked before it starts: afterwards it may be gone already.
  const ended = ask(socket, { path: container(helper, "wait?condition=next-exit"), method: "POST" }, signal);
  ended.catch(() => undefined);
  const frames = new FrameReader();
  try {
    await run(socket, helper, signal);
    for await (const _ of linesOf(socket, stream, frames, signal));
    requireSuccess(argv, (await ended)["StatusCode"], frames);
  } finally {
    stream.destroy();
  }
}

/** Ends without a word when the signal aborts. */
async function* linesOf(
  socket: string,
  stream: Duplex,
  frames: FrameReader,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const end = (): void => void stream.destroy();
  signal.addEventListener("abort", end, { once: true });
  try {
    for await (const bytes of stream as AsyncIterable<Buffer>) yield* frames.push(bytes);
  } catch (error) {
    if (!signal.aborted) throw failure(socket, error);
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

function requireSuccess(argv: readonly string[], code: unknown, frames: FrameReader): void {
  if (code !== 0) throw new DockerError("refused", `${argv[0]}: ${frames.complaint || `exit code ${code}`}`);
}

async function ask(socket: string, call: DockerCall, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
  const text = Buffer.from(await bytesOf(await answer(socket, call, signal))).toString();
  try {
    return (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    throw new DockerError("cut-off", `${socket}: ${call.path}: the answer is no JSON`);
  }
}
