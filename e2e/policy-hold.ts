/** One connection for long: `serve PORT` sends every byte back; `hold ADDRESS PORT` sends one every 50 ms and prints a line for each that comes back. */
import { connect, createServer } from "node:net";
import { sleep, systemClock } from "../src/runtime/clock.ts";

const INTERVAL_MS = 50;
const [mode, ...rest] = process.argv.slice(2);

if (mode === "serve") {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen({ port: Number(rest[0]), host: "::" }, () => process.stdout.write("listening\n"));
} else {
  const [host = "", port] = rest;
  const socket = connect({ host, port: Number(port), noDelay: true });
  socket.on("data", (bytes) => process.stdout.write("back\n".repeat(bytes.length)));
  socket.on("error", () => process.exit(1));
  for (;;) {
    socket.write("x");
    await sleep(systemClock, INTERVAL_MS);
  }
}
