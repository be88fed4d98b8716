// Sends datagrams to an address until it is killed, or the test that started it ends.
import { createSocket } from "node:dgram";

const PORT = 9;
const BURST = 20;

const [host] = process.argv.slice(2);
const socket = createSocket(host?.includes(":") ? "udp6" : "udp4");
// Nobody listens there.
socket.on("error", () => {});
setInterval(() => {
  for (let index = 0; index < BURST; index++) socket.send("x", PORT, host);
}, 1);
process.stdin.on("end", () => process.exit(0)).resume();
