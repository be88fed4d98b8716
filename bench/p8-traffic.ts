/**
 * Calls a service for as long as it runs: a TCP connection after the other with a question and its answer, and a datagram every few milliseconds from one socket
 * that never connects. At the end of its input it says what became of them, as JSON.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const [address = "", port = "0"] = process.argv.slice(2);
const DATAGRAM_EVERY_MS = 5;
const ANSWER_WITHIN_MS = 5_000;
const LAST_ANSWERS_MS = 1_000;

let over = false;
process.stdin.resume();
process.stdin.on("end", () => {
  over = true;
});

async function ask(): Promise<void> {
  const socket = connect(Number(port), address);
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  try {
    socket.write("x");
    await once(socket, "data", { signal });
  } finally {
    socket.resetAndDestroy();
  }
}

async function connections(): Promise<{ connected: number; failed: number }> {
  const counts = { connected: 0, failed: 0 };
  while (!over) {
    await ask().then(
      () => counts.connected++,
      () => counts.failed++,
    );
    await pause(1);
  }
  return counts;
}

async function datagrams(): Promise<{ sent: number; answered: number }> {
  const socket = createSocket("udp4");
  const counts = { sent: 0, answered: 0 };
  socket.on("message", () => counts.answered++);
  // A refused datagram is one without an answer.
  socket.on("error", () => undefined);
  while (!over) {
    socket.send("x", Number(port), address);
    counts.sent++;
    await pause(DATAGRAM_EVERY_MS);
  }
  await pause(LAST_ANSWERS_MS);
  socket.close();
  return counts;
}

process.stdout.write("calling\n");
const [tcp, udp] = await Promise.all([connections(), datagrams()]);
process.stdout.write(`${JSON.stringify({ ...tcp, ...udp })}\n`);
