/** One call of a service: a real connection or datagram, answered or failed with a code within a second and a half. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { afterRunning, systemClock } from "../../../src/runtime/clock.ts";
import type { Target } from "./jobs.ts";

/** Below it, a lost SYN is sent again once (after a second). */
export const CALL_TIMEOUT_MS = 1_500;
const REQUEST = "GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";

/** Resolves to who answered. Rejects with the failure's code as message. */
export function call(target: Target): Promise<string> {
  return target.protocol === "tcp" ? callTcp(target) : callUdp(target);
}

/** Ends by reset, so that the port is free again at once. */
function callTcp({ address, port }: Target): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect({ host: address, port, noDelay: true });
    const timer = afterRunning(systemClock, CALL_TIMEOUT_MS, () => fail("timeout"));
    const finish = (): void => {
      timer.cancel();
      socket.resetAndDestroy();
    };
    const fail = (code: string): void => {
      finish();
      reject(new Error(code));
    };
    socket.on("connect", () => socket.write(REQUEST));
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
      if (!answer.endsWith("\n") || !answer.includes("\r\n\r\n")) return;
      finish();
      resolve(answer.slice(answer.indexOf("\r\n\r\n") + 4).trim());
    });
    socket.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.on("end", () => fail("closed"));
  });
}

/** An unconnected socket: the address is translated as the datagram is sent, and back as the answer is read. */
function callUdp({ address, port }: Target): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    const finish = (): void => {
      timer.cancel();
      socket.close();
    };
    const fail = (code: string): void => {
      finish();
      reject(new Error(code));
    };
    const timer = afterRunning(systemClock, CALL_TIMEOUT_MS, () => fail("timeout"));
    socket.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.on("message", (message, from) => {
      if (from.address !== address || from.port !== port) return fail(`answer-from-${from.address}`);
      finish();
      resolve(message.toString("latin1").trim());
    });
    socket.send("who", port, address, (error) => {
      if (error) fail((error as NodeJS.ErrnoException).code ?? error.message);
    });
  });
}
