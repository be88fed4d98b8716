/** Takes connections on a port, in both families, and forgets them. Says a line when it listens. */
import { createServer } from "node:net";

const server = createServer((socket) => {
  // A client that resets is done.
  socket.on("error", () => undefined);
  socket.destroy();
});
server.listen(Number(process.argv[2]), "::", () => process.stdout.write("listening\n"));
