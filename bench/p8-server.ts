/** Answers what it is asked on a port, by TCP and by UDP. Says a line when it listens. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

const port = Number(process.argv[2]);
const server = createServer((socket) => {
  // A client that resets is done.
  socket.on("error", () => undefined);
  socket.pipe(socket);
});
const datagrams = createSocket("udp4");
datagrams.on("message", (message, { address, port: from }) => datagrams.send(message, from, address));
datagrams.bind(port);
server.listen(port, "0.0.0.0");
await Promise.all([once(datagrams, "listening"), once(server, "listening")]);
process.stdout.write("listening\n");
