/** Dials with the sockets of this host. */
import { connect } from "node:net";
import type { Clock } from "../runtime/clock.ts";
import type { Dialer, DialOutcome } from "./dialer.ts";

const OUTCOMES: ReadonlyMap<string, DialOutcome> = new Map([
  ["ECONNREFUSED", "refused"],
  ["ECONNRESET", "refused"],
  ["EHOSTUNREACH", "silent"],
  ["ENETUNREACH", "silent"],
  ["ETIMEDOUT", "silent"],
]);

/** What an error of `connect` says of the path. */
export function outcomeOf(code: string | undefined): DialOutcome {
  return OUTCOMES.get(code ?? "") ?? "untried";
}

export function systemDialer(clock: Clock): Dialer {
  return {
    dial({ address, port }, timeoutMs, signal) {
      return new Promise((resolve) => {
        if (signal.aborted) return resolve("silent");
        const socket = connect({ host: address, port });
        const timer = clock.after(timeoutMs, giveUp);
        signal.addEventListener("abort", giveUp, { once: true });
        socket.once("connect", () => end("connected"));
        socket.on("error", (error: NodeJS.ErrnoException) => end(outcomeOf(error.code)));
        function giveUp(): void {
          end("silent");
        }
        function end(outcome: DialOutcome): void {
          timer.cancel();
          signal.removeEventListener("abort", giveUp);
          socket.destroy();
          resolve(outcome);
        }
      });
    },
  };
}
