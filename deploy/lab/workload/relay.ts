/**
 * `relay.ts PORT`: hands connections of the socket that it inherits as its third file to 127.0.0.1:PORT. A socket stays in the network namespace in
 * which it was made: so whoever listens on the loopback inside a namespace is reached from the machine's own, by this one port and nothing else.
 */
import { connect, createServer } from "node:net";
import { pipeline } from "node:stream";

const port = Number(process.argv[2]);

const server = createServer((client) => {
  const inside = connect(port, "127.0.0.1");
  // A connection that ends on one side ends on the other; nobody else is concerned.
  const ended = (): void => undefined;
  pipeline(client, inside, ended);
  pipeline(inside, client, ended);
});
server.listen({ fd: 3 });
