// A process with real sockets that does what it is asked, one JSON object a line on standard input: serve, or connect.
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

export interface Target {
  readonly host: string;
  readonly port: number;
}

export type Request = Target &
  (
    | { readonly ask: "serve-tcp" | "serve-udp"; readonly name: string }
    /** Connect, read the server's name, close. */
    | { readonly ask: "tcp" }
    /** Send one datagram and read the server's name: connected first, or by sendto. */
    | { readonly ask: "udp-connected" | "udp-sendto" }
    /** As udp-sendto, always from the same socket, until "release". */
    | { readonly ask: "udp-again" }
    /** A UDP socket connects there, then to `then`, and sends one datagram. */
    | { readonly ask: "udp-reconnect"; readonly then: Target }
    /** A UDP socket connects there, sends one datagram and stays open by that name, until "release"; and what another datagram from it meets. */
    | { readonly ask: "udp-open" | "udp-use"; readonly name: string }
    /** As tcp, and the connection stays open until "release". */
    | { readonly ask: "hold" | "release" }
    /** Begins to connect by TCP, and is held whatever becomes of it, until "release". */
    | { readonly ask: "dial" }
    /** How many of those that are held are still whole, as a name. */
    | { readonly ask: "held" }
  );

export interface Answer {
  /** The name of the server that answered. */
  readonly name?: string;
  /** Whom the socket believes to talk to: getpeername. */
  readonly peer?: string;
  /** Where the answering datagram came from: recvmsg. */
  readonly from?: string;
  readonly error?: string;
}

const ANSWER_TIMEOUT_MS = 2000;
const held: Socket[] = [];
const open = new Map<string, UdpSocket>();
/** What became of those of them that the kernel told of an error. */
const broken = new Map<string, Answer>();
const again = new Map<string, UdpSocket>();

function fail(error: NodeJS.ErrnoException): Answer {
  return { error: error.code ?? error.message };
}

function at(host: string | undefined, port: number | undefined): string {
  return `${host}|${port}`;
}

function serveTcp({ host, port }: Target, name: string): Promise<Answer> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(name);
    socket.on("end", () => socket.end());
  });
  return new Promise((resolve) => server.on("error", (e) => resolve(fail(e))).listen(port, host, () => resolve({})));
}

function udpSocket(host: string): UdpSocket {
  return createSocket(host.includes(":") ? "udp6" : "udp4");
}

function serveUdp({ host, port }: Target, name: string): Promise<Answer> {
  const socket = udpSocket(host);
  socket.on("message", (_, from) => socket.send(name, from.port, from.address));
  return new Promise((resolve) => socket.on("error", (e) => resolve(fail(e))).bind(port, host, () => resolve({})));
}

function tcp({ host, port }: Target, hold: boolean): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: ANSWER_TIMEOUT_MS });
    const done = (answer: Answer): void => {
      if (hold && answer.error === undefined) held.push(socket);
      else socket.destroy();
      resolve(answer);
    };
    socket.on("data", (name) => done({ name: name.toString(), peer: at(socket.remoteAddress, socket.remotePort) }));
    socket.on("error", (error) => done(fail(error)));
    socket.on("timeout", () => done({ error: "timeout" }));
  });
}

function udp({ host, port }: Target, connected: boolean): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = udpSocket(host);
    const done = (answer: Answer): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => done({ error: "timeout" }), ANSWER_TIMEOUT_MS);
    const sent = (error: Error | null): void => (error ? done(fail(error)) : undefined);
    const peer = (): string => at(socket.remoteAddress().address, socket.remoteAddress().port);
    socket.on("error", (error) => done(fail(error)));
    socket.on("message", (name, from: RemoteInfo) =>
      done({ name: name.toString(), from: at(from.address, from.port), ...(connected ? { peer: peer() } : {}) }),
    );
    if (!connected) return socket.send("?", port, host, sent);
    socket.once("connect", () => socket.send("?", sent));
    socket.connect(port, host);
  });
}

function udpAgain({ host, port }: Target): Promise<Answer> {
  const family = host.includes(":") ? "v6" : "v4";
  const socket = again.get(family) ?? udpSocket(host);
  again.set(family, socket);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ error: "timeout" }), ANSWER_TIMEOUT_MS);
    socket.once("message", (name, from) => {
      clearTimeout(timer);
      resolve({ name: name.toString(), from: at(from.address, from.port) });
    });
    socket.send("?", port, host, (error) => error && resolve(fail(error)));
  });
}

function udpReconnect(first: Target, then: Target): Promise<Answer> {
  const socket = udpSocket(first.host);
  return new Promise((resolve) => {
    socket.on("message", (name, from) => {
      const { address, port } = socket.remoteAddress();
      resolve({ name: name.toString(), from: at(from.address, from.port), peer: at(address, port) });
      socket.close();
    });
    socket.connect(first.port, first.host, () => {
      socket.disconnect();
      socket.connect(then.port, then.host, () => socket.send("?"));
    });
  });
}

async function udpOpen({ host, port }: Target, name: string): Promise<Answer> {
  const socket = udpSocket(host);
  socket.on("error", (error) => broken.set(name, fail(error)));
  open.get(name)?.close();
  open.set(name, socket);
  broken.delete(name);
  await new Promise<void>((resolve) => socket.connect(port, host, resolve));
  return udpUse(name);
}

function udpUse(name: string): Promise<Answer> {
  const socket = open.get(name) as UdpSocket;
  return new Promise((resolve) => {
    const done = (answer: Answer): void => {
      clearTimeout(timer);
      socket.off("message", heard).off("error", failed);
      resolve(broken.get(name) ?? answer);
    };
    const heard = (who: Buffer, from: RemoteInfo): void =>
      done({ name: who.toString(), from: at(from.address, from.port) });
    const failed = (error: Error): void => done(fail(error));
    const timer = setTimeout(() => done({ error: "timeout" }), ANSWER_TIMEOUT_MS);
    socket.on("message", heard).on("error", failed);
    socket.send("?", (error) => (error ? failed(error) : undefined));
  });
}

async function answer(request: Request): Promise<Answer> {
  if (request.ask === "serve-tcp") return serveTcp(request, request.name);
  if (request.ask === "serve-udp") return serveUdp(request, request.name);
  if (request.ask === "udp-connected") return udp(request, true);
  if (request.ask === "udp-sendto") return udp(request, false);
  if (request.ask === "udp-again") return udpAgain(request);
  if (request.ask === "udp-reconnect") return udpReconnect(request, request.then);
  if (request.ask === "dial") {
    held.push(connect(request).on("error", () => {}));
    return {};
  }
  if (request.ask === "held") return { name: String(held.filter(({ writable }) => writable).length) };
  if (request.ask === "udp-open") return udpOpen(request, request.name);
  if (request.ask === "udp-use") return udpUse(request.name);
  if (request.ask !== "release") return tcp(request, request.ask === "hold");
  for (const socket of held.splice(0)) socket.destroy();
  broken.clear();
  for (const sockets of [again, open]) {
    for (const socket of sockets.values()) socket.close();
    sockets.clear();
  }
  return {};
}

for await (const line of createInterface(process.stdin)) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Request))}\n`);
}
process.exit(0);
