/** Connections that wait: `held.ts ADDRESS PORT COUNT` opens them, says `open`, and asks on each once its input ends; prints who answered how often. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

const [host = "", port, count] = process.argv.slice(2);

async function opened(): Promise<Socket> {
  const socket = connect({ host, port: Number(port), noDelay: true });
  await once(socket, "connect");
  socket.on("error", () => socket.destroy());
  return socket;
}

/** `cluster/pod`, or `cut`. */
function ask(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    if (socket.destroyed || socket.readableEnded) return resolve("cut");
    socket.once("close", () => resolve("cut"));
    socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1").trim().split("\n").at(-1) ?? ""));
    socket.write("GET / HTTP/1.1\r\nHost: held\r\n\r\n");
  });
}

const sockets = await Promise.all(Array.from({ length: Number(count) }, opened));
process.stdout.write("open\n");
process.stdin.resume();
await once(process.stdin, "end");
const answers: Record<string, number> = {};
for (const who of await Promise.all(sockets.map(ask))) answers[who] = (answers[who] ?? 0) + 1;
process.stdout.write(`${JSON.stringify(answers)}\n`);
for (const socket of sockets) socket.resetAndDestroy();
