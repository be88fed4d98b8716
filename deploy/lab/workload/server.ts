/**
 * A pod that says who answers: `cluster/pod` to every HTTP request over TCP and to every UDP datagram, on port 8080.
 * HTTP by hand, a request in one piece: the least work between a connection and its answer. What is no request comes back as it was sent.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const PORT = 8080;
const METHOD = Buffer.from("GET ");

const name = `${process.env["POD_CLUSTER"]}/${process.env["POD_NAME"]}`;
const body = `${name}\n`;
const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;

// The client closes (by reset), so that neither side keeps a port in TIME_WAIT.
const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes) => socket.write(bytes.subarray(0, METHOD.length).equals(METHOD) ? answer : bytes));
});
server.listen({ port: PORT, host: "::", backlog: 4096 });

const datagrams = createSocket({ type: "udp6" });
datagrams.on("message", (_message, from) => datagrams.send(body, from.port, from.address));
datagrams.bind(PORT, "::");
